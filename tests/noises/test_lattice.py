"""Exact arithmetic: nothing is rounded that the theorems do not know of, and what ordinary floats leak is shown."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch

import radii
from radii.certificates.probability_bounds import ideal_bounds
from radii.errors import InputError
from radii.noises import NOISES, ProductNoise, example_name, make_noise
from radii.noises.lattice import BITS, PARTS, RELATIVE, _levels, check_range, distance, draw_levels, levels_of
from radii.noises.streams import Stream

INDEPENDENT = [example_name(kind) for kind in NOISES.values() if issubclass(kind, ProductNoise)]

LAWS = {
    "laplace": lambda noise: scipy.stats.laplace(scale=255 * noise.scale),
    "gaussian": lambda noise: scipy.stats.norm(scale=255 * noise.scale),
    "uniform": lambda noise: scipy.stats.uniform(-255 * noise.scale, 510 * noise.scale),
    "generalized-normal:exponent=4": lambda noise: scipy.stats.gennorm(4, scale=255 * noise.scale),
}
EXACT_TAILS = {
    "laplace": lambda y: mpmath.exp(-y),
    "gaussian": lambda y: mpmath.erfc(y / mpmath.sqrt(2)),
    "uniform": lambda y: 1 - y,
    "generalized-normal:exponent=4": lambda y: mpmath.gammainc(0.25, y**4, regularized=True),
}
SLOPES = {
    "laplace": lambda y: mpmath.exp(-y),
    "gaussian": lambda y: mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-y * y / 2),
    "uniform": lambda y: mpmath.mpf(1),
    "generalized-normal:exponent=4": lambda y: mpmath.exp(-(y**4)) / mpmath.gamma(1.25),
}
PARTS_OF_IT = {"generalized-normal:exponent=4": 1}
"""What share of the error that the proof allows is used at most; an eighth, unless said here."""


def sample(noise, rows=400, features=512):
    return draw_levels(noise, Stream(3).at([0] * rows, range(rows)), (rows, features))


@pytest.mark.parametrize("name", INDEPENDENT)
def test_quantiles_are_far_better_than_the_proof_needs(name):
    with mpmath.workdps(60):
        whole = np.unique(np.random.default_rng(0).integers(0, 2**BITS, 400))
        ends = np.concatenate([2.0 ** np.arange(0, BITS, 2), 2**BITS - 2.0 ** np.arange(0, BITS, 2), [0.0]])
        for k in [*whole.tolist(), *ends.astype(int).tolist()]:
            tail = (k + 0.5) * 2.0**-BITS
            y = mpmath.mpf(float(make_noise(name, 1.0).tail_quantile(np.array([tail]))[0]))
            # the error in y is the error in its tail over the density, to first order
            error = abs(EXACT_TAILS[name](y) - mpmath.mpf(tail)) / SLOPES[name](y)
            assert error <= RELATIVE * PARTS_OF_IT.get(name, 1 / 8) * abs(y), (k, error / y)


@pytest.mark.parametrize("sigma", [0.02, 0.5])
@pytest.mark.parametrize("name", INDEPENDENT)
def test_the_lattice_law_is_the_rounded_law(name, sigma):
    noise = make_noise(name, sigma)
    steps = sample(noise).ravel().astype(float) * PARTS
    assert (steps == np.rint(steps)).all() and (steps == 0).any()
    law = LAWS[name](noise)
    edges = np.quantile(steps, np.linspace(0.005, 0.995, 60)).round() + 0.5
    edges = np.unique(edges)
    expected = np.diff(np.concatenate([[0.0], law.cdf(edges / PARTS), [1.0]])) * steps.size
    found = np.diff(np.concatenate([[0], np.searchsorted(np.sort(steps), edges), [steps.size]]))
    assert scipy.stats.chisquare(found, expected).pvalue > 1e-4
    # noise one twentieth too wide would be noticed
    wrong = np.maximum(np.diff(np.concatenate([[0.0], law.cdf(edges * 1.05 / PARTS), [1.0]])), 1e-9)
    assert scipy.stats.chisquare(found, wrong / wrong.sum() * steps.size).pvalue < 1e-6


@pytest.mark.parametrize("name", INDEPENDENT)
def test_image_plus_noise_is_exact(name):
    noise = make_noise(name, 0.5)
    levels = np.random.default_rng(1).integers(0, 256, (400, 512)).astype(np.uint8)
    drawn = sample(noise)
    total = levels_of(levels) + drawn
    assert total.dtype == np.float32
    assert np.array_equal(total.astype(float), levels.astype(float) + drawn.astype(float))
    # the farthest draws fit too
    check_range(noise)
    far = np.float32(
        np.rint(noise.tail_quantile(np.array([2.0 ** -(BITS + 1)]))[0] * noise.scale * 4080) / PARTS
    )
    assert float(np.float32(255) + far) == 255 + float(far)


def test_sigma_without_end_is_refused():
    with pytest.raises(InputError, match="too large for exact arithmetic"):
        radii.Smoothed(brightness, radii.Laplace(500.0), exact_arithmetic=True)


def test_images_off_the_grid_are_refused():
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    as_bytes, as_floats = levels_of(pixels), levels_of(pixels / np.float32(255))
    assert np.array_equal(as_bytes, as_floats) and as_bytes.max() == 255
    images = (pixels / np.float32(255)).astype(np.float32)
    images[2, 0, 3, 3] = np.nextafter(images[2, 0, 3, 3], 1)
    with pytest.raises(InputError, match="needs 8-bit images"):
        radii.Smoothed(brightness, radii.Laplace(0.5), exact_arithmetic=True).vote(
            torch.from_numpy(images), plan=radii.fixed(10)
        )


def test_the_distance_grows_with_all_that_can_go_wrong():
    noise = radii.Laplace(0.5)
    one = distance(noise, 1)
    assert distance(noise, 3072) == 3072 * one and distance(radii.Laplace(1.0), 1) > one
    # discreteness alone: more than half a unit of the last bit at each boundary
    assert one > 2.0**-53 * 36 * noise.scale * 255 * PARTS
    assert 1e-9 < distance(noise, 3072) < 1e-6


@pytest.mark.parametrize("sigma", [0.02, 0.5, 3.0])
@pytest.mark.parametrize("name", INDEPENDENT)
def test_the_distance_covers_the_error_of_every_boundary(name, sigma):
    """The closed form against the sum that it bounds (docs/math/exact.md), boundary by boundary."""
    noise = make_noise(name, sigma)
    steps = noise.scale * 255 * PARTS
    last = float(noise.tail_quantile(np.array([2.0**-53]))[0]) * steps
    at = np.arange(0.5, last + 1) / steps
    density = {
        "laplace": np.exp(-at),
        "gaussian": 2 * scipy.stats.norm.pdf(at),
        "uniform": (at <= 1).astype(float),
        "generalized-normal:exponent=4": 2 * scipy.stats.gennorm.pdf(at, 4),
    }[name]
    discrete, computed = len(at) * 2.0**-53, RELATIVE * float(np.sum(at * density))
    assert discrete + computed <= distance(noise, 1) <= 1.02 * discrete + 1.02 * computed + 4 * RELATIVE


@pytest.mark.parametrize("name", INDEPENDENT)
def test_single_random_numbers_give_the_noise_of_their_bits(name):
    noise = make_noise(name, 0.5)
    for number in (0, 1, 2, 3, 2**52 - 1, 2**52, 2**52 + 1, 2**53 - 2, 2**53 - 1, 123456789012345):
        half, negative = divmod(number, 2)
        tail = (half + 0.5) * 2.0**-BITS
        y = float(noise.tail_quantile(np.array([tail]))[0]) * noise.scale * 255
        (found,) = _levels(noise, np.array([number * 2.0**-53]))
        assert np.isfinite(found) and found * (-1 if negative else 1) >= 0
        assert abs(abs(found) - y) <= 0.5 / PARTS * (1 + 1e-9)


# what ordinary floats leak ------------------------------------------------------------------------


def coarse(noisy: torch.Tensor) -> torch.Tensor:
    """Class 1 where most features near zero are whole multiples of 2**-24: only sums with larger numbers are."""
    small = noisy.flatten(1).abs() < 2.0**-4
    whole = noisy.flatten(1) * 2.0**24 == torch.round(noisy.flatten(1) * 2.0**24)
    share = (small & whole).sum(1) / small.sum(1).clamp(min=1)
    return torch.stack([1 - share, share], 1)


def brightness(noisy: torch.Tensor) -> torch.Tensor:
    mean = noisy.flatten(1).mean(1)
    return torch.stack([torch.full_like(mean, 0.5), mean], 1)


def test_float32_leaks_and_exact_arithmetic_does_not():
    """Black and grey, which ordinary noise tells apart by the last bits of the sums."""
    black = np.zeros((1, 1, 8, 8), dtype=np.float32)
    grey = np.full_like(black, np.float32(128 / 255))
    noise, plan = radii.Gaussian(2.5), radii.fixed(1000, selection=0)
    votes = {
        exact: [
            radii.Smoothed(coarse, noise, exact_arithmetic=exact).vote(image, labels=np.array([0]), plan=plan)
            for image in (black, grey)
        ]
        for exact in (False, True)
    }
    move = float(np.linalg.norm(grey - black))
    claimed, there = votes[False]
    assert radii.certify(claimed, "l2").radius[0] > move, "the certificate says that grey is still class 0"
    assert there.counts[0].argmax() == 1, "and it is not: the certificate is wrong"
    claimed, there = votes[True]
    assert radii.certify(claimed, "l2").radius[0] > move and there.counts[0].argmax() == 0, (
        "on the lattice it holds"
    )


# votes and certificates ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def votes():
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8)).astype(np.uint8) / np.float32(255)
    smoothed = radii.Smoothed(brightness, radii.Laplace(0.5), exact_arithmetic=True, batch=16)
    return smoothed.vote(images, labels=np.zeros(6, int), plan=radii.fixed(2000, selection=0))


def test_votes_say_so_and_do_not_mix(votes, tmp_path):
    votes.save(tmp_path / "v")
    loaded = radii.load_votes(tmp_path / "v")
    assert votes.exact_arithmetic and loaded.exact_arithmetic
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8)).astype(np.uint8) / np.float32(255)
    smoothed = radii.Smoothed(brightness, radii.Laplace(0.5), exact_arithmetic=True, batch=32)
    parts = [
        smoothed.vote(images, labels=np.zeros(6, int), plan=votes.plan, draws=part)
        for part in ((0, 700), (700, 2000))
    ]
    assert np.array_equal((parts[0] + parts[1]).counts, votes.counts)
    with pytest.raises(InputError, match="different exact"):
        votes + replace(votes, exact_arithmetic=False)


def test_certificates_pay_for_the_distance(votes, monkeypatch):
    plain = radii.certify(replace(votes, exact_arithmetic=False), "l1", k=1)
    paid = radii.certify(votes, "l1", k=1)
    slack = distance(votes.noise, 64)
    assert np.allclose(plain.lower - paid.lower, slack, rtol=1e-6, atol=0)
    assert (paid.radius <= plain.radius).all() and (
        paid.radius[plain.radius > 0] < plain.radius[plain.radius > 0]
    ).all()
    low, rivals = ideal_bounds(votes, votes.labels, k=1, alpha=1e-3, method="two-event")
    free, others = radii.bounds(votes.counts, votes.labels, k=1, alpha=1e-3)
    assert np.allclose(free - low, np.minimum(slack, free), rtol=1e-6, atol=0)
    assert np.allclose(rivals - others, np.minimum(slack, 1 - others), rtol=1e-6, atol=0)
    monkeypatch.setattr("radii.certificates.probability_bounds.distance", lambda noise, features: 0.2)
    assert (radii.certify(votes, "l1", k=1).lower <= np.maximum(plain.lower - 0.2, 0)).all()
