"""The translation for Laplace noise in l2: every majorant is verified, and it lies under every known attack."""

import itertools

import numpy as np
import pytest
from mpmath import iv, mp

from radii.certificates.radius import certified_radius
from radii.noises import Laplace, laplace
from radii.noises.theory.hockey_stick import hockey_stick
from radii.noises.theory.laplace_l2 import Majorant, cdf, load_majorants, quantile, rate

MAJORANTS = load_majorants()


def piece(majorant: Majorant, left: float) -> list:
    """Coefficients, constant first, of the excess on the piece that starts at `left`, exactly."""
    a, b = mp.mpf(majorant.a), mp.mpf(majorant.b)
    c0, c1, c2, c3 = a, mp.mpf(0), b, mp.mpf(0)
    for knot, c in zip(map(mp.mpf, majorant.knots), map(mp.mpf, majorant.c), strict=True):
        if knot <= left:
            c0, c1, c2, c3 = c0 - c * knot**3, c1 + 3 * c * knot**2, c2 - 3 * c * knot, c3 + c
    if left >= majorant.tau:
        c0, c1 = c0 + mp.mpf(majorant.tau), c1 - 1
    return [c0, c1, c2, c3]


def verify(majorant: Majorant) -> None:
    """`majorant >= (|s| - tau)_+` everywhere, in 60 digits, with nothing of the package's own arithmetic."""
    mp.dps = 60
    assert all(c >= 0 for c in majorant.c) and all(t >= 0 for t in majorant.knots)
    ends = sorted({0.0, majorant.tau, *majorant.knots})
    for left, right in zip(ends, [*ends[1:], None], strict=True):
        c0, c1, c2, c3 = piece(majorant, left)
        points = [mp.mpf(left)] + ([mp.mpf(right)] if right is not None else [])
        if c3:
            square = c2**2 - 3 * c1 * c3
            roots = [(-c2 + sign * mp.sqrt(square)) / (3 * c3) for sign in (-1, 1)] if square >= 0 else []
        else:
            roots = [-c1 / (2 * c2)] if c2 else []
        points += [s for s in roots if s >= left and (right is None or s <= right)]
        assert all(c0 + c1 * s + c2 * s**2 + c3 * s**3 >= 0 for s in points), majorant
        if right is None:
            assert c3 > 0 or (c3 == 0 and c2 > 0)


def test_every_majorant_lies_above_everywhere() -> None:
    assert len(MAJORANTS) > 400 and [m.tau for m in MAJORANTS] == sorted({m.tau for m in MAJORANTS})
    for majorant in MAJORANTS:
        verify(majorant)


def test_a_majorant_that_dips_is_caught() -> None:
    good = MAJORANTS[150]
    bad = Majorant(good.tau, good.a - 1e-7, good.b, good.knots, good.c)
    assert bad.least_excess() < 0
    with pytest.raises(AssertionError):
        verify(bad)


def test_means_are_rounded_up() -> None:
    iv.dps = 40
    for majorant in [*MAJORANTS[::10], *MAJORANTS[-10:]]:
        total = iv.mpf(majorant.a) + iv.mpf(majorant.b)
        for knot, c in zip(majorant.knots, majorant.c, strict=True):
            t = mp.mpf(knot)
            cube = mp.quad(lambda z, t=t: (z - t) ** 3 * mp.npdf(z), [t, t + 2, t + 6, t + 20])
            total += 2 * iv.mpf(c) * iv.mpf(cube)
        assert (total / 2).b <= majorant.mean() <= (total / 2).a * (1 + 1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_no_signed_sum_exceeds_a_mean(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.random(11) ** rng.choice([0.2, 1, 5])
    weights /= np.linalg.norm(weights)
    sums = np.array(list(itertools.product([-1, 1], repeat=11))) @ weights
    for majorant in MAJORANTS[::5]:
        assert np.maximum(sums - majorant.tau, 0).mean() <= majorant.mean()


def test_rate_is_the_lower_envelope() -> None:
    envelope = rate()
    assert np.all(np.diff(envelope.edges) < 0)
    u = np.geomspace(1e-8, 0.5, 200)
    lines = np.array([[m.mean() + m.tau * x for m in MAJORANTS] for x in u]).min(axis=1)
    # the integral's slope is 1 / G
    step = u * 1e-4
    slope = (envelope.integral(u - step) - envelope.integral(u)) / step
    np.testing.assert_allclose(slope, 1 / lines, rtol=2e-3)


def test_quantile_and_cdf_are_inverse_and_odd() -> None:
    p = np.concatenate([np.linspace(0.01, 0.99, 99), 10.0 ** -np.arange(3, 9), 1 - 10.0 ** -np.arange(3, 9)])
    np.testing.assert_allclose(cdf(quantile(p)), p, rtol=1e-10)
    np.testing.assert_allclose(quantile(p), -quantile(1 - p), rtol=1e-7)
    assert cdf(np.array([-100.0, 100.0])).tolist() == [0.0, 1.0]


def least_known_attack(p: float) -> float:
    """The least l2 radius, in units of b, at which an explicit move takes the label: m equal steps, each exact."""
    radii = [-np.log(2 * (1 - p))]
    for m in (2, 3, 5, 10, 100, 10_000):
        low, high = 0.0, 40.0
        while high - low > 1e-6:
            middle = (low + high) / 2
            step = middle / np.sqrt(m)
            cells = int(max(150 * np.sqrt(step), 20))
            curve = hockey_stick(step / cells, np.array([cells]), np.array([m]))
            holds = curve.lower(np.array([p]), np.array([1 - p]))[0] > 0.5
            low, high = (middle, high) if holds else (low, middle)
        radii.append(high)
    return min(radii)


@pytest.mark.parametrize(
    "p,published,gap,caught",
    [
        (0.6, 0.2111, 0.06, 1.06),
        (0.75, 0.5858, 0.14, 1.16),
        (0.9, 1.1304, 0.13, 1.15),
        (0.99, 2.1057, 0.10, 1.11),
        (0.999, 2.8382, 0.09, 1.10),
    ],
)
def test_radius_lies_under_every_explicit_move_and_not_far(
    p: float, published: float, gap: float, caught: float
) -> None:
    radius = quantile(np.array([p]))[0]
    attack = least_known_attack(p)
    assert radius == pytest.approx(published, rel=3e-4)
    assert attack * (1 - gap) < radius <= attack
    assert radius * caught > attack, "a claim larger by this factor is broken by an explicit move"


def test_the_plain_special_case_is_never_better() -> None:
    p = np.linspace(0.501, 0.9999, 50)
    assert np.all(quantile(p) >= 2 - 2 * np.sqrt(2 * (1 - p)) - 1e-5)


def test_few_features_use_the_l1_ball() -> None:
    p = np.array([0.6, 0.999])
    l1 = certified_radius(Laplace(1.0), "l1", p, shape=(2,))
    l2 = certified_radius(Laplace(1.0), "l2", p, shape=(2,))
    assert l2[1] == pytest.approx(l1[1] / np.sqrt(2), rel=1e-9)
    assert l2[0] > l1[0] / np.sqrt(2) * 1.1


def test_from_few_features_on_the_l1_ball_is_never_better() -> None:
    p = np.concatenate([np.linspace(0.5001, 0.99, 500), 1 - np.geomspace(0.01, 1.2e-16, 500)])
    assert np.all(quantile(p) > laplace.quantile(p) / np.sqrt(laplace.FEW))
