"""The data for the program of the page, and what the page shows besides tables: examples, classes, attacks, sources."""

import base64
import hashlib
import html
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import radii
from certificate_factory import make_certificates
from given_models import plain
from radii.cli.attacked_pictures import pictures_beside, read_pictures, sheet_bytes
from radii.cli.report import shown_examples
from radii.data import load_data
from radii.errors import InputError
from radii.noises import NOISES, example
from radii.noises.streams import Stream
from radii.report.accuracy import accuracy_curve, certified_radii
from radii.report.attacked import found_beside, read_found
from radii.report.formatting import radius_text
from radii.report.html import Examples, Run, explorer, page, write_report
from radii.report.html.comparing import comparison_section
from radii.report.html.differences import difference_pictures
from radii.report.html.examples import perturbed
from radii.report.html.explorer import CORRECT, attack_sentences, explorer_data, script_json
from radii.report.html.packing import Packs
from radii.report.html.page import MOST_CLASSES, class_rows
from radii.report.round_radii import round_radii
from radii.sampling import Smoothed
from radii.sampling.monte_carlo import NoisyImages


def run_of(noise="laplace", ks=(1, 2), norms=("l0", "l2", "linf"), **settings):
    found = {(norm, k): make_certificates(noise, norm, k=k, **settings) for norm in norms for k in ks}
    return Run(noise.capitalize(), found)


def data_in(page):
    text = page.read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text).group(1))


def unpacked(data, number):
    text = data["packs"][number]
    return np.frombuffer(base64.b64decode(text[1:]), dtype=f"<{'u' * (text[0] in 'BHI')}{TYPES[text[0]]}")


TYPES = {"B": "1", "H": "2", "I": "4", "f": "f4", "d": "f8"}


def lengths(data, numbers):
    values = unpacked(data, numbers[0])
    return values[unpacked(data, numbers[1])] if len(numbers) > 1 else values


def test_curves_drawn_from_the_page_are_those_of_the_results(tmp_path):
    runs = [run_of(), run_of("gaussian", seed=1)]
    data = data_in(write_report(runs, tmp_path))
    assert len(data["series"]) == 2 * 3 * 2 and data["ks"] == [1, 2]
    for series in data["series"]:
        one = runs[series["run"]].certificates[series["norm"], series["k"]]
        radii, shares = accuracy_curve(one)
        held = lengths(data, series["radii"])
        drawn = [np.mean(held >= at) for at in radii]
        assert np.abs(np.array(drawn) - shares).max() < 1e-12
        counted = one.correctly_certified
        assert np.array_equal(held, np.where(counted, one.radius, np.nan), equal_nan=True)
        status = unpacked(data, series["status"]) % CORRECT
        assert np.array_equal(status == data["statuses"].index("certified"), counted)


@pytest.mark.parametrize("up", [False, True])
def test_many_radii_are_kept_short_and_rounded_to_the_safe_side(up):
    values = np.append(np.random.default_rng(0).random(1000), [np.nan, np.inf, 0])
    packs = Packs()
    found = lengths({"packs": packs.texts}, packs.add_lengths(values, exact=False, up=up))
    finite = np.isfinite(values)
    assert found.dtype == np.float32 and np.array_equal(found[~finite], values[~finite], equal_nan=True)
    change = found[finite].astype(float) - values[finite]
    assert (change >= 0).all() if up else (change <= 0).all()
    assert np.abs(change).max() < 1.3e-7
    few = np.repeat([0.1, 2 / 255, np.nan], 50)
    assert np.array_equal(
        lengths({"packs": packs.texts}, packs.add_lengths(few, exact=False, up=up)), few, equal_nan=True
    ), "radii that were decided stay as they are"


def test_an_array_is_stored_once():
    packs = Packs()
    assert packs.add(np.arange(5)) == packs.add(np.arange(5)) == 0
    assert packs.add(np.array([300, 0])) == 1 and packs.add(np.array([70_000])) == 2
    assert [text[0] for text in packs.texts] == ["B", "H", "I"]


def test_a_radius_that_was_decided_is_reached_everywhere(tmp_path):
    """Rounded down at any digit, 2/255 would be less than 2/255."""
    images = load_data("digits").first(30)
    smoothed = Smoothed(plain, radii.Gaussian(0.25), batch=64)
    labels = np.maximum(smoothed.predict(images, n=200, seed=0), 0)
    question = {"norm": "linf", "radii": (0.5 / 255, 2 / 255), "n_max": 2000}
    one = smoothed.certify(images.images(), labels, **question)
    reached = one.radius[one.radius > 0]
    assert (
        len(reached) > 20
        and (reached >= 0.5 / 255).all()
        and reached.max() == pytest.approx(2 / 255, rel=1e-12)
    )
    assert round_radii([one])[-1] == pytest.approx(2 / 255, rel=1e-12)
    several = [one, replace(one, radius=one.radius * (1 + 1e-13))]
    assert round_radii(several) == round_radii([one]), "the same question"
    page = write_report([Run("Gaussian", {("linf", 1): one})], tmp_path)
    shown = (one.radius >= 2 / 255).sum()
    data = data_in(page)
    assert (lengths(data, data["series"][0]["radii"]) >= 2 / 255).sum() == shown
    rows = (tmp_path / "certificates" / "gaussian.csv").read_text().splitlines()[1:]
    assert sum(float(row.split(",")[2] or 0) >= 2 / 255 for row in rows) == shown
    assert f'r = 2/255</th><td class="share">{100 * shown / 30:.1f} %' in page.read_text()


def test_runs_about_different_images_share_one_list():
    one, two = run_of(images=5), run_of("gaussian", images=8)
    other = Run(
        two.name, {key: replace(each, index=each.index + 40) for key, each in two.certificates.items()}
    )
    data = explorer_data([one, other], ["l2"])
    index = unpacked(data, data["images"]["index"]).tolist()
    assert index == sorted({*one.index.tolist(), *other.index.tolist()})
    for run, shown in zip((one, other), data["runs"], strict=True):
        assert [index[row] for row in unpacked(data, shown["rows"])] == run.index.tolist()
        labels = unpacked(data, data["images"]["label"])[unpacked(data, shown["rows"])].tolist()
        assert len(labels) == len(run.labels)
    assert labels == other.labels.tolist(), "of images that both know the last word counts"


def test_no_name_ends_the_data_early(tmp_path):
    mean = "</script><script>alert(1)</script>"
    run = Run(mean, {("l2", 1): make_certificates()})
    page = write_report([run], tmp_path, title="<!-- <script>")
    assert page.read_text().count("<script") == page.read_text().count("</script>") == 2
    assert data_in(page)["runs"][0]["name"] == mean
    assert "<" not in script_json({"a": "<!--<script>"})


def test_the_page_runs_its_own_program_alone(tmp_path):
    text = write_report([run_of()], tmp_path).read_text()
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert len(script) == 1 and f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_cards_show_labels_and_radii_of_one_k(tmp_path):
    """Of the smallest, in whatever order they are given; here only l0 lacks it."""
    found = {(norm, k): make_certificates(norm=norm, k=k) for norm, k in (("l0", 3), ("l2", 3), ("l2", 1))}
    one, other = found["l2", 1], found["l2", 3]
    rows = np.flatnonzero((one.label != other.label) & one.certified & other.certified)[:4]
    examples = Examples(np.zeros((4, 1, 8, 8), np.uint8), one.index[rows])
    text = write_report([Run("Laplace", found)], tmp_path, examples=examples).read_text()
    labels = re.findall(r"label, k = 1</th><td>(\d)", text)
    assert labels == [str(one.label[row]) for row in rows]
    cards = re.findall(r"label, k = 1.*?</tbody>", text, re.DOTALL)
    assert [re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', card) for card in cards] == [
        [("ℓ₂", radius_text(one.radius[row], "l2"))] for row in rows
    ]
    text = write_report([Run("Laplace", {("l2", 3): other})], tmp_path, examples=examples).read_text()
    assert "label, k = 3" in text and "removes a certified label from the top 3 of the run" in text


SIZE = {
    "l1": lambda delta: np.abs(delta).sum(),
    "l2": lambda delta: np.sqrt((delta**2).sum()),
    "linf": lambda delta: np.abs(delta).max(),
}


@pytest.mark.parametrize("norm", SIZE)
@pytest.mark.parametrize("radius", [0.0, 1e-3, 0.4, 0.97])
def test_perturbations_are_as_long_as_the_radius_and_stay_in_the_box(norm, radius):
    image = np.random.default_rng(1).integers(0, 256, (3, 8, 8)) / 255
    for seed in range(5):
        after = perturbed(image, norm, radius, "feature", seed)
        assert after.min() >= 0 and after.max() <= 1
        room = np.maximum(image, 1 - image).max() if norm == "linf" else np.inf
        assert SIZE[norm](after - image) == pytest.approx(min(radius, room), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("unit", ["pixel", "feature"])
def test_perturbations_in_l0_change_as_many_units_as_the_radius(unit):
    image = np.random.default_rng(1).integers(0, 256, (3, 8, 8)) / 255
    for radius in (0, 1, 5, 64):
        changed = perturbed(image, "l0", float(radius), unit) != image
        assert (changed.any(axis=0) if unit == "pixel" else changed).sum() == radius
        assert (
            not changed.any() or (np.abs(perturbed(image, "l0", radius, unit) - image)[changed] >= 0.5).all()
        )


def test_perturbations_longer_than_the_box_is_wide_fill_it():
    image = np.full((1, 2, 2), 0.25)
    assert np.abs(perturbed(image, "l1", 100.0, "feature") - image).sum() == 4 * 0.75
    assert np.isin(perturbed(image, "l2", 100.0, "feature"), [0, 1]).all()


def test_classes_come_from_the_least_robust_to_the_most():
    run = run_of(images=300)
    one, found = run.certificates["l2", 1], class_rows([run], "l2", list("abcdefghij"))
    means = {}
    for row in found["rows"]:
        here = one.true_label == "abcdefghij".index(row["name"])
        held = one.correctly_certified[here]
        means[row["name"]] = np.where(held, one.radius[here], 0).mean()
        assert row["images"] == here.sum()
        assert row["cells"][0] == f"{100 * held.mean():.1f}"
        assert 0 <= means[row["name"]] - float(row["cells"][1]) < 1e-3
    assert list(means.values()) == sorted(means.values()) and len(means) == 10 and found["left"] == 0


def test_of_very_many_classes_the_least_robust_are_shown():
    one = make_certificates(images=300)
    many = replace(one, true_label=np.arange(300), label=np.arange(300))
    found = class_rows([Run("Laplace", {("l2", 1): many})], "l2")
    assert len(found["rows"]) == MOST_CLASSES and found["left"] == 300 - MOST_CLASSES
    least = np.sort(certified_radii(many))[:MOST_CLASSES]
    assert [float(row["cells"][1]) for row in found["rows"]] == pytest.approx(least, abs=1e-3)


def attacked_file(path, one, rows, found):
    path.parent.mkdir(exist_ok=True)
    lines = ["index,label,certified,found"]
    for row, length in zip(rows, found, strict=True):
        lines.append(f"{one.index[row]},{one.label[row]},{one.radius[row].item()},{length}")
    path.write_text("\n".join(lines) + "\n")


def test_classes_of_runs_are_compared_for_one_k_which_the_page_names(tmp_path):
    runs = [run_of(ks=(2,)), run_of("gaussian", ks=(1, 2)), run_of("uniform", ks=(1,))]
    found = class_rows(runs, "l2")
    assert found["k"] == 1 and found["runs"] == ["Gaussian", "Uniform"]
    assert "Certified at radius 0 for k = 1, percent" in write_report(runs, tmp_path).read_text()


def test_attacks_are_read_beside_their_votes_and_shown(tmp_path):
    run = run_of(norms=("l2",))
    one = run.certificates["l2", 1]
    rows = np.flatnonzero(one.correctly_certified & (one.radius > 0))[:3]
    attack_lengths = [2 * one.radius[rows[0]], 4 * one.radius[rows[1]], math.inf]
    attacked_file(tmp_path / "attacks" / "votes-l2-top1.csv", one, rows, attack_lengths)
    found = found_beside(tmp_path / "votes.parquet", run.certificates)
    assert list(found) == [("l2", 1)] and found["l2", 1][rows].tolist() == attack_lengths
    assert np.isinf(np.delete(found["l2", 1], rows)).all()
    shown = replace(run, attacks=found)
    held = (one.correctly_certified & (one.radius > 0)).sum()
    assert attack_sentences(shown, "l2") == [
        f"attacks changed 2 of {held} certified predictions, none within its radius; "
        "the median length is 3.00 certified radii"
    ]
    data = data_in(write_report([shown], tmp_path / "page"))
    assert "found" not in next(each for each in data["series"] if each["k"] == 2)
    found = next(each for each in data["series"] if each["k"] == 1)["found"]
    assert np.array_equal(lengths(data, found)[rows], attack_lengths)
    assert "attacks changed 2 of" in (tmp_path / "page" / "index.html").read_text()


def perturbed_sheet(tmp_path, shape, count=30):
    """A run whose first images were perturbed, each to its own grey; what is stored about them."""
    one = replace(make_certificates(), shape=shape)
    rows = np.flatnonzero(one.radius > 0)[:count]
    attack_lengths = np.where(np.arange(len(rows)) % 3 == 1, np.inf, 2 * one.radius[rows])
    path = tmp_path / "attacks" / "votes-l2-top1.csv"
    attacked_file(path, one, rows, attack_lengths)
    images = np.broadcast_to(np.arange(len(rows)).reshape(-1, 1, 1, 1) / 255, (len(rows), *shape))
    return one, rows, path.with_suffix(".png"), sheet_bytes(path.read_text(), attack_lengths, images)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 6), (3, 100, 130)])
def test_pictures_of_perturbed_images_are_read_and_shown(tmp_path, shape):
    one, rows, path, content = perturbed_sheet(tmp_path, shape)
    path.write_bytes(content)
    certificates = {("l2", 1): one}
    found = found_beside(tmp_path / "votes.parquet", certificates)
    pictures = pictures_beside(tmp_path / "votes.parquet", certificates, found)
    assert list(pictures) == [("l2", 1)]
    expected = [number for number in range(len(rows)) if number % 3 != 1]
    assert list(pictures["l2", 1]) == one.index[rows][expected].tolist()
    assert [np.unique(one).tolist() for one in pictures["l2", 1].values()] == [[grey] for grey in expected]
    run = Run("Laplace", certificates, attacks=found, perturbed=pictures)
    sheet = data_in(write_report([run], tmp_path / "page"))["series"][0]["perturbed"]
    assert list(map(int, sheet["places"])) == list(pictures["l2", 1])
    assert (sheet["height"], sheet["width"]) == ((34, 44) if max(shape) > 64 else shape[1:])
    assert sheet["uri"].startswith("data:image/png")


def test_pictures_that_would_make_a_page_too_long_are_left_out(tmp_path, monkeypatch):
    one, _, path, content = perturbed_sheet(tmp_path, (1, 8, 8))
    path.write_bytes(content)
    found = found_beside(tmp_path / "votes.parquet", {("l2", 1): one})
    pictures = pictures_beside(tmp_path / "votes.parquet", {("l2", 1): one}, found)
    run = Run("Laplace", {("l2", 1): one}, attacks=found, perturbed=pictures)
    (sheet,) = (one["perturbed"] for one in data_in(write_report([run], tmp_path / "page"))["series"])
    monkeypatch.setattr(explorer, "MOST_PERTURBED", len(sheet["uri"]) - 1)
    assert "perturbed" not in data_in(write_report([run], tmp_path / "smaller"))["series"][0]


def test_what_is_no_picture_or_was_not_found_leaves_no_sheet(tmp_path):
    images = np.zeros((2, 1, 8, 8))
    assert sheet_bytes("", np.full(2, np.inf), images) is None
    assert sheet_bytes("", np.ones(2), np.zeros((2, 64))) is None
    assert sheet_bytes("", np.ones(2), np.zeros((2, 4, 8, 8))) is None
    # votes without pictures beside them, as older versions attacked them
    assert pictures_beside(tmp_path / "votes.parquet", {}, {("l2", 1): np.ones(3)}) == {}


@pytest.mark.parametrize(
    "change,words",
    [
        (lambda content: content[:-30], "is not a whole image"),
        (lambda content: b"", "is not a whole image"),
        (
            lambda content: sheet_bytes("of others", np.ones(20), np.zeros((20, 1, 8, 8))),
            "does not show what",
        ),
        (lambda content: sheet_bytes("", np.ones(3), np.zeros((3, 1, 8, 8))), "8 x 24|24 x 8"),
        (lambda content: sheet_bytes("", np.ones(60), np.zeros((60, 1, 8, 8))), "pixels"),
    ],
)
def test_pictures_of_other_attacks_are_rejected(tmp_path, change, words):
    one, _, path, content = perturbed_sheet(tmp_path, (1, 8, 8))
    path.write_bytes(change(content))
    found = found_beside(tmp_path / "votes.parquet", {("l2", 1): one})["l2", 1]
    with pytest.raises(InputError, match=words):
        read_pictures(path, one, found)


def test_attacks_within_their_radius_are_counted():
    one = make_certificates()
    found = np.full(len(one), np.inf)
    row = np.flatnonzero(one.correct & (one.radius > 0))[0]
    found[row] = one.radius[row]
    run = Run("Laplace", {("l2", 1): one}, attacks={("l2", 1): found})
    assert "1 within their radius" in attack_sentences(run, "l2")[0]


@pytest.mark.parametrize(
    "change,words",
    [
        (lambda text: text.replace("found", "length"), "is not what radii attack writes"),
        (lambda text: text + "1,2\n", "is not what radii attack writes"),
        (lambda text: text.replace("inf", "nan"), "is not what radii attack writes"),
        (lambda text: "", "is not what radii attack writes"),
        (lambda text: re.sub(r"\n(\d+),", r"\n7\1,", text, count=1), "about other certificates"),
        (lambda text: text + text.splitlines()[1] + "\n", "about other certificates"),
        (lambda text: re.sub(r"\n(\d+),\d,", r"\n\1,11,", text, count=1), "about other certificates"),
        (lambda text: re.sub(r"0\.", "0.9", text, count=1), "about other certificates"),
        (lambda text: text + "9" * 2 * 10**5, "not what radii attack writes"),
        (lambda text: text + f"{'9' * 30},1,1,1", "not what radii attack writes"),
    ],
)
def test_attacks_on_other_certificates_are_rejected(tmp_path, change, words):
    one = make_certificates()
    rows = np.flatnonzero(one.radius > 0)[:3]
    path = tmp_path / "votes-l2-top1.csv"
    attacked_file(path, one, rows, [math.inf] * 3)
    assert np.isinf(read_found(path, one)).all()
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=words):
        read_found(path, one)


@pytest.mark.parametrize("apart,same", [(1e-9, True), (1e-6, False)])
def test_attacks_fit_certificates_that_another_processor_rounded(tmp_path, apart, same):
    one = make_certificates()
    rows, path = np.flatnonzero(one.radius > 0)[:3], tmp_path / "votes-l2-top1.csv"
    attacked_file(path, replace(one, radius=one.radius * (1 + apart)), rows, [math.inf] * 3)
    if same:
        assert np.isinf(read_found(path, one)).all()
    else:
        with pytest.raises(InputError, match="about other certificates"):
            read_found(path, one)


def test_votes_that_were_not_attacked_have_nothing_beside_them(tmp_path):
    assert found_beside(tmp_path / "votes.parquet", run_of().certificates) == {}


def test_every_work_that_a_rule_names_has_an_entry():
    known = page.entries()
    for noise in NOISES.values():
        for rule in noise.rules.values():
            keys = page.cited(rule.source)
            assert len(keys) == len(re.findall(r"\d{4}", rule.source)), rule.source
            assert set(keys) <= set(known), rule.source
    for key, entry in known.items():
        year = re.search(r"year = \{(\d{4})\}", entry).group(1)
        first = re.search(r"author = \{(.*?)(?: and |\})", entry).group(1).split()[-1]
        assert key == first.lower() + year and "title = {" in entry
        assert entry.count("{") == entry.count("}") and entry.endswith("\n}")


def test_sources_are_those_of_the_rules_used(tmp_path):
    text = page.bibtex([run_of(ks=(1,), norms=("l2",))], ["l2"])
    assert re.findall(r"@\w+\{(\w+),", text) == ["cohen2019", "clopper1934"]
    more = page.bibtex([run_of("uniform", norms=("l1",))], ["l1"])
    assert re.findall(r"@\w+\{(\w+),", more) == ["cohen2019", "clopper1934", "jia2020", "yang2020"]
    assert text.splitlines()[0] in write_report([run_of()], tmp_path).read_text()


@pytest.mark.parametrize("exact", [False, True])
def test_noise_samples_shown_are_those_that_the_model_received(exact):
    images, seen = load_data("digits").first(3), []

    def model(noisy):
        seen.append(noisy.clone())
        return torch.zeros(len(noisy), 10)

    smoothed = Smoothed(model, radii.Gaussian(0.25), batch=4, exact_arithmetic=exact)
    votes = smoothed.vote(images, plan=radii.fixed(1, selection=0), seed=5)
    shown = shown_examples(images, {"Gaussian": votes})
    # the model is also queried before and after the run, to see whether it depends on its batch
    received = [np.round(255 * np.clip(batch[:3].numpy(), 0, 1)).astype(np.uint8) for batch in seen]
    assert sum(np.array_equal(shown.noisy["Gaussian"], batch) for batch in received) == 1
    assert not np.array_equal(shown.noisy["Gaussian"], images.pictures())


@pytest.mark.parametrize("name", NOISES)
def test_noise_samples_of_every_noise_are_pictures(name):
    images = load_data("digits").first(2)
    noise = example(NOISES[name])
    pictures = noise.pictures(NoisyImages(images, noise, 0).first())
    assert pictures.shape == (2, *images.shape) and 0 <= pictures.min() <= pictures.max() <= 1


def test_blank_pixels_are_grey_and_kept_ones_as_they_are():
    noise = NOISES["ablation"](20)
    images = np.random.default_rng(0).random((2, 3, 8, 8)).astype(np.float32)
    shown = noise.pictures(noise.perturb(images, Stream(0).at([0, 1], [0, 0])))
    kept = (shown == images).all(axis=1)
    assert kept.reshape(2, -1).sum(axis=1).tolist() == [20, 20]
    assert (np.moveaxis(shown, 1, -1)[~kept] == 0.5).all()


def test_votes_and_noise_samples_are_on_the_cards(tmp_path):
    images = load_data("digits").first(12)

    weights = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))

    def model(noisy):
        return noisy.flatten(1) @ weights

    votes = Smoothed(model, radii.Gaussian(0.25), batch=8).vote(images, plan=radii.fixed(200))
    run = Run("Gaussian", {("l2", 1): radii.certify(votes, "l2")}, votes)
    chosen = images.first(4)
    text = write_report([run], tmp_path, examples=shown_examples(chosen, {"Gaussian": votes})).read_text()
    assert text.count('alt="the same under Gaussian noise"') == 4
    bars = re.findall(r'class="bar( true)?"><span>(\w+)</span><span>([\d.]+)</span>', text)
    assert len(bars) == 4 * 3
    for row in range(4):
        mine = bars[3 * row : 3 * row + 3]
        counts = sorted(votes.counts[row].tolist(), reverse=True)[:3]
        assert [float(share) for _, _, share in mine] == pytest.approx(
            [100 * c / 200 for c in counts], rel=6e-3
        )
        assert [bool(mark) for mark, *_ in mine] == [int(label) == votes.labels[row] for _, label, _ in mine]
    for fact in (
        "<dd>float32, when it is added</dd>",
        "seed",
        votes.model[:12],
        f"torch {votes.software['torch']}",
    ):
        assert fact in text


def test_the_page_states_which_perturbed_images_the_radii_cover_and_how_sure_they_are(tmp_path):
    images = load_data("digits").first(6)

    def run_under(noise, plan, **settings):
        votes = Smoothed(lambda noisy: noisy.flatten(1)[:, :10], noise, batch=8, **settings).vote(
            images, plan=plan
        )
        found = {(norm, 1): radii.certify(votes, norm) for norm in ("l0", "l1")}
        return Run(f"{noise.title}{settings.get('exact_arithmetic', '')}", found, votes)

    def guarantee_on_page(*runs):
        text = write_report(runs, tmp_path).read_text()
        return html.unescape(text[text.index("<h3>Guarantee") : text.index("<h3>Rules")]), text

    gaussian, splitting = radii.Gaussian(0.25), radii.Splitting(0.05)
    free = run_under(gaussian, radii.fixed(50))
    grid = run_under(gaussian, radii.fixed(50), exact_arithmetic=True)
    cells = run_under(splitting, radii.exhaustive(splitting))
    in_box = "ℓ₀: the radii cover perturbed images with all values in [0, 1]."
    on_grid = "radii cover perturbed images with 8 bits per value"
    boxed, page = guarantee_on_page(free)
    assert in_box in boxed and "8 bits" not in boxed and "at least 99.9\N{NO-BREAK SPACE}% over" in boxed
    assert "for each image with probability 99.9\N{NO-BREAK SPACE}% (50 samples).<" in page
    whole, page = guarantee_on_page(grid, cells)
    assert f"The {on_grid}" in whole and "all values in" not in whole
    assert "<dd>none (exact arithmetic on a lattice) or none (a function of 8-bit images)</dd>" in page
    mixed, page = guarantee_on_page(free, cells)
    assert f"Splitting: the {on_grid}" in mixed and in_box in mixed
    assert "Splitting noise has no sampling error" in mixed
    assert "99.9\N{NO-BREAK SPACE}% (50 samples); splitting noise has no sampling error.<" in page
    assert f"50 or all {splitting.outcomes}" in page
    counted, page = guarantee_on_page(cells)
    assert "probability" not in counted and "holds for each image without sampling error" in page
    kept = radii.Smoothed(lambda noisy: noisy.flatten(1)[:, :10], radii.Flips(0.8)).vote(
        images, plan=radii.fixed(50)
    )
    _, page = guarantee_on_page(Run("Flips", {("l0", 1): radii.certify(kept, "l0")}, kept))
    assert "<dd>none (values are kept or replaced)</dd>" in page and "when it is added" not in page


def test_votes_must_be_those_of_the_certificates():
    images = load_data("digits").first(6)
    votes = Smoothed(lambda noisy: torch.zeros(len(noisy), 10), radii.Gaussian(0.25)).vote(
        images, plan=radii.fixed(50)
    )
    one = radii.certify(votes, "l2")
    with pytest.raises(InputError, match="not those of its certificates"):
        Run("Gaussian", {("l2", 1): one}, votes[:3])
    with pytest.raises(InputError, match="about different images"):
        Run("Gaussian", {("l2", 1): one, ("l1", 1): radii.certify(votes[:3], "l1")})


def test_noisy_examples_have_the_form_of_the_images():
    images = np.zeros((2, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(InputError, match="uint8"):
        Examples(images, np.arange(2), noisy={"Laplace": images.astype(float)})


def test_a_pair_has_its_own_test_whatever_the_names_of_the_runs():
    """The names are in no order, and only one run differs from the others."""
    weak, strong = make_certificates(images=300), make_certificates(images=300)
    weak = replace(weak, radius=weak.radius / 4)
    runs = [Run("z", {("l2", 1): weak}), Run("m", {("l2", 1): strong}), Run("a", {("l2", 1): weak})]
    section = comparison_section(runs, "l2")
    assert {frozenset(pair["names"]) for pair in section["pairs"]} == {
        frozenset("za"),
        frozenset("zm"),
        frozenset("ma"),
    }
    for pair in section["pairs"]:
        smallest = min(float(row[-1].strip("< ")) for row in pair["rows"])
        assert (smallest < 1e-6) == ("m" in pair["names"]), pair["names"]


def test_two_runs_that_certify_nothing_have_no_picture():
    nothing = replace(make_certificates(), radius=np.zeros(120))
    runs = [Run("a", {("l2", 1): nothing}), Run("b", {("l2", 1): nothing})]
    found = difference_pictures(comparison_section(runs, "l2"))
    assert found["pairs"] == [] and found["left"] == 1
    assert difference_pictures(None) is None
