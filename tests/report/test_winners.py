"""What may be said about the best run: the same everywhere, and no more than paired tests show."""

import itertools
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest

import radii
from certificate_factory import make_certificates
from radii.report.accuracy import certified_to
from radii.report.accuracy_table import tabulate
from radii.report.document import accuracy_with_interval
from radii.report.html import Run
from radii.report.html.cards import norm_card
from radii.report.html.comparing import comparison_section
from radii.report.html.content import winners_of
from radii.report.paired import difference_interval, mcnemar
from radii.report.winners import find_winners, radii_to_test, radius_sentence, winners_text

ROOT = Path(__file__).parents[2]
SPACE = "\N{NO-BREAK SPACE}"


def certified(radius, norm="l2", **changes):
    """Certificates of images with these radii, all certified to 0."""
    one = make_certificates(norm=norm, images=len(radius))
    return replace(
        one,
        label=one.true_label,
        status=np.full(len(radius), "certified"),
        radius=np.array(radius, float),
        **changes,
    )


def pair(first, second, both=20, neither=20):
    """Two sets of which the first alone certifies `first` images to 1, and the second alone `second`."""
    groups = [(1, 0)] * first + [(0, 1)] * second + [(1, 1)] * both + [(0, 0)] * neither
    return {name: certified(column) for name, column in zip("AB", zip(*groups, strict=True), strict=True)}


def test_a_run_wins_where_the_test_separates_it_from_all_others():
    # of one pair at one radius, 6 of 6 have a p-value of .031, and 5 of 5 one of .0625
    (clear,) = find_winners(pair(6, 0), [1.0]).intervals
    assert (clear.start, clear.end, clear.winners, clear.clear) == (0, 1, ("A",), True)
    (unclear,) = find_winners(pair(5, 0), [1.0]).intervals
    assert unclear.winners == ("A", "B") and not unclear.clear
    # four radii have four times the p-value
    assert [interval.clear for interval in find_winners(pair(6, 0), [0.25, 0.5, 0.75, 1.0]).intervals] == [
        False
    ]
    assert find_winners(pair(6, 0), [1.0], confidence=0.99).intervals[0].winners == ("A", "B")


def test_a_run_that_leads_must_be_separated_from_each_other_run():
    runs = pair(30, 0) | {"C": certified([1] * 28 + [0] * 2 + [1] * 20 + [0] * 20)}
    (interval,) = find_winners(runs, [1.0]).intervals
    assert interval.winners == ("A", "C"), "B is worse than both"
    sentence = radius_sentence(find_winners(runs, [1.0]))
    assert sentence == f"in ℓ₂, no clear difference between A (71.4{SPACE}%) and C (68.6{SPACE}%) at radius 1"


def test_intervals_join_radii_with_one_result_and_leave_no_gap():
    low, high = certified([0.3] * 60 + [0] * 40), certified([0] * 60 + [2.0] * 20 + [0] * 20)
    found = find_winners({"low": low, "high": high}, [0.1, 0.2, 0.5, 1.0, 3.0])
    shown = [(one.start, one.first, one.end, one.winners, one.clear) for one in found.intervals]
    assert shown == [
        (0, 0.1, 0.2, ("low",), True),
        (0.2, 0.5, 1.0, ("high",), True),
        (1.0, 3.0, 3.0, (), False),
    ]
    assert winners_text(found) == (
        f"In ℓ₂, low (60.0{SPACE}%) is ahead of high (20.0{SPACE}%) at radius 0.1. ℓ₂, best at the tested radii: "
        "0.1 to 0.2, low; 0.5 to 1, high; 3, no image is certified."
    )


def test_the_order_of_runs_decides_nothing():
    runs = pair(4, 4) | {"C": certified([1] * 30 + [0] * 18)}
    assert winners_text(find_winners(runs, [1.0])) == winners_text(
        find_winners(dict(reversed(runs.items())), [1.0])
    )


@pytest.mark.parametrize(
    "radius,sentence",
    [
        ([0.0], "in ℓ₂, no image is certified to radius 0.5"),
        ([1.0], f"in ℓ₂, no clear difference between A (100.0{SPACE}%) and B (100.0{SPACE}%) at radius 0.5"),
    ],
)
def test_one_image(radius, sentence):
    assert radius_sentence(find_winners({"A": certified(radius), "B": certified(radius)}, [0.5])) == sentence


def test_a_single_run_is_the_best_of_nothing():
    winners = find_winners({"A": certified([1.0, 0.0])}, [0.5])
    assert radius_sentence(winners) == f"in ℓ₂, A certifies 50.0{SPACE}% to radius 0.5"


def test_runs_on_other_images_are_compared_on_those_that_both_have():
    runs = pair(20, 0)
    other = replace(runs["B"], index=runs["B"].index + 10**6)
    (interval,) = find_winners({"A": runs["A"], "B": other}, [1.0]).intervals
    assert not interval.clear, "no image in common shows nothing"


def test_many_names_are_counted():
    runs = {f"run {number}": certified([1.0] * 5) for number in range(200)}
    start = time.perf_counter()
    text = radius_sentence(find_winners(runs, [0.5]))
    assert text.endswith(f"run 100 (100.0{SPACE}%) and 196 other runs at radius 0.5")
    assert time.perf_counter() - start < 60, "a hang"


@pytest.mark.parametrize("norm", radii.NORMS)
def test_tested_radii_do_not_depend_on_results(norm):
    one = make_certificates("laplace", norm)
    chosen = radii_to_test([one])
    random = np.random.default_rng(0)
    for images in (1, 50):
        other = replace(make_certificates("laplace", norm, images=images), radius=random.gamma(2, 1, images))
        assert radii_to_test([other]) == chosen
    assert 1 <= len(chosen) <= 20 and chosen[0] > 0 and sorted(set(chosen)) == chosen
    assert radii_to_test([one, make_certificates("laplace", norm, sigma=1)])[-1] >= chosen[-1]


def test_radii_that_a_plan_decided_are_tested():
    one = replace(certified([0.25] * 3 + [0.75] * 2 + [0.0]), plan="sequential")
    assert radii_to_test([one, one]) == [0.25, 0.75]


def test_equal_runs_seldom_have_a_best_one():
    """One run is called the best, of four that are equal, with a probability of at most 5 %."""
    random, claims = np.random.default_rng(7), 0
    for _ in range(300):
        difficulty = random.gamma(2, 0.3, 200)
        runs = {name: certified(np.maximum(difficulty + random.normal(0, 0.1, 200), 0)) for name in "ABCD"}
        claims += any(interval.clear for interval in find_winners(runs, np.linspace(0.1, 1, 10)).intervals)
    assert claims / 300 <= 0.05 + 3.1 * np.sqrt(0.05 * 0.95 / 300)


def test_cells_are_bold_unless_a_test_contradicts():
    runs = pair(30, 0) | {"C": certified([1] * 28 + [0] * 2 + [1] * 20 + [0] * 20)}
    table = tabulate(runs, [0, 1, 2])
    assert table.best.T.tolist() == [[True, True, True], [True, False, True], [False, False, False]]


# the section of the page ---------------------------------------------------------------------------


def runs_of(*names, norms=("l2",), **settings):
    noises = ("laplace", "gaussian", "uniform", "laplace", "gaussian")
    return [
        Run(name, {(norm, 1): make_certificates(noise, norm, **settings) for norm in norms})
        for name, noise in zip(names, noises, strict=False)
    ]


def test_the_section_holds_what_the_certificates_say():
    runs = runs_of("one", "<b>two</b>", "three", images=200)
    section = json.loads(json.dumps(comparison_section(runs, "l2"), allow_nan=False))
    assert section["left"] == 0 and len(section["pairs"]) == 3
    by_name = {run.name: run.all[0] for run in runs}
    assert section["sentence"] == radius_sentence(find_winners(by_name))
    for pair_shown in section["pairs"]:
        first, second = (by_name[name] for name in pair_shown["names"])
        curve = pair_shown["curve"]
        difference = first.accuracy(curve["radius"]) - second.accuracy(curve["radius"])
        assert curve["difference"] == pytest.approx(difference)
        assert all(
            low <= middle <= high
            for low, middle, high in zip(curve["lower"], curve["difference"], curve["upper"], strict=True)
        )
        held = [certified_to(one, [0.5])[0] for one in (first, second)]
        counts = [(held[0] & ~held[1]).sum(), (held[1] & ~held[0]).sum()]
        low, high = 100 * difference_interval(*counts, 200)
        row = next(row for row in pair_shown["rows"] if row[0] == "0.5")
        assert row[1:5] == [
            *(f"{100 * one.accuracy([0.5])[0]:.1f}" for one in (first, second)),
            f"{100 * (counts[0] - counts[1]) / 200:+.1f}",
            f"{low:+.1f} to {high:+.1f}",
        ]
        radius = float(pair_shown["flip_radius"])
        flips = pair_shown["flips"]
        for side, (better, worse) in {"first": (first, second), "second": (second, first)}.items():
            for image in flips[side]:
                row = better.index.tolist().index(image["index"])
                assert certified_to(better, [radius])[0, row] and not certified_to(worse, [radius])[0, row]
        assert len(flips["first"]) == min(pair_shown["flip_counts"][0], 10)


def test_the_strip_covers_the_tested_radii():
    section = comparison_section(runs_of("one", "two"), "l2")
    strip = section["strip"]
    assert strip[0]["start"] == 0 and all(a["end"] == b["start"] for a, b in itertools.pairwise(strip))
    assert all(len(part["winners"]) == len(part["colours"]) for part in strip)


def test_the_section_of_odd_runs():
    assert comparison_section(runs_of("alone"), "l2") is None
    assert comparison_section(runs_of("one", "two"), "l1") is None, "no certificates in this norm"
    nothing = [
        Run(name, {("l2", 1): replace(make_certificates(), radius=np.zeros(120))}) for name in ("a", "b")
    ]
    assert [pair["rows"] for pair in comparison_section(nothing, "l2")["pairs"]] == [[]]
    one = comparison_section(runs_of("a", "b", images=1), "l2")
    assert one["pairs"][0]["images"] == 1
    many = [Run(f"run {number}", {("l2", 1): make_certificates(seed=number)}) for number in range(200)]
    section = comparison_section(many, "l2")
    assert len(section["pairs"]) == 6 and section["left"] == 200 * 199 // 2 - 6
    apart = runs_of("a", "b")
    moved = Run("b", {("l2", 1): replace(apart[1].all[0], index=apart[1].index + 10**6)})
    assert comparison_section([apart[0], moved], "l2")["pairs"][0]["images"] == 0


def test_accuracy_has_an_interval():
    one = make_certificates(images=100)
    (shown,) = accuracy_with_interval(one, [0.5])
    assert shown["lower"] < shown["share"] == one.accuracy([0.5])[0] < shown["upper"]


def test_ten_thousand_images_take_no_time():
    random = np.random.default_rng(0)
    index = np.arange(10_000)
    one = certified(np.zeros(10_000), index=index)
    runs = {name: replace(one, radius=random.gamma(2, 0.5, 10_000)) for name in "ABCD"}
    radii_to_test([one])
    start = time.perf_counter()
    # four norms, three k each
    for _ in range(12):
        _ = find_winners(runs).intervals
    assert time.perf_counter() - start < 60, "a second on a quiet machine"


# stored results -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored():
    """The runs of the report on CIFAR-10, with their names there."""
    paths = sorted((ROOT / "results" / "cifar10").glob("*/votes.parquet"))
    runs = []
    for votes in map(radii.load_votes, paths):
        found = {
            (norm, k): radii.certify(votes, norm, k=k)
            for norm, k in (*((norm, 1) for norm in radii.NORMS), ("linf", 3))
        }
        runs.append(Run(f"{votes.noise.title} {votes.noise.level:g}", found, votes))
    return runs


def test_report_notebook_and_guide_say_the_same(stored):
    """In every sentence about the best run on CIFAR-10."""
    notebook = nbformat.read(ROOT / "notebooks" / "results.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    told = "\n".join(output.data.get("text/markdown", "") for output in outputs if "data" in output)
    guide = " ".join((ROOT / "docs" / "which-noise.md").read_text().replace(SPACE, "~").split()).replace(
        "~", SPACE
    )
    said = winners_of(stored, radii.NORMS)
    cards = {norm: norm_card(stored, winners)["verdict"] for norm, winners in said.items()}
    for norm, winners in said.items():
        # a sentence of its own there
        assert cards[norm][1:] == radius_sentence(winners)[1:] + "."
        assert winners_text(winners) in told
        if norm != "l0":
            assert winners_text(winners) in guide
    assert winners_text(winners_of(stored, ["linf"], 3)["linf"]) in guide
    # nothing else is said there about the best run
    assert len(re.findall("best at the tested radii", guide.partition("## CIFAR-10")[2])) == 4


def test_what_the_stored_votes_do_not_support_is_not_said(stored):
    """CIFAR-10 in l2 and linf, where two runs differ by little (exact McNemar tests of these pairs alone)."""
    by_name = {run.name: run for run in stored}
    for norm, names, radius, p in (
        ("l2", ("Gaussian 0.5", "Laplace 0.5"), 0.5, 0.053),
        ("linf", ("Laplace 0.25", "Gaussian 0.5"), 2 / 255, 0.83),
    ):
        held = [certified_to(by_name[name].certificates[norm, 1], [radius])[0] for name in names]
        found = mcnemar((held[0] & ~held[1]).sum(), (held[1] & ~held[0]).sum())
        assert f"{found:.2g}" == f"{p:g}"
        (interval,) = [
            one for one in winners_of(stored, [norm])[norm].intervals if one.start < radius <= one.end
        ]
        assert not interval.clear and set(names) <= set(interval.winners)
