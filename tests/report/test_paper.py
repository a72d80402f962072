"""Paper output: files that LaTeX and readers of PDF and SVG accept, the same bytes twice, equal numbers everywhere."""

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from certificate_factory import make_certificates
from radii.errors import InputError
from radii.report.accuracy import accuracy_curve, empirical_curve, summarize
from radii.report.accuracy_table import tabulate
from radii.report.export import table_json
from radii.report.formatting import NORM_NAMES, radius_text, tex_text
from radii.report.html import Run, write_report
from radii.report.html.content import all_tables
from radii.report.html.page import entries
from radii.report.paper import write_paper
from radii.report.paper.latex import table_tex
from radii.report.plots import (
    accuracy_by_noise,
    image_strip,
    paper_style,
    pdf_bytes,
    pgf_text,
    probability_distribution,
    svg_text,
)
from radii.report.published import load_published
from radii.votes import ImageIdentity

CIFAR10 = ImageIdentity("cifar10", "test", part="every 20th of 10000")
PUBLISHED = load_published("cifar10")
HOSTILE = r"50%_A&B #1 {x} \end{table} $y$ ~^ <é>"


def make_runs(names=("Laplace", HOSTILE), norms=("l1", "l2"), ks=(1, 2)) -> list[Run]:
    """Two runs, of which the first was attacked in l2 for k = 1."""
    runs = []
    for name, noise in zip(names, ("laplace", "gaussian"), strict=False):
        certificates = {
            (norm, k): replace(make_certificates(noise, norm, k=k), data=CIFAR10)
            for norm in norms
            for k in ks
        }
        radius = certificates["l2", 1].radius
        attacks = {("l2", 1): np.where(radius > 0.1, 1.5 * radius, np.inf)} if noise == "laplace" else {}
        runs.append(Run(name, certificates, attacks=attacks))
    return runs


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> Path:
    return write_paper(make_runs(), tmp_path_factory.mktemp("paper"), published=PUBLISHED)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def commands(text: str) -> str:
    """LaTeX without its comments and escaped characters."""
    return re.sub(r"(?m)^%.*$", "", re.sub(r"\\[{}$&#%_]", "", text))


def check_latex(text: str) -> None:
    """Raise unless braces, dollars and environments close in order: what LaTeX itself stops at."""
    plain, depth, opened = commands(text), 0, []
    for token in re.findall(r"\\(?:begin|end)\{[a-z*]+\}|[{}$]", plain):
        if token.startswith("\\begin"):
            opened.append(token[7:-1])
        elif token.startswith("\\end"):
            assert opened.pop() == token[5:-1]
        elif token != "$":
            depth += 1 if token == "{" else -1
            assert depth >= 0
    assert not depth and not opened and plain.count("$") % 2 == 0
    assert not re.search(r"[^\x00-\xff]", plain), "letters that fonts of LaTeX lack"


def test_every_figure_comes_in_two_widths_and_three_formats_with_its_data(paper):
    names = {path.stem for path in (paper / "data").glob("*.csv") if not path.stem.startswith("table-")}
    assert {"accuracy-l1", "accuracy-l2", "radius-l1", "radius-l2", "topk-l2-laplace", "probability"} <= names
    files = {path.name for path in (paper / "figures").iterdir()}
    assert files == {
        f"{name}-{width}.{form}"
        for name in names
        for width in ("single", "double")
        for form in ("svg", "pdf", "pgf")
    }
    floats = (paper / "figures.tex").read_text()
    assert set(re.findall(r"includegraphics\{figures/(.*)-single\.pdf\}", floats)) == names


def test_the_same_runs_give_the_same_bytes(paper, tmp_path):
    again = write_paper(make_runs(), tmp_path, published=PUBLISHED)
    files = sorted(path.relative_to(paper) for path in paper.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for file in files:
        content = (paper / file).read_bytes()
        assert content == (again / file).read_bytes(), file
        assert not re.search(rb"CreationDate|ModDate|<dc:date>|matplotlib\.org", content), file


@pytest.mark.parametrize(("width", "inches"), [("single", 3.25), ("double", 6.75)])
def test_files_are_well_formed_and_as_wide_as_columns(paper, width, inches):
    for path in (paper / "figures").glob(f"*-{width}.svg"):
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(72 * inches)
        assert not list(root.iter("{http://www.w3.org/2000/svg}text")), (
            "as outlines, for readers without the fonts"
        )
        content = path.with_suffix(".pdf").read_bytes()
        assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
        (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content)
        assert float(box[0]) == pytest.approx(72 * inches)
        assert b"/Type3" not in content and b"/Subtype /Image" not in content, (
            "outlines and lines, no bitmaps"
        )


def test_pictures_of_pgf_close_what_they_open_and_set_names_escaped(paper):
    for path in (paper / "figures").glob("*.pgf"):
        text = path.read_text(encoding="utf-8")
        check_latex(text)
        assert text.count(r"\begin{pgfpicture}") == 1 and r"\end{table}" not in text
        assert "nan" not in text and "inf" not in text
    text = (paper / "figures" / "accuracy-l2-single.pgf").read_text(encoding="utf-8")
    assert tex_text(HOSTILE) in text and r"$\ell_2$ radius" in text
    sizes = {float(size) for size in re.findall(r"\\fontsize\{([\d.]+)\}", text)}
    assert min(sizes) >= 6.5, "smaller text is not readable in print"


def test_captions_say_what_figures_of_a_paper_do_not(paper):
    floats = (paper / "figures.tex").read_text()
    check_latex(floats)
    (caption,) = re.findall(r"\\caption\{(.*)\}\n\\label\{fig:accuracy-l2\}", floats)
    assert (
        "n = 100,000 noise samples per image" in caption
        and "dashed: majority vote under the attacks" in caption
    )
    mean = radius_text(summarize(make_runs()[0].certificates["l2", 1]).mean_radius, "l2")
    assert f"Laplace: {mean}" in caption and caption.endswith(r"~\cite{sun2025}.")
    with paper_style():
        drawing = accuracy_by_noise({"a": make_certificates()})
    assert not drawing.texts and drawing.title == "Certified accuracy, ℓ₂, Laplace noise"


def cells_of(text: str) -> dict[str, list[str]]:
    """The cells of the rows of a tabular, by the name of the row."""
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    rows = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if line.endswith(r"\\")]
    return {row[0]: row[1:] for row in rows}


def test_all_numbers_of_the_tables_are_those_of_the_json(paper, tmp_path):
    write_report(make_runs(), tmp_path, published=PUBLISHED)
    results = json.loads((tmp_path / "report.json").read_text())
    floats = re.split(r"(?=\\begin\{table\*?\})", (paper / "tables.tex").read_text())[1:]
    tables = [text for text in floats if "-conditions}\n\\begin" not in text]
    assert len(tables) == len(results["tables"]) == 4
    for text, table in zip(tables, results["tables"], strict=True):
        check_latex(text)
        cells = cells_of(text)
        assert f"tab:{table['norm']}-top{table['k']}" in text and len(cells) == len(table["accuracy"])
        for (name, shares), row in zip(table["accuracy"].items(), cells.values(), strict=True):
            assert any(key.startswith(tex_text(name)) for key in cells)
            printed = [re.sub(r"\\textbf\{(.*)\}", r"\1", cell) for cell in row[: len(shares)]]
            assert printed == ["--" if share is None else f"{100 * share:.1f}" for share in shares]
        lines = rows_of(paper / "data" / f"table-{table['norm']}-top{table['k']}.csv")
        assert {(line["row"], float(line["radius"])): float(line["share"]) for line in lines} == {
            (name, radius): share
            for name, shares in table["accuracy"].items()
            for radius, share in zip(table["radii"], shares, strict=True)
            if share is not None
        }


def test_tables_have_the_rules_of_booktabs_and_as_many_cells_as_columns():
    for table in all_tables(make_runs(), published=PUBLISHED):
        text = table_tex(table)
        assert NORM_NAMES[table.norm] not in text, "as mathematics"
        floats = re.split(r"(?=\\begin\{table\*?\})", text)[1:]
        assert len(floats) == 1 + table.compared
        for one in floats:
            assert [one.count(rf"\{rule}rule") for rule in ("top", "bottom")] == [
                1,
                1,
            ] and r"\hline" not in one
            assert one.count(r"\midrule") == 1 + table.compared
            columns = len(re.findall(r"\{@\{\}([lrc]+)@\{\}\}", one)[0])
            assert {len(row) for row in cells_of(one).values()} == {columns - 1}
        if table.compared:
            assert cells_of(floats[1])["Laplace"] == ["--", "--", "120", "100,000", "0.001", "--"]
    plain = table_tex(tabulate({"own": make_certificates()}))
    assert r"\cite" not in plain and "table*" not in plain


def test_the_data_of_curves_are_exact(paper):
    run = make_runs()[0]
    one, lengths = run.certificates["l2", 1], run.attacks["l2", 1]
    rows = rows_of(paper / "data" / "accuracy-l2.csv")
    for kind, (radii, shares) in {
        "certified": accuracy_curve(one),
        "attacked": empirical_curve(one.correct, lengths),
    }.items():
        found = [row for row in rows if (row["row"], row["kind"]) == ("Laplace", kind)]
        assert [float(row["radius"]) for row in found] == radii.tolist()
        assert [float(row["share"]) for row in found] == shares.tolist()
    assert not [row for row in rows if (row["row"], row["kind"]) == (HOSTILE, "attacked")]
    theirs = [row for row in rows if row["row"] == "easy images .25, Sun et al. 2025"]
    assert {row["radius"]: row["share"] for row in theirs}["0.5"] == "0.593"
    lower = np.where(one.label == one.true_label, one.lower, 0.0)
    for row in rows_of(paper / "data" / "probability.csv"):
        if row["row"] == "Laplace":
            assert float(row["share"]) == pytest.approx(np.mean(lower >= float(row["lower"])))


def test_every_cited_work_is_in_the_bibliography(paper):
    text = (paper / "tables.tex").read_text() + (paper / "figures.tex").read_text()
    keys = set(re.findall(r"\\cite\{([^}]*)\}", text))
    known = re.findall(r"^@\w+\{(\w+),", (paper / "references.bib").read_text(), re.M)
    assert keys <= set(known) <= set(entries()) and len(known) == len(set(known)) and "sun2025" in keys


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX")
def test_latex_sets_the_tables_and_pictures(paper, tmp_path):
    shutil.copytree(paper, tmp_path / "paper")
    pictures = "\n".join(
        rf"\begin{{figure{star}}}\input{{figures/{path.name}}}\end{{figure{star}}}"
        for width, star in (("single", ""), ("double", "*"))
        for path in sorted((paper / "figures").glob(f"accuracy-*-{width}.pgf"))
    )
    (tmp_path / "paper" / "main.tex").write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage[margin=2cm]{geometry}\n"
        "\\usepackage{booktabs,graphicx,pgf}\n\\begin{document}\n"
        f"\\input{{tables}}\\clearpage\\input{{figures}}\\clearpage\n{pictures}\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "main.tex"]
    ended = subprocess.run(command, cwd=tmp_path / "paper", capture_output=True, text=True, errors="replace")
    assert ended.returncode == 0, ended.stdout[-2000:]
    # nothing is wider than its column, but for a table with our longest name
    overfull = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", ended.stdout)]
    assert max(overfull, default=0) < 40, overfull


def test_the_distribution_counts_images_by_the_bound_of_their_true_label():
    one = make_certificates("gaussian")
    axes = probability_distribution({"Gaussian": one}).axes[0]
    x, y = axes.lines[-1].get_data()
    lower = np.where(one.label == one.true_label, one.lower, 0.0)
    at = np.random.default_rng(0).uniform(0.01, 0.999, 100)
    drawn = y[np.searchsorted(x, at, side="left") - 1]
    np.testing.assert_allclose(drawn, [(lower >= bound).mean() for bound in at])
    nothing = replace(one, lower=np.zeros(120))
    assert probability_distribution({"nothing": nothing}).axes
    with pytest.raises(InputError, match="one k at a time"):
        probability_distribution({"a": one, "b": make_certificates(k=2)})
    with pytest.raises(InputError, match="about its weakest label"):
        probability_distribution({"a": replace(one, labels="top-k-set")})


def test_figures_for_a_paper_span_one_or_two_columns_and_the_next_ones_are_as_before():
    with pytest.raises(InputError, match="1 or 2 columns; got 3"), paper_style(3):
        pass
    one = make_certificates()
    before = svg_text(accuracy_by_noise({"a": one}))
    with paper_style(columns=2):
        drawing = accuracy_by_noise({"a": one})
    assert drawing.get_size_inches()[0] == 6.75
    assert svg_text(accuracy_by_noise({"a": one})) == before
    assert svg_text(drawing) == svg_text(drawing) and pdf_bytes(drawing) == pdf_bytes(drawing)


@pytest.mark.parametrize("case", ["one image", "nothing", "one run", "many runs", "single class"])
def test_unusual_runs_have_a_paper_too(tmp_path, case):
    one = make_runs(norms=("l2",), ks=(1,))[0].certificates["l2", 1]
    changed = {
        "one image": make_certificates(images=1),
        "nothing": replace(one, status=np.full(120, "open"), radius=np.zeros(120), lower=np.zeros(120)),
        "single class": replace(one, true_label=one.label),
    }.get(case, one)
    runs = [Run("first", {("l2", 1): replace(changed, data=CIFAR10)})]
    if case == "many runs":
        runs = [Run(f"run {number}", {("l2", 1): one}) for number in range(12)]
    folder = write_paper(runs, tmp_path)
    check_latex((folder / "tables.tex").read_text())
    check_latex((folder / "figures" / "accuracy-l2-single.pgf").read_text(encoding="utf-8"))


def test_figures_show_themselves_in_notebooks():
    drawing = accuracy_by_noise({"a": make_certificates()})
    assert drawing._repr_svg_() == svg_text(drawing)
    images = np.zeros((1, 1, 8, 8), dtype=np.uint8)
    assert "<svg" in image_strip(images, {"l2": make_certificates()}, [0])._repr_svg_()


def test_pgf_needs_no_latex(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert pgf_text(accuracy_by_noise({"a": make_certificates()})).count(r"\pgftext") > 5


def test_texts_for_latex():
    assert (
        tex_text(r"a_b & 5% \x {y} ~^")
        == r"a\_b \& 5\% \textbackslash{}x \{y\} \textasciitilde{}\textasciicircum{}"
    )
    assert tex_text("ℓ∞ ≤ 2/255, σ · α") == r"$\ell_\infty$ $\leq$ 2/255, $\sigma$ $\cdot$ $\alpha$"
    assert tex_text("a\nb\x00") == "a b "


def test_the_json_has_the_tables_conditions():
    (table,) = (table_json(tabulate({"own": make_certificates()})) for _ in range(1))
    assert table["settings"]["own"]["images"] == 120


def test_the_page_shows_the_conditions_beside_published_rows(tmp_path):
    page = write_report(make_runs(), tmp_path / "with", published=PUBLISHED).read_text(encoding="utf-8")
    (table,) = re.findall(
        r'<table class="conditions">(?:(?!</table>).)*WRN-40-2.*?</table>', page, re.DOTALL
    )[:1]
    assert '<th scope="col">extra data</th>' in table and "<td>10,000</td>" in table
    assert 'class="conditions"' not in write_report(make_runs(), tmp_path / "without").read_text(
        encoding="utf-8"
    )
