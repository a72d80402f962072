"""radii import: what it writes, what it says, and what it leaves alone."""

import json

import numpy as np
import pytest

import radii
from commands import call, fine, tree
from vote_factory import make_votes

STATED = ("--noise", "gaussian", "--sigma", "0.25", "--shape", "3,32,32", "--n", "100000")
LOG = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t7\t7\t0.502\t1\t0:00:13\n20\t8\t-1\t0.0\t0\t0:00:12\n"


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sigma_0.25").write_text(LOG)
    return tmp_path / "sigma_0.25"


def test_a_log_becomes_a_file_beside_it(log):
    said = fine("import", log, *STATED, "--name", "Cohen", "--data", "cifar10")
    assert said.endswith(f"Certificates of 2 images: {log}.json\n")
    for sentence in json.loads(log.with_name("sigma_0.25.json").read_text())["unchecked"]:
        assert sentence in said
    table = fine("certify", f"{log}.json", "--norm", "l2", "--radii", "0.5", "--out", "tables")
    assert "Cohen (imported): Imported from sigma_0.25, sha256:" in table
    written = json.loads((log.parent / "tables/cohen-imported-l2-top1.json").read_text())
    assert written["guarantee"].startswith("If the log is what it was stated to be: for each image")
    assert len(written["unchecked"]) == 7
    rows = (log.parent / "tables/cohen-imported-l2-top1.csv").read_text().splitlines()
    # without a bound on the probability, which no log of radii has
    assert rows[1:] == ["0,7,7,1,certified,,0.5015,0", "20,8,-1,0,abstained,,0.0,0"]


def test_the_same_log_again_is_the_same_file(log):
    fine("import", log, *STATED)
    before = tree(log.parent)
    fine("import", log, *STATED)
    assert tree(log.parent) == before
    other = call("import", log, *STATED[:-1], "200000")
    assert (other.status, tree(log.parent)) == (2, before)
    assert "exists and holds something else: choose another file with --out" in other.err
    fine("import", log, *STATED[:-1], "200000", "--out", log.with_name("sigma_0.25.json"))


def test_counts_become_a_votes_file(log):
    votes = make_votes("gaussian", 0.25, images=8, n=1000)
    np.savez(log.parent / "c.npz", counts=votes.counts, selection=votes.selection, index=votes.index)
    (log.parent / "labels.txt").write_text("".join(f"{label}\n" for label in votes.labels))
    said = fine("import", "c.npz", *STATED[:-2], "--labels", "labels.txt", "--out", "c.parquet")
    assert "Seed, software and devices are unknown" in said
    assert np.array_equal(
        radii.certify(radii.load_votes("c.parquet"), "l2").radius, radii.certify(votes, "l2").radius
    )
    assert "Gaussian (imported)" in fine("certify", "c.parquet", "--norm", "l2")
    named = call("import", "c.npz", *STATED[:-2], "--name", "Mine")
    assert named.status == 2 and "NAME=FILE" in named.err


def test_the_folder_of_the_shell_has_a_name(log):
    rows = np.eye(10)[[3, 8]]
    folder = log.parent / "rs4a"
    folder.mkdir()
    np.save(folder / "preds.npy", rows)
    np.save(folder / "prob_lb.npy", np.array([0.99, 0.6]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert fine("import", ".", *STATED).startswith("Imported from rs4a, sha256:")
    assert (log.parent / "rs4a.json").is_file()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("--noise", "gaussian", "--shape", "3,32,32", "--n", "1000"),
            "state the --sigma of the gaussian noise",
        ),
        (("--noise", "gaussian", "--sigma", "0.25", "--shape", "3,32,32"), "state n"),
        ((*STATED[:2], "--sigma", "0.1", *STATED[4:]), "100,000 samples that all agree"),
        ((*STATED, "--norm", "l0"), "l0 radii are whole numbers"),
        ((*STATED, "--labels", "none.txt"), "there is no file"),
        ((*STATED, "--stride", "0"), "stride must be"),
        ((*STATED, "--shape", "x"), "shape must be"),
    ],
)
def test_what_is_stated_wrongly_ends_in_one_sentence(log, arguments, message):
    before = tree(log.parent)
    ended = call("import", log, *arguments)
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert tree(log.parent) == before


def test_options_that_a_log_has_fixed_are_rejected(log):
    fine("import", log, *STATED)
    for options, message in (
        (("--joint",), "whose bounds are fixed"),
        (("--labels", "true"), "whose bounds are fixed"),
        (("--method", "binary"), "whose bounds are fixed"),
        (("--box", "--norm", "l1"), "does not identify its images"),
        (("--k", "2"), "imported logs are about the most probable label"),
        (("--norm", "l0"), "no rule certifies l0"),
    ):
        ended = call("certify", f"{log}.json", *options)
        assert (ended.status, message in ended.err) == (2, True), ended.err


def test_runs_that_label_an_image_differently_are_not_compared(log):
    votes = make_votes("gaussian", 0.25, images=8, n=1000)
    assert votes.labels[0] != 5
    votes.save("votes.parquet")
    log.write_text(LOG.replace("0\t7\t7", "0\t5\t5"))
    fine("import", log, *STATED, "--data", "cifar10")
    ended = call("report", "votes.parquet", f"{log}.json", "--no-examples", "--norm", "l2")
    assert ended.status == 2
    assert f"image 0 has the label {votes.labels[0]} in Gaussian and 5 in Gaussian (imported)" in ended.err


def test_an_imported_run_is_compared_with_votes(log):
    votes = make_votes("gaussian", 0.25, images=8, n=1000)
    votes.save("votes.parquet")
    log.write_text(LOG.replace("0\t7\t7", f"0\t{votes.labels[0]}\t{votes.labels[0]}"))
    log.write_text(log.read_text().replace("20\t8", f"20\t{votes.labels[1]}"))
    fine("import", log, *STATED, "--data", "cifar10")
    compared = ("compare", "votes.parquet", f"{log}.json", "--common")
    said = fine(*compared, "--norm", "l2", "--radii", "0.25")
    assert "Gaussian (imported): Imported from sigma_0.25" in said
    assert "2 common images" in said
    # sentences are no part of a table for programs
    printed = call(*compared, "--norm", "linf", "--format", "json")
    assert printed.status == 0 and "Imported from sigma_0.25" in printed.err
    assert "Gaussian (imported)" in printed.out and json.loads(printed.out)
    for options in (("--k", "2"), ("--norm", "l0")):
        assert call(*compared, *options).status == 2


def test_a_file_that_is_not_imported_yet_names_the_command(log):
    assert "radii import reads it" in call("certify", log).err


def own_images(folder, labels):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    np.savez(folder / "mine.npz", images=pixels, labels=labels)


def test_a_log_about_your_own_images_stands_beside_votes_on_them(log, monkeypatch):
    labels = np.arange(30) % 10
    labels[[0, 20]] = 7, 8
    own_images(log.parent, labels)
    (log.parent / "zoo.py").write_text(
        "import torch\ndef net(x): return torch.eye(10)[(x.mean((1, 2, 3)) > .5).long()]\n"
    )
    monkeypatch.syspath_prepend(log.parent)
    gaussian = ("--noise", "gaussian", "--sigma", "0.25")
    fine(
        "vote",
        "zoo:net",
        "--data",
        "mine.npz",
        "--split",
        "all",
        *gaussian,
        "--n",
        "100",
        "--out",
        "v.parquet",
    )
    small = (*gaussian, "--shape", "1,8,8", "--n", "100000")
    fine("import", log, *small, "--data", "mine.npz", "--split", "all")
    said = fine("compare", "v.parquet", f"{log}.json", "--common", "--norm", "l2", "--radii", "0.25")
    assert "2 common images" in said
    identity = radii.load_votes("v.parquet").data
    assert json.loads(log.with_name("sigma_0.25.json").read_text())["data"]["digest"] == identity.digest


@pytest.mark.parametrize(
    "change,words",
    [
        (("20\t8", "20\t5"), "image 20 has the label 5 in the log and 8 in mine.npz"),
        (("20\t8", "40\t8"), "the log is about image 40, but mine.npz all"),
    ],
)
def test_a_log_that_your_own_images_contradict_is_rejected(log, change, words):
    labels = np.arange(30) % 10
    labels[[0, 20]] = 7, 8
    own_images(log.parent, labels)
    log.write_text(LOG.replace(*change))
    before = tree(log.parent)
    stated = ("--noise", "gaussian", "--sigma", "0.25", "--shape", "1,8,8", "--n", "100000")
    ended = call("import", log, *stated, "--data", "mine.npz", "--split", "all")
    assert (ended.status, tree(log.parent)) == (2, before) and words in ended.err
