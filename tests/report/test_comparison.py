"""radii.compare and radii compare: paired numbers, recounted here, and every wrong input in one sentence."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

import radii
from certificate_factory import make_certificates
from commands import call, fine
from radii.cli.compare import table_of
from radii.errors import InputError
from radii.report.comparison import flip_rows, text_rows
from vote_factory import make_votes, save_runs, votes_of_counts


@pytest.fixture
def two():
    return make_certificates("laplace", images=200), make_certificates("gaussian", images=200)


def test_numbers_are_those_counted_by_hand(two):
    result = radii.compare(*two, radii=[0.25, 1.0], names=("L", "G"))
    held = [one.correctly_certified & (one.radius >= 1.0) for one in two]
    only = [(held[0] & ~held[1]).sum(), (held[1] & ~held[0]).sum()]
    assert (result.names, result.norm, result.k, result.images) == (("L", "G"), "l2", 1, 200)
    assert result.shares[:, 1].tolist() == [one.accuracy([1.0])[0] for one in two]
    assert result.difference[1] == pytest.approx((only[0] - only[1]) / 200)
    assert result.only[:, 1].tolist() == only and only[1] > 0
    assert result.p[1] == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    assert result.interval[1, 0] <= result.difference[1] <= result.interval[1, 1]
    assert (result.adjusted >= result.p - 1e-15).all()
    assert np.array_equal(result.flips[1], held[0].astype(int) - held[1].astype(int))
    rows = [row for row in flip_rows(result) if row[2] == 1.0]
    assert {index for *_, index, name in rows if name == "G"} == set(two[1].index[held[1] & ~held[0]])


def test_images_are_matched_by_position_not_by_row(two):
    order = np.random.default_rng(0).permutation(200)
    arrays = ("label", "radius", "status", "lower", "index", "true_label", "predicted")
    mixed = replace(two[1], **{name: getattr(two[1], name)[order] for name in arrays})
    plain, other = radii.compare(*two), radii.compare(two[0], mixed)
    assert np.array_equal(plain.flips, other.flips) and np.array_equal(plain.p, other.p)


def test_runs_on_other_images(two):
    fewer = make_certificates("gaussian", images=200)
    arrays = ("label", "radius", "status", "lower", "index", "true_label", "predicted")
    fewer = replace(fewer, **{name: getattr(fewer, name)[50:] for name in arrays})
    with pytest.raises(
        InputError, match=r"the same images; got 200 and 150, of which 150 are common: .*--common"
    ):
        radii.compare(two[0], fewer)
    result = radii.compare(two[0], fewer, common=True)
    assert result.images == 150 and "on 150 images" in repr(result)
    with pytest.raises(InputError, match="no image in common"):
        radii.compare(two[0], replace(two[1], index=two[1].index + 1), common=True)


@pytest.mark.parametrize(
    "change,words",
    [
        ({"norm": "l1"}, "one norm, unit and k"),
        ({"k": 2}, "one norm, unit and k"),
        ({"data": radii.ImageIdentity("digits", "test")}, "one data set"),
        ({"true_label": None}, "no true labels"),
        ({"true_label": np.zeros(200, int)}, "different true labels for the image at"),
        ({"box": True}, "the box"),
    ],
)
def test_what_cannot_be_compared(two, change, words):
    with pytest.raises(InputError, match=words):
        radii.compare(two[0], replace(two[1], **change))


@pytest.mark.parametrize(
    "settings,words",
    [
        ({"radii": []}, "one or more"),
        ({"radii": [-1.0]}, "at least 0"),
        ({"radii": [float("nan")]}, "at least 0"),
        ({"radii": 0.5}, "a list of numbers"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"names": ("A", "A")}, "two different names"),
    ],
)
def test_wrong_settings(two, settings, words):
    with pytest.raises(InputError, match=words):
        radii.compare(*two, **settings)


def test_one_image_and_none_certified():
    one = make_certificates(images=1)
    assert radii.compare(one, one, radii=[0.5]).verdicts == ("",)
    nothing = replace(make_certificates(), radius=np.zeros(120), status=np.full(120, "abstained"))
    result = radii.compare(nothing, nothing)
    assert set(result.verdicts) == {""} and (result.p == 1).all() and not flip_rows(result)


def test_verdicts_name_the_better_set_where_the_tests_can_tell():
    weak = make_certificates("laplace", sigma=0.25, images=300)
    strong = make_certificates("laplace", sigma=1.0, images=300)
    result = radii.compare(weak, strong, radii=[0.0, 1.5], names=("weak", "strong"))
    assert result.verdicts == ("", "strong") and result.difference[1] < 0
    assert [row[-1] for row in text_rows(result)] == ["no clear difference", "strong"]
    assert "strong" in repr(result).splitlines()[-1]


def fine_output(*arguments):
    """Standard output of a command that succeeds; sentences go to standard error."""
    ended = call(*arguments)
    assert ended.status == 0, ended.err
    return ended.out


# the command --------------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path):
    return save_runs(tmp_path, (("laplace", 0.25), ("gaussian", 0.5)), images=200)


def test_the_command_prints_what_the_function_returns(paths):
    certificates = [radii.certify(radii.load_votes(path), "linf") for path in paths]
    result = radii.compare(*certificates, radii=[1 / 255, 2 / 255], names=("Laplace", "Gaussian"))
    radius = ("--radii", "linf:1/255", "--radii", "linf:2/255")
    shown = fine("compare", *paths, *radius)
    for row in text_rows(result):
        assert f"{row[0]} " in shown and row[4] in shown
    assert "200 common images" in shown and "better" in shown
    rows = json.loads(fine_output("compare", *paths, *radius, "--format", "json"))["tables"][0]["rows"]
    for column, row in enumerate(rows):
        expected = [*result.shares[:, column], result.difference[column], *result.interval[column]]
        assert [row[name] for name in ("Laplace", "Gaussian", "diff.", "lower", "upper")] == expected
        assert [row["only 1st"], row["only 2nd"]] == result.only[:, column].tolist()
        assert (row["adjusted p"], row["images"]) == (result.adjusted[column], 200)
        assert (row["better"] or "") == result.verdicts[column]


def test_each_norm_and_k_has_a_table(paths):
    tables = json.loads(fine_output("compare", *paths, "--k", 1, "--k", 3, "--format", "json"))["tables"]
    assert [(table["rows"][0]["norm"], table["rows"][0]["k"]) for table in tables] == [
        (norm, k) for norm in radii.NORMS for k in (1, 3)
    ]


@pytest.mark.parametrize("end", ["csv", "json"])
def test_images_that_flip_are_written(paths, tmp_path, end):
    out = tmp_path / f"flips.{end}"
    fine("compare", *paths, "--radii", "l2:0.5", "--out", out)
    rows = (
        json.loads(out.read_text())["flips"]
        if end == "json"
        else list(csv.DictReader(out.read_text().splitlines()))
    )
    result = radii.compare(
        *(radii.certify(radii.load_votes(path), "l2") for path in paths),
        radii=[0.5],
        names=("Laplace", "Gaussian"),
    )
    assert [(int(row["index"]), row["only"]) for row in rows] == [row[3:] for row in flip_rows(result)]


def test_the_command_rejects_in_one_sentence(paths, tmp_path):
    other = tmp_path / "other.parquet"
    make_votes("gaussian", images=100).save(other)
    for arguments, words in (
        ((*paths, "--format", "xml"), "unknown format 'xml'"),
        ((*paths, "--out", "flips.txt"), "must end in .csv or .json"),
        ((paths[0], paths[0]), "given twice"),
        ((*paths, "--k", "10"), "k must be smaller than the number of classes, 10"),
        ((*paths, "--radii", "0.5"), "the norm of the radius 0.5 is unknown"),
        ((*paths, "--norm", "l3"), "unknown norm"),
        ((paths[0], other), "of which 100 are common"),
    ):
        ended = call("compare", *arguments)
        assert ended.status == 2 and words in ended.err and ended.err.count("\n") == 1, ended.err


def test_common_images_on_request(paths, tmp_path):
    some = tmp_path / "some.parquet"
    radii.load_votes(paths[1])[:150].save(some)
    ended = call("compare", paths[0], some, "--radii", "l2:0.5")
    assert ended.status == 2 and "of which 150 are common" in ended.err
    assert "150 common images" in fine("compare", paths[0], some, "--radii", "l2:0.5", "--common")


def test_votes_without_labels_and_with_names_of_markup(paths, tmp_path):
    unlabelled, marked = tmp_path / "unlabelled.parquet", tmp_path / "[red]bold" / "votes.parquet"
    replace(radii.load_votes(paths[1]), labels=None).save(unlabelled)
    ended = call("compare", paths[0], unlabelled)
    assert ended.status == 2 and "no true labels" in ended.err
    replace(radii.load_votes(paths[0]), seed=1).save(marked)
    assert "[red]bold" in fine_output("compare", paths[0], marked, "--radii", "l2:0.5", "--format", "csv")
    assert "[red]bold" in fine("compare", paths[0], marked, "--radii", "l2:0.5").replace("\n", "")


def test_two_classes(tmp_path):
    for name, counts in (("a", [[990, 10], [400, 600]]), ("b", [[900, 100], [100, 900]])):
        votes_of_counts(counts, seed=len(name), model=name * 64).save(tmp_path / f"{name}.parquet")
    assert "2 common images" in fine(
        "compare", tmp_path / "a.parquet", tmp_path / "b.parquet", "--norm", "l2"
    )


def test_votes_are_to_be_certified_first():
    with pytest.raises(InputError, match=r'for example radii.certify\(votes, "l2"\) of both; got Votes'):
        radii.compare(make_votes(), make_votes())


@pytest.mark.parametrize("length,short", [(16, False), (17, True)])
def test_long_names_leave_room_for_numbers(length, short):
    one = make_certificates()
    names = ("a" * length, "b")
    table = table_of(radii.compare(one, one, radii=[0.25], names=names))
    assert (table.headers[1:3] == ("1st", "2nd")) == short
    assert (f"1st: {names[0]}\n2nd: b\n" in table.caption) == short
