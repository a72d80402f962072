"""Routed certificates in a world of one feature, where the routed classifier's true radius is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import laplace, norm, uniform

import radii
from radii.errors import InputError
from radii.noises import Noise
from vote_factory import votes_of_counts

CDFS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gaussian": norm.cdf,
    "laplace": laplace(scale=0.5**0.5).cdf,
    "uniform": uniform(-(3**0.5), 2 * 3**0.5).cdf,
}
"""Distribution functions at sigma 1."""
ALPHA = 0.1


def shares(noise: Noise, ends: np.ndarray, classes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Probabilities `(x, classes)` of a base classifier that is constant between rising `ends`."""
    below = CDFS[noise.name]((ends - x[:, None]) / noise.sigma)
    pieces = np.diff(below, axis=1, prepend=0, append=1)
    return np.stack([pieces[:, classes == one].sum(axis=1) for one in range(classes.max() + 1)], axis=1)


def votes_of(counts: np.ndarray, noise: Noise) -> radii.Votes:
    return votes_of_counts(counts, noise=noise, shape=(1, 1, 1))


@pytest.mark.parametrize("labels", ["true", "predicted"])
def test_no_radius_exceeds_that_of_the_routed_classifier(labels: str) -> None:
    draws = np.random.default_rng(0)
    n, grid, routed_further = 10**6, np.linspace(-3, 3, 6001), 0
    for _ in range(40):
        worlds, counts = [], []
        for _ in range(3):
            noise = radii.make_noise(draws.choice(list(CDFS)), draws.choice([0.25, 0.5, 1]))
            ends, classes = np.sort(draws.normal(0, 1, 4)), draws.permutation([0, 1, 0, 1, 0])
            p = shares(noise, ends, classes, grid)
            first = np.floor(p[3000] * n).astype(int)[:1]
            worlds.append(p.argmax(axis=1))
            counts.append(votes_of(np.stack([first, n - first], axis=1), noise))
        routed = radii.certify_routed(counts[0], counts[1:], "l1", labels=labels)
        answer = np.where(worlds[0] == 0, worlds[1], worlds[2])
        lost = np.abs(grid[answer != routed.label[0]])
        assert routed.radius[0] <= (lost.min() if len(lost) else np.inf)
        routed_further += routed.radius[0] > min(run.radius[0] for run in routed.runs)
    assert routed_further > 3


def simulated(joint: str, alpha: float = ALPHA) -> radii.RoutedCertificates:
    """Certify many times where the router changes its choice at 0.5, and run 1 loses the label there, too.

    `joint`: whether router and run 1 have the noise samples of their own, the same ones, or mirrored ones.
    """
    trials, n = 8000, 400
    draws = np.random.default_rng(1)
    noise = draws.normal(size=(trials, n))
    other = {"independent": draws.normal(size=(trials, n)), "same": noise, "mirrored": -noise}[joint]
    hits = [(samples < 0.5).sum(axis=1) for samples in (noise, other)]
    router, second = (votes_of(np.stack([hit, n - hit], axis=1), radii.Gaussian(sigma=1)) for hit in hits)
    first = replace(second, counts=np.tile([n, 0], (trials, 1)), selection=np.tile([10, 0], (trials, 1)))
    return radii.certify_routed(router, [first, second], "l2", alpha=alpha, method="binary")


@pytest.mark.parametrize("joint", ["independent", "same", "mirrored"])
def test_it_is_false_with_probability_at_most_alpha(joint: str) -> None:
    # the true radius is 0.5; four standard errors of 8000 trials are 0.0134
    assert np.mean(simulated(joint).radius > 0.5) <= ALPHA + 0.0134


def test_breaks_are_caught() -> None:
    routed = simulated("mirrored")
    # the radius of the chosen run alone ignores where the router changes its choice
    assert np.mean(np.where(routed.router.certified, routed.runs[0].radius, 0) > 0.5) > 0.9
    # router and runs at all of alpha each: false beyond four standard errors
    assert np.mean(simulated("mirrored", 2 * ALPHA).radius > 0.5) > ALPHA + 0.0134


def test_status_and_radius_follow_router_and_run() -> None:
    sure, unsure = [990, 10], [500, 500]
    router = votes_of_counts([sure, unsure, unsure, sure])
    first = votes_of_counts([sure, sure, [10, 990], [10, 990]])
    second = votes_of_counts([unsure, sure, [10, 990], sure])
    routed = radii.certify_routed(router, [first, second], "l2")
    assert routed.status.tolist() == ["certified", "certified", "refuted", "refuted"]
    assert (routed.radius > 0).tolist() == [True, True, False, False]
    assert routed.alpha == 1e-3 and routed.router.alpha == 5e-4
    assert routed.accuracy([0.1]).tolist() == [0.5] and routed.correct.tolist() == [True, True, False, False]
    predicted = radii.certify_routed(router, [first, second], "l2", labels="predicted")
    assert predicted.status.tolist() == ["certified", "abstained", "abstained", "certified"]
    assert predicted.label[[0, 3]].tolist() == [0, 1] and not predicted.radius[1:3].any()


def test_votes_that_do_not_belong_together_are_rejected() -> None:
    router = votes_of_counts([[990, 10]])
    moved = replace(router, index=np.array([7]))
    for runs, message in (
        ([router], "one class per run"),
        ([router, moved], "same images"),
        ([moved, moved], "same images"),
        ([], "at least one run"),
        ([router, replace(router, labels=np.array([1]))], "same classes and true labels"),
    ):
        with pytest.raises(InputError, match=message):
            radii.certify_routed(router, runs, "l2")
    with pytest.raises(InputError, match="share"):
        radii.certify_routed(router, [router, router], "l2", share=1)


def test_the_best_run_certifies_furthest() -> None:
    runs = [
        votes_of_counts([[700, 300], [990, 10], [10, 990]]),
        votes_of_counts([[990, 10]] * 2 + [[10, 990]]),
    ]
    assert radii.best_run(runs, "l2").tolist() == [1, 0, 0]
