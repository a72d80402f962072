"""What docs/data.md shows is run; commands with images of one's own say and store what they should."""

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

import image_factory as factory
import radii
from commands import call, fine, tree
from radii.data import load_data
from radii.training.run_folder import load_config

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
LABELS = np.arange(40) % 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the commands of the page were given, and what they printed."""
    path = tmp_path_factory.mktemp("my data")
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8) // 2 + 120 * LABELS[:, None, None].astype(
        np.uint8
    )
    for name, rows in (("train", slice(24)), ("test", slice(24, 40))):
        factory.write_folder(path / "photos", {name: (photos[rows], LABELS[rows])})
    digits = load_data("digits", "train").first(400)
    np.savez(path / "digits.npz", images=digits.pixels[:, 0], labels=digits.labels)
    return path


@pytest.fixture(scope="module")
def printed(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return {line: give(line) for line in COMMANDS}


def give(line):
    if line.startswith("radii "):
        return fine(*shlex.split(line, comments=True)[1:])
    subprocess.run(["sh", "-ec", line], check=True)
    return ""


def said(printed, beginning):
    return next(words for line, words in printed.items() if line.startswith(beginning))


def test_data_says_what_is_there(printed):
    lines = said(printed, "radii data photos").splitlines()
    assert lines[0] == "photos train: 24 images of (1, 8, 8), 2 classes"
    assert re.fullmatch(r"  8-bit pixels, sha256:[0-9a-f]{16}; 0, 1", lines[1])
    assert lines[2] == "photos test: 16 images of (1, 8, 8), 2 classes"


def test_the_run_knows_its_images(folder, printed):
    config = load_config(folder / "runs" / "photos")
    assert (config.recipe.data, config.recipe.model, config.recipe.epochs) == ("photos", "small-cnn", 2)
    assert config.classes == ("0", "1")
    votes = radii.load_votes(folder / "runs" / "photos" / "votes.parquet")
    data = load_data(str(folder / "photos"))
    assert str(votes.data) == f"photos test sha256:{data.identity.digest}, all"
    assert votes.labels.tolist() == data.labels.tolist()


def test_a_subset_comes_before_other_rules(folder, printed):
    votes = radii.load_votes(folder / "part.parquet")
    assert votes.index.tolist() == [3, 7]
    own = load_data(str(folder / "digits.npz"))
    assert votes.labels.tolist() == own.labels[[3, 7]].tolist()
    assert str(votes.data).endswith(f"{own.identity.digest}, first 2 of 4 chosen of 80 without 11")
    known = radii.load_votes(folder / "known.parquet")
    assert str(known.data) == "digits test, first 20 of 355"


def test_the_snippet_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (code,) = SNIPPETS
    found: dict = {}
    exec(code, found)
    assert len(found["votes"]) == 5 and found["votes"].classes == ("red", "green", "blue")


def test_changed_images_are_certified_by_no_box_and_shown_in_no_report(
    folder, printed, tmp_path, monkeypatch
):
    monkeypatch.chdir(folder)
    votes = folder / "part.parquet"
    fine("report", votes, "--norm", "l1", "--k", 1, "--out", tmp_path / "report")
    assert '<section id="examples">' in (tmp_path / "report" / "index.html").read_text()
    np.savez(tmp_path / "digits.npz", images=np.zeros((9, 8, 8), np.uint8), labels=np.arange(9) // 5)
    ended = call("certify", votes, "--norm", "l1", "--box", "--data-dir", tmp_path)
    assert ended.status == 2 and "they were changed, or are others" in ended.err
    monkeypatch.chdir(tmp_path)
    printed = fine("report", votes, "--norm", "l1", "--k", 1, "--out", tmp_path / "other")
    assert "has no example images: the votes are about digits.npz test sha256:" in printed


def test_real_pixels_can_be_trained_on_voted_on_and_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).random((40, 1, 6, 6)) * (1 + LABELS[:, None, None, None]) / 2
    np.savez("real.npz", x=images, y=LABELS)
    assert "  real pixels, sha256:" in fine("data", "real.npz")
    fine(
        "train",
        "--data",
        "real.npz",
        "--noise",
        "gaussian",
        "--epochs",
        1,
        "--batch-size",
        20,
        "--out",
        "run",
    )
    fine("vote", "run", "--split", "all", "--limit", 6, "--n", 50)
    fine("certify", "run/votes.parquet", "--norm", "l1", "--box")
    fine("report", "run/votes.parquet", "--norm", "l1", "--k", 1, "--out", "page")
    assert "data:image/png" in Path("page/index.html").read_text()
    ended = call("vote", "run", "--n", 50, "--exact-arithmetic", "--out", "exact")
    assert ended.status == 2 and "exact arithmetic needs 8-bit images" in ended.err


MISTAKES = {
    "train --data no/where --out new": "there is no file or folder no/where of images",
    "train --data photos.zip --out new": "there is no file or folder photos.zip of images",
    "train --data bad --out new": "bad/a/1.png is not a whole image",
    "data bad": "bad/a/1.png is not a whole image",
    "data bomb": "bomb/a/1.png would unpack to an image larger than Pillow opens",
    "vote runs/photos --data bad --split all --out new": "bad/a/1.png is not a whole image",
    "vote runs/photos --data digits.npz --out new": "those of the model, '0', '1'; '2', '3', '4' and 5 more are not",
    "vote runs/photos --data mnist5k --out new": "mnist5k has images of the shape (1, 28, 28); the model",
    "vote runs/photos --split all --out new": "unknown split of photos 'all'; known: train, test",
    "vote runs/digits --split al --out new": "unknown split of digits.npz 'al'; did you mean 'all'",
    "vote runs/digits --data-dir runs --out new": "there is no file or folder runs/digits.npz of images",
    "vote runs/digits --indices none --out new": "there is no file none of positions",
    "vote runs/digits --indices digits.npz --out new": "line 1 of digits.npz must be a position",
    "vote runs/digits --indices far.txt --out new": "has no image 80: is it the same data set?",
    "vote runs/digits --indices subset.txt --exclude 1 --out new": "image 1 cannot be left out: it is not in",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(line, folder, printed, monkeypatch):
    monkeypatch.chdir(folder)
    for name, content in (("bad", b"x"), ("bomb", factory.empty_png(40_000, 40_000))):
        (folder / name / "a").mkdir(parents=True, exist_ok=True)
        (folder / name / "a" / "1.png").write_bytes(content)
    (folder / "far.txt").write_text("3\n80\n")
    before = tree(folder)
    ended = call(*line.split())
    assert ended.status == 2 and ended.err.count("\n") == 1 and MISTAKES[line] in ended.err
    assert tree(folder) == before
