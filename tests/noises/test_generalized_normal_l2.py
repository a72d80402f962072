"""Generalized normal noise against l2: every step of the proof in numbers, and radii under explicit moves."""

import math

import numpy as np
import pytest
from scipy.stats import norm as normal_law

from radii.certificates.radius import certified_radius
from radii.noises.generalized_normal import FEW, GeneralizedNormal
from radii.noises.theory.densities import GeneralizedNormalDensity
from radii.noises.theory.generalized_normal_l2 import (
    PEAK,
    TURN,
    any_mixture,
    mixture_rate,
    normal_excess,
    score_cubes,
)
from radii.noises.theory.laplace_l2 import load_majorants, normal_cubes
from radii.noises.theory.privacy_loss import DensityLoss

P = np.array([0.55, 0.6, 0.72, 0.9, 0.99, 0.999])


def scores(exponent: float, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Scores at variance 1, by a generator of its own."""
    density = GeneralizedNormalDensity(exponent)
    magnitude = rng.gamma(1 / exponent, size=shape) ** (1 - 1 / exponent)
    return exponent * magnitude * rng.choice([-1, 1], shape) / math.sqrt(density.information)


@pytest.mark.parametrize("exponent", [1.05, 1.3, 1.7, 1.97])
def test_up_to_exponent_2_scores_are_less_spread_than_the_normal_law(exponent: float) -> None:
    # |s| / |z| at equal probabilities falls: the step that gives convex order
    density = GeneralizedNormalDensity(exponent)
    tail = np.concatenate([np.linspace(0.999, 0.01, 500), np.geomspace(0.009, 1e-15, 200)])
    z, y = -normal_law.ppf(tail / 2), density.tail_quantile(tail)
    assert np.all(np.diff(np.log(density.score(y)) - np.log(z)) < 0)
    # and hence for the functions used: (|s| - t)_+^3 has a mean below that under the normal law
    t = np.linspace(0, 4, 30)
    assert np.all(score_cubes(exponent)(t) <= normal_cubes(t) * (1 + 1e-9))


@pytest.mark.parametrize("exponent", [2.0, 3.0, 10.0, 64.0])
def test_cubes_are_the_means_of_the_score(exponent: float) -> None:
    density = GeneralizedNormalDensity(exponent)
    x = np.linspace(0, 45 ** (1 / exponent), 400_001)
    weight = np.exp(-(x**exponent)) / density.width / 2
    s = density.score(x) / math.sqrt(density.information)
    t = np.array([0.0, 0.3, 1.0, 2.5, 4.0])
    means = [np.trapezoid(np.maximum(s - each, 0) ** 3 * weight, x) for each in t]
    np.testing.assert_allclose(score_cubes(exponent)(t), means, rtol=1e-6)
    if exponent == 2:
        np.testing.assert_allclose(score_cubes(exponent)(t), normal_cubes(t), rtol=1e-10)


def test_constants_of_any_mixture() -> None:
    x = np.linspace(0.3, 1.0, 100_001)
    assert 0 < PEAK - (x * normal_excess(x)).max() < 1e-6
    holds = [tau * normal_law.sf(tau) <= normal_law.pdf(tau) / 2 for tau in (TURN, TURN + 0.003)]
    assert holds == [True, False]
    # the tangent at variance 1 lies above E(sqrt(w) Z - tau)_+ , all w
    w = np.geomspace(1e-3, 1e3, 4001)
    for tau in (0.0, 0.3, TURN):
        means = np.sqrt(w) * normal_excess(tau / np.sqrt(w))
        tangent = normal_excess(np.array(tau)) + (w - 1) * normal_law.pdf(tau) / 2
        assert np.all(tangent >= means - 1e-12)
    for tau, height in any_mixture():
        if tau > TURN:
            assert np.all(np.sqrt(w) * normal_excess(tau / np.sqrt(w)) <= height * w)


@pytest.mark.parametrize("exponent", [1.4, 2.0, 4.0, 30.0])
@pytest.mark.parametrize("weights", [(1.0,), (0.9, 0.3, 0.3), (1.0,) * 12])
def test_no_weighted_sum_of_scores_exceeds_the_rate(exponent: float, weights: tuple[float, ...]) -> None:
    v = np.array(weights) / np.linalg.norm(weights)
    total = np.sort(scores(exponent, np.random.default_rng(1), (100_000, len(v))) @ v)[::-1]
    envelope = mixture_rate(exponent)
    u = np.array([0.5, 0.3, 0.1, 0.02, 1e-3])
    # E[S g] for the best g of mean u
    best = np.cumsum(total)[(u * len(total)).astype(int) - 1] / len(total)
    rate = 1 / ((envelope.integral(u * 0.999) - envelope.integral(u)) / (u * 1e-3))
    error = 4 * np.sqrt(u / len(total)) * (2 - np.log(u))
    assert np.all(best <= rate * (1 + 2e-3) + error)
    assert np.max(best / rate) > 0.8, "and the rate is not far"


def test_envelope_keeps_the_lowest_line() -> None:
    envelope = mixture_rate(4.0)
    assert np.all(np.diff(envelope.edges) < 0)
    cubes = score_cubes(4.0)
    lines = [(m.tau, m.mean(cubes)) for m in load_majorants()] + any_mixture()
    u = np.geomspace(1e-8, 0.5, 50)
    least = np.array([[height + tau * x for tau, height in lines] for x in u]).min(axis=1)
    step = u * 1e-4
    slope = (envelope.integral(u - step) - envelope.integral(u)) / step
    np.testing.assert_allclose(slope, 1 / least, rtol=2e-3)


@pytest.mark.parametrize(
    "exponent,least",
    [
        (1.5, [0.92, 0.92, 0.92, 0.88, 0.9, 0.91]),
        (3.0, [0.9999, 0.9999, 0.9999, 0.97, 0.87, 0.87]),
        (8.0, [0.9999, 0.9999, 0.9999, 0.97, 0.82, 0.69]),
    ],
)
def test_radii_lie_under_explicit_moves_and_not_far(exponent: float, least: list[float]) -> None:
    noise = GeneralizedNormal(0.5, exponent)
    found = certified_radius(noise, "l2", P, shape=(3, 32, 32))
    density = noise.density
    one, many = density.quantile(P), normal_law.ppf(P) / math.sqrt(density.information)
    attack = np.minimum(one, many) * noise.scale
    assert np.all(found <= attack)
    assert np.all(found >= attack * np.array(least))
    # equal steps on some features, composed: at the certified radius the label still stands
    losses = DensityLoss(density)
    for features in (3, 16, 100):
        for p, r in zip(P[1:], found[1:], strict=True):
            curve = losses.compose_levels(r / noise.scale / math.sqrt(features), (1,), (features,))
            assert curve.lower(np.array([p]), np.array([1 - p]))[0] > 0.5


def test_few_features_use_the_l1_ball() -> None:
    p = np.array([0.999999])
    for exponent in (1.2, 8.0):
        noise = GeneralizedNormal(1.0, exponent)
        l1 = certified_radius(noise, "l1", p, shape=(2,))
        l2 = certified_radius(noise, "l2", p, shape=(2,))
        assert l2 >= l1 / math.sqrt(2) * (1 - 1e-9)
    assert l2 == pytest.approx(l1 / math.sqrt(2), rel=1e-9)


@pytest.mark.parametrize("exponent", [1.2, 4.0, 64.0])
def test_from_few_features_on_the_l1_ball_is_never_better(exponent: float) -> None:
    density = GeneralizedNormalDensity(exponent)
    p = np.concatenate([np.linspace(0.5001, 0.99, 100), 1 - np.geomspace(0.01, 1.2e-16, 100)])
    free = mixture_rate(exponent).quantile(p) / math.sqrt(density.information)
    assert np.all(free > density.quantile(p) / math.sqrt(FEW))


def test_rates_meet_at_exponent_2_from_both_sides() -> None:
    below, above = mixture_rate(1.999999).quantile(P), mixture_rate(2.0).quantile(P)
    assert np.all(above >= below * (1 - 1e-9)) and np.all(above <= normal_law.ppf(P))
