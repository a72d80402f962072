"""From a model to a certificate, where the truth is known: a linear classifier under each noise."""

import numpy as np
import pytest
import torch
from scipy.stats import norm as normal_law

import radii

SHAPE = (1, 4, 4)
D = 16


def half_space(weights: np.ndarray, threshold: float):
    """The classifier of class 0 where `w x < threshold`, class 1 elsewhere, class 2 never."""
    w = torch.tensor(weights, dtype=torch.float32)

    def logits(images: torch.Tensor) -> torch.Tensor:
        score = images.flatten(1) @ w - threshold
        return torch.stack([-score, score, torch.full_like(score, -100.0)], dim=1)

    return logits


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (8, *SHAPE)).astype(np.float32)


def votes_on(images: np.ndarray, noise: radii.Noise, weights: np.ndarray, threshold: float) -> radii.Votes:
    smoothed = radii.Smoothed(half_space(weights, threshold), noise, batch=1024)
    return smoothed.vote(images, np.zeros(len(images), int), plan=radii.fixed(20_000, 10))


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_gaussian_radii_reach_nearly_the_true_distance_and_never_beyond(
    images: np.ndarray, norm: str
) -> None:
    noise = radii.Gaussian(0.3)
    direction = np.eye(D)[3] if norm == "l1" else np.ones(D) / np.sqrt(D)
    scores = images.reshape(len(images), D) @ direction
    # every image at its own distance from the boundary
    threshold = float(scores.max() + 0.2)
    distance = threshold - scores
    true = distance / np.sqrt(D) if norm == "linf" else distance
    found = radii.certify(votes_on(images, noise, direction, threshold), norm)
    reachable = radii.reachable_radius(noise, norm, 20_000, classes=3, shape=SHAPE)
    assert np.all(found.radius <= true)
    within = true < 0.8 * reachable
    assert within.sum() >= 3 and np.all(found.radius[within] > 0.9 * true[within])
    np.testing.assert_allclose(found.lower[within], normal_law.cdf(distance[within] / noise.sigma), atol=0.02)


@pytest.mark.parametrize(
    "noise", [radii.Gaussian(0.3), radii.Laplace(0.3), radii.Uniform(0.3)], ids=lambda n: n.name
)
def test_moved_as_far_as_certified_the_label_stays_and_much_farther_it_goes(
    images: np.ndarray, noise: radii.Noise
) -> None:
    weights = np.ones(D)
    scores = images.reshape(len(images), D) @ weights
    threshold = float(scores.max() + 0.5)
    radius = radii.certify(votes_on(images, noise, weights, threshold), "linf").radius
    assert np.all(radius > 0)
    for factor, share in ((0.999, 1.0), (40.0, 0.0)):
        moved = images + (factor * radius).reshape(-1, 1, 1, 1).astype(np.float32)
        draws = np.random.default_rng(1)

        class Source:
            normal = staticmethod(lambda shape, draws=draws: draws.normal(size=shape))
            exponential = staticmethod(lambda shape, draws=draws: draws.exponential(size=shape))
            uniform = staticmethod(lambda shape, draws=draws: draws.random(size=shape))

        for image in moved:
            copies = torch.tensor(image + noise.draw(Source, (4000, *SHAPE)), dtype=torch.float32)
            first = (half_space(weights, threshold)(copies).argmax(dim=1) == 0).float().mean()
            assert (first > 0.5) == bool(share)


def test_noise_drawn_for_votes_has_the_law_that_certificates_assume(images: np.ndarray) -> None:
    # one feature against its quantile: the counts must fit the exact probability, for every noise
    weights = np.eye(D)[0]
    for noise in (radii.Gaussian(0.3), radii.Laplace(0.3), radii.Uniform(0.3)):
        threshold = float(images[:, 0, 0, 0].mean())
        votes = votes_on(images, noise, weights, threshold)
        z = (threshold - images[:, 0, 0, 0]) / noise.scale
        exact = {
            "gaussian": normal_law.cdf(z),
            "laplace": np.where(z < 0, np.exp(-np.abs(z)) / 2, 1 - np.exp(-np.abs(z)) / 2),
            "uniform": (z + 1) / 2,
        }[noise.name]
        deviation = (votes.counts[:, 0] / votes.n - exact) / np.sqrt(exact * (1 - exact) / votes.n)
        assert np.abs(deviation).max() < 4.5
