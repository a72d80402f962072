"""Runs of other codes: each layout, made here by the procedures of the papers, and everything a file may get wrong."""

import io
import json
import zipfile
from contextlib import suppress
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

import radii
from radii.certificates.imported import ImportedRun, Stated, load_run, read_run
from radii.certificates.imported.log import read_log
from radii.certificates.imported.mat import read_mat
from radii.certificates.imported.record import KINDS
from radii.certificates.runs import certify_all
from radii.errors import InputError, RadiiWarning
from vote_factory import make_votes

N, SHAPE = 100_000, (3, 32, 32)
GAUSSIAN = radii.Gaussian(sigma=0.25)
HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime"
LINE = "0\t3\t3\t0.502\t1\t0:00:13.126220"


@pytest.fixture(scope="module")
def votes() -> radii.Votes:
    return make_votes("gaussian", 0.25, images=150, n=N)


def cohen(votes: radii.Votes, form: str = "") -> str:
    """The log that the certification of Cohen et al. 2019 prints for these votes."""
    certified = radii.certify(votes, "l2", labels="predicted", method="binary")
    lines = [HEADER]
    held = certified.radius > 0
    for row in range(len(votes)):
        predicted = certified.label[row] if held[row] else -1
        correct = int(predicted == votes.labels[row])
        radius = format(float(certified.radius[row]), form)
        lines.append(f"{votes.index[row]}\t{votes.labels[row]}\t{predicted}\t{radius}\t{correct}\t0:00:01.5")
    return "\n".join(lines) + "\n"


def rs4a(folder: Path, votes: radii.Votes) -> None:
    """The files that rs4a saves for these votes: shares of selection samples, labels, and bounds in float32."""
    certified = radii.certify(votes, "l2", labels="predicted", method="binary")
    folder.mkdir()
    np.save(folder / "preds.npy", votes.selection / votes.selection.sum(1, keepdims=True))
    np.save(folder / "labels.npy", votes.labels.astype(float))
    np.save(folder / "prob_lb.npy", certified.lower.astype(np.float32).astype(float))
    np.save(folder / "radius_l2.npy", certified.radius)


def imported(path: Path, **changes):
    """Import a file as a run of the noise above."""
    return radii.import_log(path, **{"noise": GAUSSIAN, "shape": SHAPE, "n": N, **changes})


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


# logs of radii ------------------------------------------------------------------------------------


def test_a_log_of_our_votes_has_their_curve(votes, tmp_path):
    certified = radii.certify(votes, "l2", labels="predicted", method="binary")
    path = tmp_path / "sigma_0.25"
    path.write_text(cohen(votes))
    log = imported(path)
    at = np.unique(np.concatenate([[0.0], certified.radius]))
    assert np.array_equal(log.accuracy(at), certified.accuracy(at))
    assert np.array_equal(log.radius, certified.radius)
    assert np.array_equal(log.index, votes.index)
    assert (log.norm, log.k, log.alpha, log.n, log.labels, log.method) == (
        "l2",
        1,
        1e-3,
        N,
        "predicted",
        "binary",
    )
    assert log.seed is None
    assert not any("rounds" in sentence for sentence in log.unchecked)


@pytest.mark.parametrize("form", [".3", ".3f", ".2", ".4f"])
def test_rounded_radii_are_lowered_below_the_true_ones(votes, tmp_path, form):
    certified = radii.certify(votes, "l2", labels="predicted", method="binary")
    path = tmp_path / "log"
    path.write_text(cohen(votes, form))
    log = imported(path)
    unit = {".3": 1e-3, ".3f": 1e-3, ".2": 1e-2, ".4f": 1e-4}[form]
    assert (log.radius <= certified.radius).all()
    # no lower than rounding explains: a unit of the last digit
    assert (certified.radius - log.radius).max() <= unit * 1.0001
    assert any(sentence.startswith("The log rounds radii to") for sentence in log.unchecked)


@given(
    st.lists(st.floats(0, 4), min_size=1, max_size=8),
    st.sampled_from([".1", ".2", ".3", ".5", ".1f", ".3f", ".6f", "", ".9e"]),
)
def test_no_radius_exceeds_the_one_before_rounding(radii_before, form):
    lines = [f"{row}\t0\t0\t{format(radius, form)}\t1\t0" for row, radius in enumerate(radii_before)]
    log = read_log("\n".join([HEADER, *lines]), "log")
    for low, radius in zip(log.radius.tolist(), radii_before, strict=True):
        assert Fraction(low) <= Fraction(radius)


@given(st.lists(st.floats(0, 4, width=32), min_size=1, max_size=8))
def test_rounded_radii_in_float32_are_lowered_too(radii_before):
    lines = [
        f"{row}\t0\t0\t{float(np.float32(round(radius, 3)))}\t1\t0" for row, radius in enumerate(radii_before)
    ]
    log = read_log("\n".join([HEADER, *lines]), "log")
    assert (log.radius <= np.array(radii_before) + 1e-9).all()


def test_one_long_number_does_not_vouch_for_others():
    texts = ["0.123456789012345", "0.502", "0.26"]
    log = read_log(
        "\n".join([HEADER, *(f"{row}\t0\t0\t{text}\t1\t0" for row, text in enumerate(texts))]), "log"
    )
    assert log.radius.tolist() == pytest.approx([0.123456789012345, 0.5015, 0.2595], rel=1e-12)
    assert log.radius[0] == 0.123456789012345


def test_l0_radii_lose_what_an_exponent_hides():
    rows = [f"{row}\t0\t0\t{text}\t1\t0" for row, text in enumerate(("7", "12.0", "1.23e+03", "0.0"))]
    log = read_log("\n".join([HEADER, *rows]), "log", whole=True)
    assert log.radius.tolist() == [7, 12, 1225, 0]
    assert read_log("\n".join([HEADER, *rows[:2]]), "log", whole=True).notes == ()


def test_other_norms_follow_from_the_ball(votes, tmp_path):
    path = tmp_path / "log"
    path.write_text(cohen(votes))
    log = imported(path)
    run = read_run(path, Stated(GAUSSIAN, SHAPE, N, 1e-3, "l2", "feature"))
    assert run.norms == ("l1", "l2", "linf")
    assert np.array_equal(run.certificates("l1").radius, log.radius)
    assert np.allclose(run.certificates("linf").radius, log.radius / np.sqrt(3072), rtol=1e-12)
    with pytest.raises(radii.InputError, match="no l0 radii follow"):
        run.certificates("l0")


def test_logs_without_names_and_with_more_columns(tmp_path):
    bare = imported(written(tmp_path / "bare", LINE))
    assert bare.index.tolist() == [0]
    more = imported(
        written(
            tmp_path / "more",
            "idx\tlabel\tpredict\tpA\tradius\tcorrect\ttime_forward",
            "0\t3\t3\t.98\t0.502\tTrue\t9.1",
        )
    )
    assert np.array_equal(more.radius, bare.radius)
    assert "These columns of the log are not used: pA, time_forward." in more.unchecked


WRONG_LINES = {
    "nan": ("0\t3\t3\tnan\t1\t0", "a radius is a finite number of at least 0"),
    "inf": ("0\t3\t3\tinf\t1\t0", "a radius is a finite number"),
    "negative": ("0\t3\t3\t-0.5\t1\t0", "a radius is a finite number"),
    "no number": ("0\t3\t3\ttensor(0.5)\t1\t0", "a radius is a finite number"),
    "huge exponent": ("0\t3\t3\t1e999999999\t1\t0", "a radius is a finite number"),
    "correct": ("0\t3\t3\t0.5\t0\t0", "says correct = 0 of label 3 and predict 3"),
    "wrong and correct": ("0\t3\t4\t0.5\t1\t0", "says correct = 1 of label 3 and predict 4"),
    "spelling": ("0\t3\t3\t0.5\tyes\t0", "correct must be 0 or 1"),
    "abstains with a radius": ("0\t3\t-1\t0.5\t0\t0", "on which the classifier abstains"),
    "predict": ("0\t3\t-2\t0.0\t0\t0", "predict must be a whole number from 0, or -1"),
    "label": ("0\t-1\t3\t0.5\t0\t0", "label must be a whole number from 0"),
    "fraction": ("0.5\t3\t3\t0.5\t1\t0", "idx must be a whole number"),
    "short": ("0\t3\t3\t0.5", "has 4 columns of 6"),
    "names again": (HEADER, "names the columns again"),
    "twice": (LINE, "image 0 occurs more than once"),
    "impossible": (
        "1\t3\t3\t0.96\t1\t0",
        "100,000 samples that all agree give an l2 radius of at most 0.952",
    ),
}


@pytest.mark.parametrize("line, message", WRONG_LINES.values(), ids=WRONG_LINES)
def test_what_a_log_cannot_say(tmp_path, line, message):
    with pytest.raises(radii.InputError, match=message) as raised:
        imported(written(tmp_path / "log", HEADER, LINE, line))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n": 1000}, "0.5015.*1,000 samples"),
        ({"n": None}, "state n"),
        ({"noise": radii.Gaussian(sigma=0.12)}, "sigma=0.12"),
        ({"norm": "linf"}, "linf radius of at most"),
        ({"norm": "l0"}, "l0 radii are whole numbers"),
        ({"norm": "l3"}, "unknown norm"),
        ({"noise": radii.Splitting(0.5)}, "all outcomes of splitting noise are counted"),
        ({"alpha": 0.0}, "alpha"),
        ({"shape": ()}, "shape"),
        ({"labels": np.array([4])}, "the file has true labels"),
        ({"positions": slice(0, None, 0)}, "stride"),
        ({"positions": slice(-1, None)}, "start"),
        ({"positions": 20}, "positions must be a slice"),
    ],
)
def test_what_cannot_be_stated(tmp_path, changes, message):
    changes = {"n": N, **changes}
    if changes["n"] == 1000:
        changes["noise"] = radii.Gaussian(sigma=0.2)
    with pytest.raises(radii.InputError, match=message):
        imported(written(tmp_path / "log", HEADER, LINE), **changes)


def test_files_that_are_no_log(tmp_path):
    for content, message in (
        (b"", "an empty file"),
        (b"idx\tlabel\tpredict\tcorrect\ttime\n0\t3\t3\t1\t0\n", "is a log of predictions"),
        (b"label,predict,correct\n3,3,1\n", "neither a log"),
        (b"epoch,loss,accuracy\n0,1,0\n", "metrics"),
        (b"{}", "a JSON document"),
        (b"\x89PNG\r\n", "is a picture"),
        (b"PAR1....", "is a Parquet file"),
        (HEADER.encode(), "no image"),
        (b"radius\n0.5\n", "one column idx"),
        (b"\x80\x04\x95", "is a pickle"),
    ):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(radii.InputError, match=message):
            imported(tmp_path / "file")
    with pytest.raises(radii.InputError, match="there is no file"):
        imported(tmp_path / "none")


# folders of rs4a ----------------------------------------------------------------------------------


def test_bounds_give_radii_in_every_norm(votes, tmp_path):
    rs4a(tmp_path / "run", votes)
    tied = (votes.selection == votes.selection.max(1, keepdims=True)).sum(1) > 1
    for norm in radii.NORMS:
        certified = radii.certify(votes, norm, labels="predicted", method="binary")
        log = imported(tmp_path / "run", norm=norm, positions=slice(0, None, 20))
        assert np.array_equal(log.index, votes.index)
        assert (log.radius <= certified.radius).all()
        # a step of float32 lower, and nothing where the prediction is tied
        assert np.allclose(log.radius[~tied], certified.radius[~tied], atol=1e-4)
        assert not log.radius[tied].any()
    assert any("tied" in sentence for sentence in log.unchecked)


def test_folders_that_contradict_themselves(votes, tmp_path):
    rs4a(tmp_path / "run", votes)
    bound, preds = np.load(tmp_path / "run/prob_lb.npy"), np.load(tmp_path / "run/preds.npy")
    for name, array, message in (
        ("prob_lb", bound[1:], "one probability for each"),
        ("prob_lb", bound + 1, "one probability for each"),
        ("prob_lb", bound * np.nan, "one probability for each"),
        ("prob_lb", np.full_like(bound, 0.99995), "a probability of at most 0.9999309"),
        ("preds", preds[0], "shares of votes"),
        ("preds", -preds, "shares of votes"),
        ("labels", votes.labels + 1, "below 10 classes"),
        ("labels", votes.labels + 0.5, "whole numbers"),
    ):
        folder = tmp_path / "run"
        before = (folder / f"{name}.npy").read_bytes()
        np.save(folder / f"{name}.npy", array)
        with pytest.raises(radii.InputError, match=message):
            imported(folder)
        (folder / f"{name}.npy").write_bytes(before)
    (tmp_path / "run/preds.npy").unlink()
    with pytest.raises(radii.InputError, match=r"must hold preds\.npy"):
        imported(tmp_path / "run")


def test_splitting_noise_takes_the_shifts_of_published_codes(tmp_path):
    # 2 lambda 255 = 441.67: radii would round to 442
    noise = radii.Splitting(0.5)
    assert noise.shifts == 442
    counts = np.array([[441, 0], [400, 41], [221, 220], [300, 141]])
    folder = tmp_path / "dssn"
    folder.mkdir()
    np.save(folder / "preds.npy", (counts / 441).astype(np.float32).astype(float))
    votes = radii.import_log(folder, noise=noise, shape=SHAPE, labels=np.zeros(4, int))
    assert isinstance(votes, radii.Votes)
    assert np.array_equal(votes.counts, counts)
    assert votes.noise.shifts == 441
    assert "441, where radii rounds" in votes.unchecked[-1]
    certified = radii.certify(votes, "l1")
    assert certified.alpha == 0
    # Levine & Feizi 2021: half the lead, in grey levels, rounded down on the grid of bytes
    assert np.array_equal(np.floor(certified.radius * 255 + 1e-9), (counts[:, 0] - counts[:, 1]) // 2)
    with pytest.raises(radii.InputError, match="not those of 353 outcomes"):
        radii.import_log(folder, noise=radii.Splitting(0.4), shape=SHAPE)
    with pytest.raises(radii.InputError, match=r"lacks prob_lb\.npy"):
        imported(folder)


def test_independent_splitting_is_never_wider_than_published(tmp_path):
    folder = tmp_path / "ssn"
    folder.mkdir()
    np.save(folder / "preds.npy", np.array([[1.0, 0.0]]))
    np.save(folder / "prob_lb.npy", np.array([0.99]))
    log = imported(folder, noise=radii.IndependentSplitting(0.5), norm="l1")
    # theirs is 2 lambda (p - 1/2) with 2 lambda = sqrt(3)
    assert 0.99 * 3**0.5 * 0.49 < log.radius[0] <= 3**0.5 * 0.49
    assert log.on_grid


# counts -------------------------------------------------------------------------------------------


def test_counts_become_votes(votes, tmp_path):
    np.savez(
        tmp_path / "c.npz",
        counts=votes.counts,
        selection=votes.selection,
        labels=votes.labels,
        index=votes.index,
    )
    one = imported(tmp_path / "c.npz", n=None)
    names = [*votes.classes, *(f"selection_{name}" for name in votes.classes)]
    rows = np.column_stack([votes.index, votes.labels, votes.counts, votes.selection])
    text = [",".join(["index", "label", *names]), *(",".join(map(str, row)) for row in rows.tolist())]
    two = imported(written(tmp_path / "c.csv", *text))
    np.save(tmp_path / "c.npy", votes.counts.astype(float))
    three = imported(tmp_path / "c.npy", labels=votes.labels, positions=slice(0, None, 20))
    for other in (one, two, three):
        assert isinstance(other, radii.Votes)
        for norm in radii.NORMS:
            assert np.array_equal(
                radii.certify(other, norm, k=2).radius, radii.certify(votes, norm, k=2).radius
            )
        assert np.array_equal(other.index, votes.index)
        assert radii.certify(other, "l2").unchecked == other.unchecked
        other.save(tmp_path / "votes.parquet")
        assert radii.load_votes(tmp_path / "votes.parquet").unchecked == other.unchecked
    assert two.classes == votes.classes
    with pytest.raises(radii.InputError, match="no selection samples"):
        radii.certify(three, "l2", labels="predicted")
    # neither with votes of radii nor with one another
    for other in (votes, two):
        with pytest.raises(radii.InputError, match="cannot be added"):
            one + other
    with (
        pytest.warns(RadiiWarning, match="no canary"),
        pytest.raises(radii.InputError, match="counted twice"),
    ):
        one + one


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


COUNTS = np.array([[90, 10], [50, 50]])
WRONG_COUNTS = {
    "objects": (npy(np.array([{}, []], dtype=object)), "Python objects"),
    "objects in npz": (npz(counts=np.array([{}], dtype=object)), "Python objects"),
    "text": (npy(np.array(["a"])), "real numbers"),
    "complex": (npy(np.array([[1j]])), "real numbers"),
    "cut": (npy(COUNTS)[:-8], "is damaged"),
    "longer": (npy(COUNTS) + b"12345678", "is damaged"),
    "claims too much": (npy(COUNTS).replace(b"(2, 2)", b"(2,9**9)"), "not an array|damaged"),
    "huge": (npy(COUNTS).replace(b"(2, 2), }         ", b"(2, 999999999), } "), "damaged"),
    "magic alone": (b"\x93NUMPY", "not an array"),
    "broken zip": (b"PK\x03\x04broken", "not a whole archive"),
    "flat": (npy(COUNTS[0]), r"a table \(images, classes\)"),
    "empty": (npy(COUNTS[:0]), r"a table \(images, classes\)"),
    "negative": (npy(-COUNTS), "whole numbers from 0"),
    "fractions": (npy(COUNTS / 3), "whole numbers from 0"),
    "NaN": (npy(COUNTS * np.nan), "finite"),
    "rows differ": (npy(np.array([[90, 10], [50, 51]])), "add up to 101"),
    "other arrays": (npz(counts=COUNTS, votes=COUNTS), "holds 'votes'"),
    "no counts": (npz(labels=COUNTS[0]), "must hold an array counts"),
    "labels beyond": (npz(counts=COUNTS, labels=np.array([0, 2])), "labels must lie in 0..1"),
    "labels missing": (npz(counts=COUNTS, labels=np.array([0])), "labels must have the shape"),
    "positions twice": (npz(counts=COUNTS, index=np.array([3, 3])), "image 3 occurs more than once"),
    "selection of others": (npz(counts=COUNTS, selection=COUNTS[:1]), "selection"),
    "names": (npz(counts=COUNTS, classes=np.array([1, 2, 3])), "counts must have the shape"),
    "csv without names": (b"1,90,10\n0,50,50\n", "neither a log"),
    "csv of text": (b"label,a,b\n0,x,10\n", "row 2"),
    "csv cut": (b"label,a,b\n0,90\n", "row 2 .* has 2 columns of 3"),
    "csv of one name": (b"label,a,a\n0,90,10\n", "neither a log"),
    "csv of other selection": (b"label,a,b,selection_b,selection_a\n0,9,1,1,9\n", "same classes"),
    "csv of labels": (b"label\n0\n", "table"),
}


@pytest.mark.parametrize("content, message", WRONG_COUNTS.values(), ids=WRONG_COUNTS)
def test_what_a_table_of_counts_cannot_say(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(radii.InputError, match=message) as raised:
        imported(tmp_path / "file", n=None)
    assert "\n" not in str(raised.value)


def test_archives_that_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("radii.certificates.imported.arrays.MOST_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("counts.npy", b"\0" * 100_000)
    with pytest.raises(radii.InputError, match="would unpack to more than"):
        imported(tmp_path / "c.npz")
    (tmp_path / "log").write_bytes(b"a" * 10_001)
    with pytest.raises(radii.InputError, match="more than the 10,000 of any log"):
        imported(tmp_path / "log")


def test_counts_of_another_n_are_rejected(tmp_path):
    np.save(tmp_path / "c.npy", COUNTS)
    with pytest.raises(radii.InputError, match=r"add up to 100 .* but n = 1000"):
        imported(tmp_path / "c.npy", n=1000)
    with pytest.raises(radii.InputError, match="442 outcomes at this level, or 441 in published codes"):
        imported(tmp_path / "c.npy", n=None, noise=radii.Splitting(0.5))


# the file of an imported run ----------------------------------------------------------------------


@pytest.fixture
def run(votes, tmp_path) -> ImportedRun:
    path = tmp_path / "log"
    path.write_text(cohen(votes, ".3"))
    return read_run(path, Stated(GAUSSIAN, SHAPE, N, 1e-3, "l2", "feature", data=votes.data, name="Cohen"))


def test_an_imported_run_is_stored_whole(run, votes, tmp_path):
    assert KINDS.keys() - {"digest"} == {field.name for field in fields(ImportedRun)}
    path = tmp_path / "run.any"
    path.write_bytes(run.encode())
    again = load_run(path)
    assert again.encode() == run.encode()
    assert np.array_equal(again.certificates("linf").radius, run.certificates("linf").radius)
    assert again.name == "Cohen"
    votes.save(tmp_path / "votes.parquet")
    assert isinstance(load_run(tmp_path / "votes.parquet"), radii.Votes)
    assert repr(again).startswith(
        "Imported run on 150 images\nnoise gaussian:sigma=0.25, n = 100,000, alpha = 0.001"
    )


@pytest.mark.parametrize(
    "change", ["n", "alpha", "value", "unchecked", "digest", "noise", "predicted", "extra"]
)
def test_an_edited_run_is_rejected(run, tmp_path, change):
    document = json.loads(run.encode())
    document[change] = {
        "n": 10 * N,
        "alpha": 0.01,
        "value": [0.1] * len(run),
        "unchecked": [],
        "digest": "0",
        "extra": 1,
        "noise": {"name": "gaussian", "sigma": 0.5},
        "predicted": [0] * len(run),
    }[change]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    with pytest.raises(radii.InputError, match="import the log again"):
        load_run(path)


def test_imported_runs_are_certified_beside_votes(run, votes):
    certified = certify_all({"own": votes, "theirs": run}, ["l2", "linf", "l0"], [1, 2])
    assert [*certified["theirs"]] == [("l2", 1), ("linf", 1)]
    assert len(certified["own"]) == 6
    with pytest.raises(radii.InputError, match="k = 1"):
        certify_all({"theirs": run}, ["l2"], [2])
    for change in ({"labels": "true"}, {"method": "binary"}, {"jointly": True}):
        with pytest.raises(radii.InputError, match="whose bounds are fixed"):
            certify_all({"theirs": run}, ["l2"], [1], **change)


# damage -------------------------------------------------------------------------------------------

FILES = {
    "log": "\n".join([HEADER, LINE, "20\t8\t-1\t0.0\t0\t0:00:12"]).encode(),
    "csv": b"index,label,a,b,selection_a,selection_b\n3,0,990,10,9,1\n5,1,500,500,5,5\n",
    "npy": npy(COUNTS),
    "npz": npz(counts=COUNTS, labels=np.array([0, 1]), classes=np.array(["a", "b"])),
}


@given(st.sampled_from([*FILES]), st.integers(0, 10**6), st.binary(min_size=1, max_size=6), st.booleans())
def test_damaged_files_end_in_one_sentence(tmp_path_factory, kind, at, patch, cut):
    content = FILES[kind]
    at %= len(content)
    path = tmp_path_factory.getbasetemp() / f"damaged-{kind}"
    path.write_bytes(content[:at] + patch + (b"" if cut else content[at + len(patch) :]))
    try:
        run = radii.import_log(path, noise=GAUSSIAN, shape=SHAPE, n=N if kind == "log" else None)
    except radii.InputError as error:
        assert "\n" not in str(error)
    else:
        assert (run.radius <= 0.9529).all() if kind == "log" else (run.counts >= 0).all()


# MAT-files of MACER -------------------------------------------------------------------------------


def macer(votes: radii.Votes, **options) -> bytes:
    """The file that MACER's code saves for these votes, with radii by mean softmax that are none of ours."""
    certified = radii.certify(votes, "l2", labels="predicted", method="binary")
    right = (certified.radius > 0) & (certified.label == votes.labels)
    file = io.BytesIO()
    hard = np.where(right, certified.radius, -1.0)
    scipy.io.savemat(file, {"hard": hard, "soft": 9 + 0 * hard}, **options)
    return file.getvalue()


def test_a_mat_file_of_our_votes_has_their_curve(votes, tmp_path):
    certified = radii.certify(votes, "l2", labels="predicted", method="binary")
    path = tmp_path / "440.mat"
    path.write_bytes(macer(votes))
    log = imported(path, labels=votes.labels, positions=slice(500, None, 2))
    at = np.unique(np.concatenate([[0.0], certified.radius]))
    assert np.array_equal(log.accuracy(at), certified.accuracy(at))
    assert log.index.tolist() == [500 + 2 * row for row in range(len(votes))]
    assert any("has no predicted labels" in sentence for sentence in log.unchecked)
    assert np.array_equal(read_mat(macer(votes), path)["soft"], np.full(len(votes), 9.0))


def test_other_mat_files_are_errors(votes, tmp_path):
    path = tmp_path / "440.mat"
    for arrays, options in (
        ({"hard": np.array([0.1])}, {"do_compression": True}),
        ({"hard": np.array([0.1 + 1j])}, {}),
        ({"hard": np.eye(2)}, {}),
        ({"hard": np.array([1, 2])}, {}),
        ({"hard": {"a": 1.0}}, {}),
        ({"hard": np.array(["a"], dtype=object)}, {}),
        ({"soft": np.array([0.1])}, {}),
        ({"hard": np.array([-2.0])}, {}),
        ({"hard": np.array([np.nan])}, {}),
        ({"hard": np.array([5.0])}, {}),
        ({"hard": np.array([0.1, 0.2])}, {}),
    ):
        scipy.io.savemat(path, arrays, **options)
        with pytest.raises(InputError):
            imported(path, labels=np.array([3]))
    path.write_bytes(macer(votes))
    with pytest.raises(InputError, match="state the true labels of the 150 images"):
        imported(path)


@given(st.data())
def test_damaged_mat_files_are_errors_or_numbers(data):
    content = io.BytesIO()
    scipy.io.savemat(content, {"hard": np.array([0.5, -1.0]), "soft": np.array([0.5, -1.0])})
    damaged = bytearray(content.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        read_mat(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]), "file")
