"""Generalized normal noise: between Laplace and Gaussian, towards uniform, and under attack."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

import radii
from radii.certificates.radius import certified_radius, tradeoff
from radii.errors import InputError
from radii.models.devices import TensorSource
from radii.noises.generalized_normal import GeneralizedNormal
from radii.noises.lattice import check_range, distance, draw_levels
from radii.noises.norms import Ball
from radii.noises.streams import Stream

P = np.array([0.3, 0.501, 0.6, 0.9, 0.99, 0.9999])
SHAPE = (3, 4, 4)


# the closed cases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("norm,rtol", [("l0", 0), ("l1", 1e-9), ("l2", 1e-4), ("linf", 1e-9)])
def test_exponent_1_is_laplace(norm: str, rtol: float) -> None:
    sigma = 2.0 if norm == "l0" else 0.5
    found = certified_radius(GeneralizedNormal(sigma, 1), norm, P, shape=SHAPE)
    np.testing.assert_allclose(found, certified_radius(radii.Laplace(sigma), norm, P, shape=SHAPE), rtol=rtol)


@pytest.mark.parametrize("norm,rtol", [("l0", 0), ("l1", 1e-9), ("l2", 1e-9), ("linf", 2e-4)])
def test_exponent_2_is_gaussian_from_below(norm: str, rtol: float) -> None:
    sigma = 2.0 if norm == "l0" else 0.5
    found = certified_radius(GeneralizedNormal(sigma, 2), norm, P, shape=SHAPE)
    exact = certified_radius(radii.Gaussian(sigma), norm, P, shape=SHAPE)
    assert np.all(found <= exact * (1 + 1e-10))
    np.testing.assert_allclose(found, exact, rtol=rtol)


@pytest.mark.parametrize("unit", ["feature", "pixel"])
def test_l0_within_boxes_is_gaussian_from_below(unit: str) -> None:
    images = np.random.default_rng(0).random((len(P), *SHAPE))
    arguments = {"lower": P, "shape": SHAPE, "unit": unit, "images": images}
    found = certified_radius(GeneralizedNormal(2.0, 2), "l0", **arguments)
    exact = certified_radius(radii.Gaussian(2.0), "l0", **arguments)
    # channels take their farthest moves each for itself, and moves are rounded up: a unit less, sometimes
    assert np.all(found <= exact) and np.all(found >= exact * 0.9 - 1) and found.sum() > 0.9 * exact.sum()


def test_large_exponents_tend_to_uniform_noise() -> None:
    p = np.array([0.6, 0.9])
    uniform = certified_radius(radii.Uniform(0.5), "l1", p, shape=SHAPE)
    gaps = []
    for exponent in (4, 16, 64):
        found = certified_radius(GeneralizedNormal(0.5, exponent), "l1", p, shape=SHAPE)
        gaps.append(np.abs(found / uniform - 1).max())
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 2e-3


# laws ---------------------------------------------------------------------------------------------

NOISES = [GeneralizedNormal(0.5, exponent) for exponent in (1.3, 4, 12)]
PAIRS = [
    pytest.param(noise, norm, id=f"{noise.exponent:g}-{norm}") for noise in NOISES for norm in radii.NORMS
]


@pytest.mark.parametrize("noise,norm", PAIRS)
def test_trade_offs_obey_their_laws(noise: GeneralizedNormal, norm: str) -> None:
    family = noise.trade_offs(Ball(norm, SHAPE))
    p = np.linspace(0.001, 0.999, 200)
    previous = p
    for x in (1, 2) if norm == "l0" else (0.01, 0.3):
        r = np.full(200, x)
        upper, lower = family.upper(p, r), family.lower(p, r)
        np.testing.assert_allclose(lower, 1 - family.upper(1 - p, r), atol=1e-12)
        assert np.all(np.diff(upper) >= -1e-12) and np.all(np.diff(upper, 2) <= 1e-7), "rising and concave"
        assert np.all(upper >= previous - 1e-12) and np.all((upper <= 1) & (lower >= 0))
        previous = upper
    np.testing.assert_allclose(family.upper(p, np.zeros(200)), p, atol=1e-9)


@pytest.mark.parametrize("noise", NOISES, ids=lambda n: f"{n.exponent:g}")
def test_balls_nest(noise: GeneralizedNormal) -> None:
    # l1 within l2 within linf, so radii fall; and sqrt(d) between them is the most
    l1, l2, linf = (certified_radius(noise, norm, P[2:], shape=SHAPE) for norm in ("l1", "l2", "linf"))
    assert np.all(l1 >= l2) and np.all(l2 >= l1 / math.sqrt(48)) and np.all(l2 >= linf)


def test_pixels_are_groups_of_features_and_radii_scale() -> None:
    p = np.linspace(0.6, 0.999, 9)
    features = certified_radius(GeneralizedNormal(3.0, 4), "l0", p, shape=SHAPE, unit="feature")
    pixels = certified_radius(GeneralizedNormal(3.0, 4), "l0", p, shape=SHAPE)
    np.testing.assert_array_equal(pixels, features // 3)
    one, two = (certified_radius(GeneralizedNormal(s, 4), "linf", p, shape=SHAPE) for s in (0.5, 1.0))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-9)


def test_tradeoff_is_never_above_the_truth() -> None:
    alpha = np.linspace(0.01, 0.99, 21)
    law = GeneralizedNormal(0.5, 4).density
    r = 0.3
    t = tradeoff(GeneralizedNormal(0.5, 4), "l1", r, SHAPE)(alpha)
    exact = law.cdf(law.quantile(1 - alpha) - r / GeneralizedNormal(0.5, 4).scale)
    assert np.all(t <= exact)
    np.testing.assert_allclose(t, exact, rtol=1e-9)


# the falsifier: half-spaces and best regions on real draws --------------------------------------------


def falsifies(
    noise: GeneralizedNormal, move: np.ndarray, region: str, p: float, claimed: float, norm: str
) -> bool:
    """Whether draws show that the region rises farther under `move` than the rule says for `claimed`, at level 1e-9."""
    draws, d = 60_000, len(move)
    family = noise.trade_offs(Ball(norm, (d,), "feature"))

    def score(x: np.ndarray) -> np.ndarray:
        if region == "half-space":
            return x @ move
        q, scale = noise.exponent, noise.scale
        return (np.abs(x / scale) ** q - np.abs((x - move) / scale) ** q).sum(axis=1)

    def drawn(part: int) -> np.ndarray:
        return noise.draw(Stream(11).at([part] * draws, range(draws)), (draws, d)).astype(float)

    threshold = np.quantile(score(drawn(0)), 1 - p)
    inside, moved = (score(drawn(1)) > threshold).sum(), (score(drawn(2) + move) > threshold).sum()
    p_upper = radii.votes.bounds.upper_bound(np.array([inside]), draws, 5e-10)
    q_lower = radii.votes.bounds.lower_bound(np.array([moved]), draws, 5e-10)
    return bool(q_lower[0] > family.upper(p_upper, np.array([claimed]))[0])


@pytest.mark.parametrize("region", ["half-space", "likelihood ratio"])
@pytest.mark.parametrize("exponent", [1.4, 4.0])
@pytest.mark.parametrize("norm", ["l1", "l2", "linf", "l0"])
def test_falsifier_spares_the_rule_and_catches_too_much(exponent: float, norm: str, region: str) -> None:
    d, p = 12, 0.05
    noise = GeneralizedNormal(2.0 if norm == "l0" else 0.5, exponent)
    if norm == "l0":
        r, less, move = 7, 5, 1.0 * (np.arange(d) < 7)
    else:
        r = certified_radius(noise, norm, np.array([1 - p]), shape=(d,))[0]
        less = r / (1.5 if norm == "l2" else 1.25)
        one = np.eye(d)[0]
        move = r * {"l1": one, "l2": np.ones(d) / math.sqrt(d), "linf": np.ones(d)}[norm]
    assert not falsifies(noise, move, region, p, r, norm)
    if region == "likelihood ratio" or norm == "l1":
        assert falsifies(noise, move, region, p, less, norm)


# drawing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [1, 1.5, 2, 4, 16, 64])
def test_draws_have_the_law(exponent: float) -> None:
    noise = GeneralizedNormal(0.5, exponent)
    law = scipy.stats.gennorm(exponent, scale=noise.scale)
    assert law.std() == pytest.approx(0.5, rel=1e-12)
    counted = noise.draw(Stream(3).at([0] * 40, range(40)), (40, 3000)).ravel()
    tensors = noise.draw(TensorSource(1, torch.device("cpu")), (120_000,))
    assert counted.dtype == np.float32 and tensors.dtype == torch.float32
    for sample in (counted.astype(float), tensors.double().numpy()):
        assert scipy.stats.kstest(sample, law.cdf).pvalue > 1e-3
        # five percent too wide, or an exponent half as large again, would be noticed
        assert scipy.stats.kstest(sample * 1.05, law.cdf).pvalue < 1e-3
    if exponent < 10:
        other = scipy.stats.gennorm(1.5 * exponent, scale=GeneralizedNormal(0.5, 1.5 * exponent).scale)
        assert scipy.stats.kstest(counted.astype(float), other.cdf).pvalue < 1e-3


def test_draw_j_of_image_i_is_always_the_same() -> None:
    noise = GeneralizedNormal(0.5, 3)
    together = noise.draw(Stream(7).at([4, 4, 9], [0, 1, 0]), (3, 2, 5))
    for row, (image, draw) in enumerate([(4, 0), (4, 1), (9, 0)]):
        alone = noise.draw(Stream(7).at([image], [draw]), (1, 2, 5))
        np.testing.assert_array_equal(alone[0], together[row])
    assert len(np.unique(together)) == 30


def test_exact_arithmetic_draws_it() -> None:
    noise = GeneralizedNormal(0.5, 3)
    check_range(noise)
    levels = draw_levels(noise, Stream(2).at([0] * 20, range(20)), (20, 1000)).ravel().astype(float)
    assert np.all(levels * 16 == np.rint(levels * 16))
    law = scipy.stats.gennorm(3, scale=255 * noise.scale)
    assert (
        scipy.stats.kstest(levels + np.random.default_rng(0).uniform(-1, 1, len(levels)) / 32, law.cdf).pvalue
        > 1e-3
    )
    assert 1e-9 < distance(noise, 3072) < 1e-6


# wrong arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.99, 65, float("nan"), float("inf"), "2", True, None])
def test_refuses_an_exponent_that_is_none(exponent: object) -> None:
    with pytest.raises(InputError, match="exponent must"):
        GeneralizedNormal(0.5, exponent)  # type: ignore[arg-type]


def test_refuses_a_sigma_that_is_none() -> None:
    with pytest.raises(InputError, match="sigma must be"):
        GeneralizedNormal(-1.0, 2)
