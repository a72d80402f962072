"""What votes cost: sums by hand, the operating characteristics of a sequential plan, and files as written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import radii
from radii.certificates.costs import (
    Devices,
    Work,
    counts_bytes,
    mean_samples,
    pilot_shares,
    standard_error,
)
from radii.errors import InputError
from vote_factory import make_votes

RESULTS = Path(__file__).parents[2] / "results" / "cifar10"


def test_by_hand() -> None:
    work, devices = Work(500, 10, (1000,), 100), Devices(pace=50, number=4, price=3.0)
    assert (work.passes_per_image, work.passes) == (1100, 550_000)
    # 550,000 passes at 50 a second are 11,000 s
    assert devices.hours(work.passes) == pytest.approx(11_000 / 3600)
    assert devices.seconds(work.passes) == 2750
    assert devices.money(work.passes) == pytest.approx(3 * 11_000 / 3600)
    assert Devices(50).seconds(work.passes) == 11_000 and Devices(50).money(work.passes) is None


def test_kinds_of_images_are_equally_frequent() -> None:
    work = Work(30, 10, (10, 20, 60))
    assert work.passes == 900
    assert Work(30, 10, (10, 20, 60), 5).passes == 900 + 30 * 5
    alone = [Work(10, 10, (draws,)).file_bytes for draws in (10, 20, 60)]
    header = Work(1, 10, (1,)).file_bytes - (Work(2, 10, (1,)).file_bytes - Work(1, 10, (1,)).file_bytes)
    assert work.file_bytes == pytest.approx(sum(alone) - 2 * header)


def test_the_sequential_plan_costs_what_its_law_says() -> None:
    plan = radii.sequential(
        radii.RadiusTarget(radii.Gaussian(0.5), "l2", (0.5, 1.0), (3, 32, 32)), n_max=10_000
    )
    p = [0.99, 0.6, 0.99, 0.9]
    each = [plan.operating_characteristics(one).mean_samples for one in p]
    np.testing.assert_array_equal(mean_samples(plan, p), each)
    assert Work(1000, 10, tuple(mean_samples(plan, p))).passes == pytest.approx(1000 * np.mean(each))


def test_a_pilot_shows_the_shares_of_the_true_labels() -> None:
    votes = make_votes(images=4, n=50)
    expected = [votes.counts[image, votes.labels[image]] / 50 for image in range(4)]
    assert pilot_shares(votes, votes.noise, votes.shape).tolist() == expected
    assert standard_error([1.0, 3.0]) == pytest.approx(np.sqrt(2) / np.sqrt(2) / 2)


def test_the_mean_is_found_from_a_pilot_as_often_as_its_error_says() -> None:
    rng = np.random.default_rng(0)
    draws = rng.exponential(100, (1000, 400))
    far = [abs(one.mean() - 100) > 2 * standard_error(one) * one.mean() for one in draws]
    assert 0.03 < np.mean(far) < 0.07


BAD_PILOTS = {
    "as many samples of every image": lambda votes: replace(votes, plan=radii.anytime(n_max=50), draws=()),
    "must have true labels": lambda votes: replace(votes, labels=None),
    "plan with --noise laplace:sigma=0.25 --shape 3,32,32": lambda votes: replace(
        votes, noise=radii.Laplace(0.25)
    ),
    "plan with --noise laplace:sigma=0.5 --shape 1,8,8": lambda votes: replace(votes, shape=(1, 8, 8)),
    "at least 2 images; this one has 1": lambda votes: votes[:1],
}


@pytest.mark.parametrize("words", BAD_PILOTS)
def test_rejects_pilots_that_would_mislead(words: str) -> None:
    votes = replace(
        make_votes(images=4, n=50), selection=np.zeros((4, 10), dtype=int), plan=radii.fixed(50, 0)
    )
    with pytest.raises(InputError, match=words):
        pilot_shares(BAD_PILOTS[words](votes), radii.Laplace(0.5), (3, 32, 32))


@pytest.mark.parametrize("name", ["images", "classes", "selection"])
@pytest.mark.parametrize("value", [-1, 1.5, None, True])
def test_rejects_work_that_is_none(name: str, value: object) -> None:
    given = {"images": 10, "classes": 10, "samples": (100,), "selection": 0, name: value}
    with pytest.raises(InputError, match=f"{name} must be a whole number"):
        Work(**given)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_rejects_devices_that_do_nothing(value: float) -> None:
    with pytest.raises(InputError, match="passes per second must be a finite number above 0"):
        Devices(value)
    with pytest.raises(InputError, match="price must be a finite number above 0"):
        Devices(10, price=value)
    with pytest.raises(InputError, match="devices must be a whole number of at least 1"):
        Devices(10, number=0)


# the size of files ---------------------------------------------------------------------------------


def written_bytes(path: Path, images: int, classes: int, n: int, spread: float = 8.0) -> int:
    """The size of a file of votes whose log odds have the standard deviation `spread`.

    At 8, votes of 10 classes show as many of them as those of networks trained under noise in `results` do, and
    of 1000 classes 40 are shown, with 97 % of the votes in five.
    """
    rng = np.random.default_rng([images, classes, n])
    scores = rng.normal(0, spread, (images, classes))
    labels = rng.integers(0, classes, images)
    scores[np.arange(images), labels] += rng.gamma(2, 2, images)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    votes = replace(
        make_votes(images=images),
        counts=rng.multinomial(n, odds),
        selection=rng.multinomial(100, odds),
        labels=labels,
        plan=radii.fixed(n, 100),
        draws=((0, n),),
        classes=tuple(f"class {number}" for number in range(classes)),
    )
    votes.save(path)
    return path.stat().st_size


FILES = [(500, 10, 1000), (5000, 10, 100_000), (2000, 1000, 100_000), (2000, 1000, 1000)]


@pytest.mark.parametrize("spread", [5.0, 8.0])
@pytest.mark.parametrize("images,classes,n", FILES)
def test_files_have_about_the_size_that_was_said(
    tmp_path: Path, images: int, classes: int, n: int, spread: float
) -> None:
    size = written_bytes(tmp_path / "votes.parquet", images, classes, n, spread)
    assert size / 2 < Work(images, classes, (n,), 100).file_bytes < 2 * size


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/votes.parquet")), ids=lambda path: path.parent.name)
def test_stored_files_have_about_the_size_that_is_said(path: Path) -> None:
    votes = radii.load_votes(path)
    work = Work(len(votes), len(votes.classes), (votes.n,), votes.plan.selection)
    assert path.stat().st_size / 2 < work.file_bytes < 2 * path.stat().st_size


def test_more_samples_and_classes_take_more_bytes() -> None:
    assert counts_bytes(10, 0) == 0
    at = [[counts_bytes(classes, draws) for draws in (1, 16, 1000, 10**5)] for classes in (2, 10, 1000)]
    assert (np.diff(at, axis=0) > 0).all() and (np.diff(at, axis=1) > 0).all()
