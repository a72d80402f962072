"""The numbers people compare: counted by hand, printed downwards, exported without loss."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from certificate_factory import make_certificates
from radii.errors import InputError
from radii.noises.norms import NORMS
from radii.report.accuracy import accuracy_curve, certified_radii, empirical_curve, radius_held_by, summarize
from radii.report.accuracy_table import tabulate
from radii.report.export import (
    csv_text,
    json_text,
    run_csv_text,
    summary,
    table_json,
    table_markdown,
    write_whole,
)
from radii.report.formatting import floor_text, guarantee, round_text
from radii.report.round_radii import round_radii


def hand_made():
    """Four images: certified to 0.5, certified to 0.25, wrong with a large radius, refuted."""
    return replace(
        make_certificates(images=4),
        true_label=np.array([1, 2, 3, 4]),
        label=np.array([1, 2, 9, 4]),
        labels="given",
        predicted=np.array([1, 2, 9, 5]),
        status=np.array(["certified", "certified", "certified", "refuted"]),
        true_rank=np.array([0, 0, 1, 2]),
        radius=np.array([0.5, 0.25, 3.0, 0.0]),
    )


def test_the_empirical_curve_starts_at_plain_accuracy_and_loses_attacked_images_alone():
    """By hand: five images, four correct, one of them found at 0.5 and one at 1; the wrong one cannot be lost."""
    correct = np.array([True, True, True, True, False])
    radii, shares = empirical_curve(correct, np.array([1.0, 0.5, np.inf, np.inf, 0.1]))
    assert radii.tolist() == [0, 0.5, 1] and shares.tolist() == [0.8, 0.6, 0.4]
    radii, shares = empirical_curve(correct, np.full(5, np.inf))
    assert radii.tolist() == [0] and shares.tolist() == [0.8]
    with pytest.raises(InputError, match="about no image"):
        empirical_curve(np.zeros(0, dtype=bool), np.zeros(0))


def test_the_empirical_curve_is_the_share_of_correct_images_not_found_by_that_radius():
    draws = np.random.default_rng(4)
    correct, lengths = draws.random(300) < 0.8, draws.exponential(size=300)
    lengths[draws.random(300) < 0.3] = np.inf
    radii, shares = empirical_curve(correct, lengths)
    for at in [*draws.uniform(0, 3, 50), *lengths[correct & np.isfinite(lengths)]]:
        assert shares[np.searchsorted(radii, at, side="right") - 1] == np.mean(correct & (lengths > at))


def read_curve(radii, shares, at):
    """The step function at `at`, read from its definition."""
    step = np.searchsorted(radii, at, side="left")
    return np.append(shares, 0.0)[step]


@pytest.mark.parametrize("norm", NORMS)
def test_the_curve_is_the_certified_accuracy_at_every_radius(norm):
    one = make_certificates("gaussian", norm, images=200)
    radii, shares = accuracy_curve(one)
    drawn = np.random.default_rng(1).uniform(0, 1.1 * radii[-1], 300)
    at = np.concatenate([drawn, radii, np.nextafter(radii[1:], 0), np.nextafter(radii, np.inf)])
    assert np.array_equal(read_curve(radii, shares, at), one.accuracy(at))


def test_the_curve_counts_wrong_and_refuted_images_as_nothing():
    radii, shares = accuracy_curve(hand_made())
    assert radii.tolist() == [0, 0.25, 0.5]
    assert shares.tolist() == [0.5, 0.5, 0.25]


def test_the_summary_is_that_of_all_images():
    found = summarize(hand_made())
    assert (found.images, found.plain_accuracy, found.certified) == (4, 0.5, 0.5)
    assert found.statuses == {"open": 0.0, "refuted": 0.25}
    assert found.mean_radius == 0.75 / 4
    # of 0, 0, 0.25 and 0.5
    assert found.median_radius == 0.125
    assert found.quantiles == {0.25: 0.0, 0.5: 0.125, 0.75: 0.3125}


def test_the_mean_radius_is_the_area_under_the_curve():
    one = make_certificates(images=300)
    radii, shares = accuracy_curve(one)
    assert summarize(one).mean_radius == pytest.approx(float(np.sum(np.diff(radii) * shares[1:])))


@pytest.mark.parametrize("share", [0.01, 0.07, 0.25, 1 / 3, 0.5, 0.99, 1.0])
def test_the_radius_held_by_a_share_is_the_largest_such(share):
    one = make_certificates(images=100)
    radius = radius_held_by(one, share)
    above = np.nextafter(radius, np.inf)
    assert radius == 0 or one.accuracy([radius])[0] >= share - 1e-12
    assert one.accuracy([above])[0] < share


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("sigma", [0.001, 0.12, 0.25, 1.0, 40.0])
def test_round_radii_suit_any_sigma(norm, sigma):
    one = make_certificates("laplace", norm, sigma=sigma, images=200)
    radii = round_radii([one])
    assert radii[0] == 0 and sorted(set(radii)) == radii and 2 <= len(radii) <= 7
    texts = [round_text(radius, norm) for radius in radii]
    assert len(set(texts)) == len(radii) and max(map(len, texts)) <= 12
    if radius_held_by(one, 0.05) > 0 and not (norm == "l0" and radius_held_by(one, 0.05) < 1):
        assert one.accuracy(radii)[-1] > 0
        assert norm == "l0" or len(radii) >= 3


def test_round_radii_of_several_sigmas_show_each_of_them():
    several = [make_certificates("laplace", "l1", sigma=sigma, images=200) for sigma in (0.12, 0.5, 1.0)]
    radii = round_radii(several)
    assert len(radii) == 7 and (np.array(radii[2:]) <= 2.6 * np.array(radii[1:-1])).all()
    assert all(one.accuracy(radii[1:2])[0] > 0.05 for one in several)


def test_round_radii_of_nothing_certified_are_still_round():
    for norm in NORMS:
        nothing = replace(make_certificates(norm=norm), radius=np.zeros(120))
        assert 3 <= len(round_radii([nothing])) <= 7


def test_linf_radii_are_round_in_grey_levels():
    table = tabulate({"a": make_certificates("laplace", "linf", sigma=0.5)})
    assert table.headers[:3] == ("0", "1/255", "2/255")
    assert table.radii[2] == 2 / 255


@pytest.mark.parametrize(
    "norm,reached,shown",
    [
        ("l2", 0.25 - 1e-13, "0.25"),
        ("l2", 0.1115226, "0.111"),
        ("l1", 1.23456789, "1.23"),
        ("linf", 4 / 255, "4/255"),
        ("linf", 1.2345678 / 255, "1.23/255"),
    ],
)
def test_a_radius_that_follows_from_decided_ones_is_rounded_down(norm, reached, shown):
    one = replace(make_certificates("gaussian", norm), plan="sequential")
    one = replace(one, radius=np.where(one.radius > 0, reached, 0.0))
    zero, radius = round_radii([one])
    assert zero == 0 and radius <= reached and round_text(radius, norm) == shown
    assert one.accuracy([radius]) == one.accuracy([reached]) > 0


def test_a_table_holds_accuracies_and_marks_the_best_of_each_radius():
    named = {name: make_certificates(name, "l1", seed=4) for name in ("laplace", "gaussian", "uniform")}
    table = tabulate(named, [0, 0.5, 100.0])
    for row, one in zip(table.shares, named.values(), strict=True):
        assert np.array_equal(row, one.accuracy([0, 0.5, 100.0]))
    assert table.best[:, 0].all(), "ties are all best"
    # 10 images against none, p = 0.0176 after Holm, and 3 against none
    assert table.best[:, 1].tolist() == [True, False, True], "all that tests do not separate from the best"
    assert not table.best[:, 2].any(), "zero is never best"
    alone = tabulate({"laplace": named["laplace"]}, [0, 0.5])
    assert not alone.best.any(), "nor is what nothing is compared with"


def test_only_answers_to_one_question_are_tabulated():
    with pytest.raises(InputError, match="one norm"):
        tabulate({"a": make_certificates(k=1), "b": make_certificates(k=2)})


def test_results_need_true_labels_and_images():
    with pytest.raises(InputError, match="true labels"):
        summarize(replace(make_certificates(), true_label=None))
    with pytest.raises(InputError, match="nothing"):
        summarize(make_certificates(images=0))


def test_the_csv_parses_back_to_the_same_values():
    one = make_certificates("uniform", "linf", images=50)
    rows = list(csv.DictReader(io.StringIO(csv_text(one))))
    for name in ("index", "true_label", "predicted", "lower", "radius"):
        assert np.array_equal([float(row[name]) for row in rows], getattr(one, name)), name
    assert [row["correct"] == "1" for row in rows] == one.correct.tolist()
    assert [row["status"] for row in rows] == one.status.tolist()
    for jointly in (False, True):
        rows = list(csv.DictReader(io.StringIO(csv_text(replace(one, jointly=jointly)))))
        assert {row["jointly"] for row in rows} == {str(int(jointly))}


def test_the_csv_keeps_whole_sets_of_labels():
    pairs = replace(make_certificates(images=2), label=np.array([[1, 2], [3, 4]]), labels="top-k-set")
    assert [row["predicted"] for row in csv.DictReader(io.StringIO(csv_text(pairs)))] == ["1 2", "3 4"]
    assert "any of the certified labels" in guarantee(pairs)


def test_the_csv_of_a_run_holds_every_radius_rounded_down():
    one, two = make_certificates("uniform", "linf"), make_certificates(norm="l0", k=2, unit="pixel")
    rows = list(csv.DictReader(io.StringIO(run_csv_text({("linf", 1): one, ("l0", 2): two}))))
    assert list(rows[0]) == ["index", "true_label", "linf_top1", "l0_top2"] and len(rows) == len(one)
    for name, of in (("linf_top1", one), ("l0_top2", two)):
        held = of.correctly_certified
        assert [row[name] != "" for row in rows] == held.tolist() and 0 < held.sum() < len(of)
        for row, radius in zip(np.array(rows)[held], of.radius[held], strict=True):
            assert row[name] == floor_text(radius, 0 if of is two else 7)


def test_the_csv_of_a_run_is_about_one_list_of_labelled_images():
    one = make_certificates()
    with pytest.raises(InputError, match="same images"):
        run_csv_text(
            {("l2", 1): one, ("l1", 1): replace(make_certificates(norm="l1"), index=one.index[::-1])}
        )
    with pytest.raises(InputError, match="true labels"):
        run_csv_text({("l2", 1): replace(one, true_label=None)})


def test_the_csv_of_unlabelled_images_leaves_the_truth_empty():
    rows = list(csv.DictReader(io.StringIO(csv_text(replace(make_certificates(images=3), true_label=None)))))
    assert {(row["true_label"], row["correct"]) for row in rows} == {("", "")}


def test_the_json_identifies_the_certificates_and_holds_their_results():
    one = make_certificates("gaussian", "l2", k=2)
    read = json.loads(json_text(summary(one)))
    expected = {"noise": "gaussian", "sigma": 0.5, "norm": "l2", "k": 2, "alpha": 1e-3, "n": 100_000}
    assert {name: read[name] for name in expected} == expected
    assert read["data"] == str(one.data) and read["guarantee"] == guarantee(one)
    assert read["jointly"] is False and read["all_images"]["most_false"] == one.most_false()
    assert read["results"]["mean_radius"] == certified_radii(one).mean()
    assert read["results"]["quantiles"] == {
        f"{share:g}": radius for share, radius in summarize(one).quantiles.items()
    }


def test_tables_are_exported_whole():
    table = tabulate(
        {"Laplace": make_certificates(norm="linf"), "Uniform": make_certificates("uniform", "linf")}
    )
    read = json.loads(json_text(table_json(table)))
    assert np.array_equal(list(read["accuracy"].values()), table.shares)
    lines = table_markdown(table).splitlines()
    assert lines[0].count("|") == lines[2].count("|") == len(table.radii) + 2
    assert f"**{table.shares[0, 1]:.1%}**" in lines[2]


def test_no_name_adds_a_row_or_a_column_to_a_table_in_markdown():
    name = "a |\n| b | <img src=x> |\n"
    written = table_markdown(tabulate({name: make_certificates(norm="linf")})).splitlines()
    assert len(written) == 3 and written[2].startswith(r"| a \| \| b \| &lt;img src=x> \| | ")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = write_whole(tmp_path / "new" / "file.txt", "old")
    with pytest.raises(TypeError):
        write_whole(path, None)
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
