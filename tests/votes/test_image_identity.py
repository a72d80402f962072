"""Images are known again, and others under their name are rejected wherever they would make a claim about them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import radii
from job_factory import Job, load
from radii.data import DataSet, from_arrays
from radii.engine import LocalExecutor, Parts, Shard, run
from radii.errors import InputError
from radii.storage.folders import LocalFolder
from radii.votes import merge
from radii.votes.image_identity import fingerprints

NOISE = radii.Gaussian(0.5)
SHAPE = (1, 4, 4)


def bright(images):
    """One class for bright images, one for dark ones."""
    mean = images.flatten(1).mean(1)
    return 8 * mean[:, None] * images.new_tensor([-1.0, 1.0]) + images.new_tensor([4.0, -4.0])


def pictures(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(count, *SHAPE), dtype=np.uint8)


def votes_on(pixels: np.ndarray, index: np.ndarray | None = None, draws=None) -> radii.Votes:
    images = pixels / np.float32(255)
    labels = np.zeros(len(images), dtype=np.int64)
    smoothed = radii.Smoothed(bright, NOISE, batch=32)
    return smoothed.vote(from_arrays(images, labels, index), plan=radii.fixed(64, 0), draws=draws)


def test_bytes_and_numbers_in_either_precision_are_one_image() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    single, double = levels / np.float32(255), levels / 255.0
    assert np.array_equal(fingerprints(single), fingerprints(double))
    known = [DataSet(images, None, np.arange(256)).fingerprints for images in (levels, single)]
    assert np.array_equal(*known) and len(np.unique(known[0])) == 256
    assert fingerprints(np.zeros((1, 2))) == fingerprints(-np.zeros((1, 2)))


@given(st.integers(0, 15), st.booleans(), st.integers(0, 5))
def test_the_least_change_is_seen_and_where(place: int, up: bool, row: int) -> None:
    images = pictures() / np.float32(255)
    changed = images.copy()
    flat = changed[row].ravel()
    flat[place] = np.nextafter(flat[place], np.float32(2 if up else -1))
    assert np.flatnonzero(fingerprints(images) != fingerprints(changed)).tolist() == [row]


def test_votes_keep_them_through_files_and_parts_of_themselves(tmp_path: Path) -> None:
    votes = votes_on(pictures())
    assert np.array_equal(votes.fingerprints, fingerprints(pictures() / np.float32(255)))
    votes.save(tmp_path / "votes.parquet")
    back = radii.load_votes(tmp_path / "votes.parquet")
    assert np.array_equal(back.fingerprints, votes.fingerprints)
    assert np.array_equal(back[[4, 1]].fingerprints, votes.fingerprints[[4, 1]])
    with pytest.raises(InputError, match="fingerprints must have the shape"):
        replace(votes, fingerprints=votes.fingerprints[:-1])


def test_merging_keeps_order_drops_what_some_lack_and_rejects_other_pixels() -> None:
    pixels = pictures()
    late, early = votes_on(pixels[3:], np.arange(3, 6)), votes_on(pixels[:3], np.arange(3))
    assert np.array_equal((late + early).fingerprints, votes_on(pixels).fingerprints)
    assert (late + replace(early, fingerprints=None)).fingerprints is None
    first, second = votes_on(pixels, draws=(0, 32)), votes_on(pixels, draws=(32, 64))
    assert np.array_equal((first + second).fingerprints, first.fingerprints)
    unknown = replace(first, fingerprints=None)
    assert np.array_equal((unknown + second).fingerprints, first.fingerprints)
    pixels[2, 0, 1, 1] ^= 1
    with pytest.raises(InputError, match="disagree about the pixels of image 2"):
        first + votes_on(pixels, draws=(32, 64))
    before = replace(votes_on(pictures(), draws=(0, 16)), fingerprints=None)
    with pytest.raises(InputError, match="disagree about the pixels of image 2"):
        merge([before, votes_on(pictures(), draws=(16, 32)), votes_on(pixels, draws=(32, 64))])


def test_no_box_is_that_of_another_image() -> None:
    pixels = pictures()
    votes = votes_on(pixels)
    for norm in ("l0", "l1"):
        own = radii.certify(votes, norm, images=pixels / 255)
        assert (own.radius >= radii.certify(votes, norm).radius).all() and own.box
        with pytest.raises(InputError, match="image 0 of the votes is not the one that was voted on"):
            radii.certify(votes, norm, images=pixels[::-1] / 255)
        with pytest.raises(InputError, match=r"images must lie in \[0, 1\]"):
            radii.certify(votes, norm, images=pixels)
    unknown = replace(votes, fingerprints=None)
    assert radii.certify(unknown, "l0", images=pixels[::-1] / 255).radius.shape == (6,)


def changed() -> tuple[radii.Smoothed, DataSet]:
    """The same job, on a machine where an image is another one."""
    smoothed, data = load()
    pixels = data.pixels.copy()
    pixels[-1] = pixels[-1][..., ::-1]
    return smoothed, replace(data, pixels=pixels)


def test_a_run_does_not_go_on_with_other_pixels(tmp_path: Path) -> None:
    plan = radii.fixed(600, 40)
    run(LocalExecutor(Job(load, plan)), Parts(LocalFolder(tmp_path)), shard=Shard(1, 2), block=1300)
    with pytest.raises(InputError, match="is of another run, with other pixels under the same name"):
        run(LocalExecutor(Job(changed, plan)), Parts(LocalFolder(tmp_path)), shard=Shard(2, 2))


def test_a_run_that_knew_no_fingerprints_is_named(tmp_path: Path) -> None:
    here = LocalExecutor(Job(load, radii.fixed(600, 40)))
    old = replace(here.manifest(), block=1300, fingerprints=None)
    begun, drawn = (LocalFolder(tmp_path / name) for name in ("begun", "drawn"))
    begun.write("law.json", old.encode())
    assert run(here, Parts(begun)) is not None, "nothing was drawn yet: it begins anew"
    run(here, Parts(drawn), shard=Shard(1, 2), block=1300)
    drawn.write("law.json", old.encode())
    with pytest.raises(InputError, match="was begun by an older radii"):
        run(here, Parts(drawn))
