"""The report: what it says equals the results, it loads nothing, and what it writes can be read back."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest

import radii
from certificate_factory import make_certificates
from radii.errors import InputError
from radii.noises import Uniform
from radii.report.accuracy import certified_radii, summarize
from radii.report.accuracy_table import tabulate
from radii.report.export import table_markdown
from radii.report.formatting import floor_text, guarantee, round_text
from radii.report.html import Examples, Run, check_one_data, choose_examples, content, explorer, write_report
from radii.report.html.cards import norm_card, scale_sentence
from radii.report.html.content import winners_of
from radii.report.html.pictures import equal_noises
from radii.report.published import load_published
from radii.report.winners import radius_sentence
from radii.votes import ImageIdentity

NORMS = ("l0", "l2", "linf")
EMPTY_ELEMENTS = {"meta", "img", "br", "use", "path", "rect", "input"}


def make_run(noise, ks=(1, 3), norms=NORMS, images=60, **settings):
    found = {
        (norm, k): make_certificates(noise, norm, k=k, images=images, **settings)
        for norm in norms
        for k in ks
    }
    return Run(settings.pop("name", noise.capitalize()), found)


class Page(HTMLParser):
    """Elements, ids, tables and text of a page; elements that are closed wrongly fail."""

    def __init__(self, source):
        super().__init__()
        self.open, self.elements, self.tables, self.text = [], [], {}, []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag not in EMPTY_ELEMENTS:
            self.open.append(tag)
        if tag == "table":
            self.rows = self.tables.setdefault((attributes.get("data-norm"), attributes.get("data-k")), [])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in EMPTY_ELEMENTS:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def runs():
    return [make_run("laplace"), make_run("gaussian", seed=2), make_run("uniform")]


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    one = runs[0].certificates["l2", 1]
    index = one.index[choose_examples(one, 5)]
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    write_report(runs, folder, title="A <b>title</b>", examples=Examples(images, index))
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "index.html").read_text())


def test_tables_on_the_page_are_the_results(runs, page):
    for norm in NORMS:
        for k in (1, 3):
            table = tabulate({run.name: run.certificates[norm, k] for run in runs})
            shown = page.tables[norm, str(k)]
            assert shown[0][1:] == list(table.headers)
            for row, name, shares in zip(shown[1:], table.names, table.shares, strict=True):
                assert row == [name, *(f"{100 * share:.1f}" for share in shares)]


def test_radii_on_the_page_are_the_results_rounded_down(runs, page):
    shown = [row for row in page.tables[None, None] if len(row) == 8 and row[0] == "Gaussian"]
    found = [summarize(runs[1].certificates["l2", k]) for k in (1, 3)]
    shares = [(one.plain_accuracy, one.certified, one.statuses["abstained"]) for one in found]
    expected = [[f"{100 * share:.1f}" for share in of_one] for of_one in shares]
    assert [row[2:5] for row in shown[2:4]] == expected
    assert [row[6] for row in shown[2:4]] == [floor_text(one.median_radius, 3) for one in found]


def test_the_page_loads_nothing(folder, page):
    for name in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
        for address in page.attributes(name):
            assert address.startswith(("data:image/png;base64,", "#")) or (folder / address).is_file(), (
                address
            )
    source = (folder / "index.html").read_text()
    assert "@import" not in source and "fetch(" not in source and "XMLHttpRequest" not in source
    assert not re.search(r"url\((?!#)", source)
    assert all("w3.org" in address for address in re.findall(r"https?://[^\"\s<]+", source))


def test_every_picture_has_words(page):
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    # what is hidden repeats the words beside it
    drawings = [one for tag, one in page.elements if tag == "svg" and "aria-hidden" not in one]
    moved = [picture for picture in pictures if picture["alt"].startswith(("a perturbation", "unchanged"))]
    assert len(pictures) - len(moved) == 5 and len(drawings) == len(NORMS) * (2 + 3 + 3)
    assert len(moved) % (1 + len(NORMS)) == 0 and moved
    assert all(picture["alt"] for picture in pictures)
    assert all(drawing["role"] == "img" and len(drawing["aria-label"]) > 20 for drawing in drawings)


def test_the_page_is_well_formed(page):
    ids = page.attributes("id")
    assert len(ids) == len(set(ids)), "drawings keep their names apart"
    used = {address[1:] for address in page.attributes("xlink:href")}
    used |= {one["href"][1:] for tag, one in page.elements if tag == "use" and "href" in one}
    used |= {address[5:-1] for address in page.attributes("clip-path")}
    assert used and used <= set(ids)
    headings = [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1" and headings.count("h1") == 1
    assert all(int(two[1]) <= int(one[1]) + 1 for one, two in pairwise(headings))


def test_drawings_follow_light_and_dark_paper(folder):
    source = (folder / "index.html").read_text()
    drawings = "".join(re.findall(r"<svg.*?</svg>", source, re.DOTALL))
    assert not re.search(r"(?:fill|stroke): #", drawings)
    for variable in set(re.findall(r"var\((--c\w+)\)", drawings)):
        assert source.count(f"{variable}: #") == 2, "one colour for each paper"


def test_titles_are_text_not_markup(page):
    assert "A <b>title</b>" in page.text


def test_the_method_is_read_off_the_certificates(runs, page):
    words = " ".join(" ".join(page.text).split())
    for part in ("100,000", "0.001", "CIFAR-10 test, every 20th of 10000", "3 × 32 × 32", "σ = 0.5"):
        assert part in words
    for norm in NORMS:
        rule = Uniform.rules[norm]
        assert ["uniform", rule.tightness, rule.source] in [
            [row[0], row[2], row[3]] for row in page.tables[None, None] if len(row) == 4
        ]


def test_exports_parse_back_to_the_results(runs, folder):
    saved = json.loads((folder / "report.json").read_text())
    assert len(saved["tables"]) == len(NORMS) * 2
    for run in runs:
        rows = list(csv.DictReader((folder / f"certificates/{run.slug}.csv").read_text().splitlines()))
        for (norm, k), one in run.certificates.items():
            assert [int(row["index"]) for row in rows] == one.index.tolist()
            held = np.array([row[f"{norm}_top{k}"] != "" for row in rows])
            assert np.array_equal(held, one.correctly_certified)
            written = np.array([float(row[f"{norm}_top{k}"] or 0) for row in rows])
            lost = certified_radii(one) - written
            assert (lost >= 0).all() and lost.max() < 1e-7
            (found,) = [
                entry
                for entry in saved["results"]
                if (entry["run"], entry["norm"], entry["k"]) == (run.name, norm, k)
            ]
            assert found["results"]["mean_radius"] == summarize(one).mean_radius
            assert found["guarantee"] == guarantee(one)
            for point in found["curve"]:
                assert point["share"] == one.accuracy([point["radius"]])[0]
                held = round(point["share"] * len(one))
                # Clopper-Pearson by another library's function
                low, high = binomtest(held, len(one)).proportion_ci(0.95)
                assert (point["lower"], point["upper"]) == pytest.approx((low, high), abs=1e-9)


def test_every_table_is_written_in_markdown(runs, folder):
    written = (folder / "tables.md").read_text()
    for norm in NORMS:
        for k in (1, 3):
            assert table_markdown(tabulate({run.name: run.certificates[norm, k] for run in runs})) in written
    assert written.count("## ") == len(NORMS) * 2


def test_every_file_is_whole_and_linked_or_a_figure(folder, page):
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {address for address in page.attributes("href") if not address.startswith("#")} | {
        "index.html"
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (folder / "figures").iterdir())
    assert (folder / "index.html").stat().st_size < 3_000_000


def test_the_report_is_reproducible(runs, folder, tmp_path):
    one = write_report(runs[:1], tmp_path / "one")
    assert one.read_bytes() == write_report(runs[:1], tmp_path / "two").read_bytes()


def test_a_card_says_of_each_radius_what_the_tests_say(runs):
    for norm, winners in winners_of(runs, NORMS).items():
        card = norm_card(runs, winners)
        plain, *lines = card["lines"]
        assert plain["name"] == "plain accuracy" and 1 <= len(lines) <= 3
        assert float(plain["share"]) == pytest.approx(
            100 * max(run.certificates[norm, 1].correct.mean() for run in runs), abs=0.06
        )
        headers = [round_text(radius, norm) for radius in winners.radii]
        for line in lines:
            column = headers.index(line["name"].removeprefix("r = "))
            best, leading = winners.shares[:, column].max(), winners.leaders[:, column]
            assert line["share"] == f"{100 * best:.1f}"
            assert line["separated"] == (leading.sum() == 1)
            expected = winners.names[leading.argmax()] if line["separated"] else "no clear difference"
            assert line["best"] == expected
            expected = binomtest(round(60 * best), 60).proportion_ci(method="exact")
            assert line["low"] == f"{np.floor(1000 * expected.low) / 10:.1f}"
            assert line["high"] == f"{np.ceil(1000 * expected.high) / 10:.1f}"
        assert card["verdict"].lower() == radius_sentence(winners).lower() + "."
    words = content.about(runs)
    assert "60 images" in words and "3 runs" in words and "100,000" in words
    assert "99.9\N{NO-BREAK SPACE}%" in content.promise(runs)


@pytest.mark.parametrize("of", [1, 10, 499])
def test_the_page_holds_the_ends_of_the_intervals_of_all_shares(of):
    lowest = 1e-6 * explorer._lowest_shares(of)
    for count in range(of + 1):
        expected = binomtest(count, of).proportion_ci(method="exact")
        assert 0 <= expected.low - lowest[count] <= 1.001e-6
        assert -1e-12 <= 1 - lowest[of - count] - expected.high <= 1.001e-6


def test_a_card_of_nothing_certified_says_so():
    nothing = replace(make_certificates(norm="l2"), radius=np.zeros(120))
    run = Run("Laplace", {("l2", 1): nothing})
    card = norm_card([run], winners_of([run], ["l2"])["l2"])
    # what unanimous votes would certify, 1.2, in twenty steps at most
    assert [(line["name"], line["share"], line["low"]) for line in card["lines"][1:]] == [
        ("r = 0.1", "0.0", "0.0")
    ]
    assert card["verdict"] == "In ℓ₂, no image is certified to radius 0.1."


def test_a_radius_is_given_a_scale():
    shape = (3, 32, 32)
    assert scale_sentence("linf", 2 / 255, "2/255", shape, "feature") == (
        "ℓ∞ radius 2/255: every one of the 3,072 values changes by up to 2 of 255 grey levels."
    )
    assert "one value changes by 0.5, or all 3,072 by 2.3 of 255" in scale_sentence(
        "l2", 0.5, "0.5", shape, "feature"
    )
    assert "2 values change from 0 to 1" in scale_sentence("l2", 1.5, "1.5", shape, "feature")
    assert "one value changes from 0 to 1, or all 3,072 by 0.12" in scale_sentence(
        "l1", 1.5, "1.5", shape, "feature"
    )
    assert scale_sentence("l0", 2, "2", shape, "pixel") == "Radius 2: any change of any 2 pixels of 1,024."
    assert scale_sentence("l2", 0.0, "0", shape, "feature") == ""


def test_examples_span_the_radii_and_show_failures():
    one = make_certificates(images=200)
    rows = choose_examples(one, 8)
    assert len(rows) == len(set(rows)) == 8
    held = one.radius[rows[2:]]
    assert held[-1] == one.radius[one.correct].max() and (np.diff(held) >= 0).all() and held[0] > 0
    assert not one.certified[rows[0]] and not one.correct[rows[1]]


def test_examples_are_found_where_no_radius_is_above_zero():
    one = replace(make_certificates(images=200), radius=np.zeros(200))
    rows = choose_examples(one, 8)
    assert len(set(rows)) == 8 and (np.diff(one.lower[rows[2:]]) >= 0).all() and one.certified[rows[2:]].all()


def test_noises_are_compared_at_the_sigma_that_most_runs_use():
    several = [make_run("laplace", sigma=0.25), make_run("gaussian"), make_run("uniform")]
    assert {noise.sigma for noise in equal_noises(several, "l2")} == {0.5}
    assert len(equal_noises(several, "l2")) == 3
    assert {noise.sigma for noise in equal_noises(several[:2], "l2")} == {0.5}, "the larger of equals"


def test_runs_that_do_not_fit_are_rejected(tmp_path):
    one = make_certificates()
    with pytest.raises(InputError, match="several noises"):
        Run("mixed", {("l2", 1): one, ("l1", 1): make_certificates("uniform", "l1")})
    with pytest.raises(InputError, match="lists top-1 l2"):
        Run("wrong", {("l2", 2): one})
    with pytest.raises(InputError, match="no certificates"):
        Run("empty", {})
    with pytest.raises(InputError, match="must differ"):
        write_report([Run("A 1", {("l2", 1): one}), Run("a-1", {("l2", 1): one})], tmp_path)
    with pytest.raises(InputError, match="no true labels"):
        write_report([Run("a", {("l2", 1): replace(one, true_label=None)})], tmp_path)
    with pytest.raises(InputError, match="at least one run"):
        write_report([], tmp_path)
    assert not list(tmp_path.iterdir())


def test_runs_on_different_data_sets_are_rejected(tmp_path):
    whole, part = (ImageIdentity("cifar10", "test", part=part) for part in ("all", "first 5 of 10000"))
    named = {"cifar": whole, "part": part, "unnamed": None}
    check_one_data(named)
    with pytest.raises(
        InputError, match=r"cifar is about cifar10 test and other is about digits test: compare"
    ):
        check_one_data({**named, "other": ImageIdentity("digits", "test", part="all")})
    one = make_certificates()
    runs = [
        Run("a", {("l2", 1): one}),
        Run("b", {("l2", 1): replace(one, data=ImageIdentity("digits", "test", part="all"))}),
    ]
    with pytest.raises(InputError, match="compare runs on one data set"):
        write_report(runs, tmp_path)
    assert not list(tmp_path.iterdir())


def test_runs_with_classes_in_different_orders_are_not_compared(tmp_path):
    """One label would stand for two classes."""

    def run(name, classes):
        counts = np.full((2, 3), 100)
        index = np.arange(2)
        votes = radii.Votes(
            counts, 0 * counts, index, index, radii.Gaussian(0.5), (1, 2, 2), radii.fixed(300, 0), ((0, 300),), 0,
            "none", data=ImageIdentity("photos", "test", part="all"), classes=classes,
        )  # fmt: skip
        return Run(name, {("l2", 1): radii.certify(votes, "l2")}, votes)

    several = [run("new", ("1", "2", "10")), run("old", ("1", "10", "2"))]
    with pytest.raises(InputError, match="class 1 is '2' in new and '10' in old: vote again"):
        write_report(several, tmp_path)
    assert not list(tmp_path.iterdir())
    for classes in (("1.0", "2.0", "10.0"), ("ant", "bee", "cat")):
        write_report([several[0], run("other", classes)], tmp_path / classes[0])


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A report on two sigmas of one noise, beside published rows."""
    folder = tmp_path_factory.mktemp("compared")
    sigmas = {f"Gaussian {sigma}": make_run("gaussian", norms=("l2",), sigma=sigma) for sigma in (0.25, 1.0)}
    runs = [
        Run(
            name,
            {
                key: replace(one, data=ImageIdentity("cifar10", "test", part="all"))
                for key, one in run.certificates.items()
            },
        )
        for name, run in sigmas.items()
    ]
    published = load_published("cifar10")
    write_report(runs, folder, published=published)
    return runs, published, folder, Page((folder / "index.html").read_text())


def test_rows_that_no_run_reached_are_marked(compared):
    runs, published, _, page = compared
    for k in (1, 3):
        rows = page.tables["l2", str(k)]
        theirs = [row for row in published if (row.norm, row.k) == ("l2", k)]
        names = ["radius", *(run.name for run in runs), "Gaussian, best σ", *(row.name for row in theirs)]
        assert [re.sub(r" \[\d+\]$", "", row[0]) for row in rows] == names
        assert all(row[0].endswith("]") for row in rows[3:]) and not any("[" in row[0] for row in rows[:3])
        one, two, best = ([float(cell) for cell in row[1:]] for row in rows[1:4])
        assert best == [max(pair) for pair in zip(one, two, strict=True)]
    kinds = [found["data-kind"] for tag, found in page.elements if tag == "tr" and "data-kind" in found]
    many = len([row for row in published if (row.norm, row.k) == ("l2", 1)])
    of_k = [["run", "run", "best", *["published"] * many], ["run", "run", "best", "published"]]
    # each table, and that of the conditions of its rows
    assert kinds == [*of_k[0] * 2, *of_k[1] * 2]


def test_the_page_says_what_marked_rows_are(compared, page):
    runs, published, folder, marked = compared
    words, legend = " ".join(marked.text), [content.KIND_WORDS[kind] for kind in ("best", "published")]
    assert all(sentence in words for sentence in legend)
    assert not any(sentence in " ".join(page.text) for sentence in legend), "only where there are such rows"
    assert "no single classifier reaches them all, and no certificate covers the choice" in words
    shown = [row for row in published if row.norm == "l2" and row.k in (1, 3)]
    assert all(row.note in words for row in shown) and len(shown) > 10
    assert all(row.note in (folder / "tables.md").read_text() for row in shown if row.k == 1)
    drawing = next(
        found for tag, found in marked.elements if tag == "svg" and "published" in found.get("aria-label", "")
    )
    assert "published, CAT-RS .25 76.3% at 0, 68.1% at 0.25" in drawing["aria-label"]
    assert "best σ" not in drawing["aria-label"], "there is no such curve"
    sentence = radius_sentence(winners_of(runs, ["l2"])["l2"])
    assert sentence[0].upper() + sentence[1:] in words


def test_examples_must_be_among_the_certified_images():
    examples = Examples(np.zeros((1, 1, 4, 4), dtype=np.uint8), np.array([7]))
    with pytest.raises(InputError, match=r"\[7\]"):
        examples.rows_in(make_certificates(images=5))


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_with_its_cure(package):
    code = f"import sys; sys.modules['{package}'] = None\nimport radii.report.html"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'radii[report]'" in found.stderr


def test_results_need_neither_pictures_nor_tensors():
    code = "import sys, radii.report.export\nassert not {'torch', 'matplotlib', 'pandas', 'jinja2'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_page_holds_intervals_of_all_shares_that_it_can_show(runs):
    data = explorer.explorer_data(runs, ["l2"])
    sizes = {60} | {int((run.labels == label).sum()) for run in runs for label in set(run.labels.tolist())}
    assert set(data["lowest"]) == sizes
