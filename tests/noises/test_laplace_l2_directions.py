"""Laplace noise against l2, direction by direction: majorants, comparison, cover and table, each by a second route."""

import itertools
import json
import runpy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpmath import mp
from scipy.special import ndtr, ndtri

from radii.certificates.radius import certified_radius
from radii.noises import Laplace
from radii.noises.theory import laplace_l2
from radii.noises.theory.hockey_stick import HockeyStick, hockey_stick
from radii.noises.theory.laplace_l2 import WorstDirection, load_table
from test_laplace_l2 import least_known_attack

TOOLS = Path(__file__).parents[2] / "tools"
SPREAD = runpy.run_path(str(TOOLS / "spread_sums.py"))
COVER = runpy.run_path(str(TOOLS / "direction_cover.py"))
MAJORANTS = SPREAD["load"]()
BOXES = list(COVER["leaves"](json.loads((TOOLS / "direction_cover.json").read_text())["splits"]))
UNIT, CELLS = COVER["UNIT"], COVER["CELLS"]
SHAPE = (3, 32, 32)

# sums of small weights ----------------------------------------------------------------------------


def spread_weights(rng: np.random.Generator, cap: float, n: int) -> np.ndarray:
    """n weights of norm 1, none above `cap`: some at the cap, the rest drawn, the last few taking what is left."""
    while True:
        v = np.minimum(rng.random(n) ** rng.choice([0.1, 1, 4]) * cap * 1.5, cap)
        v[: rng.integers(0, n)] = cap
        left = 1 - np.sum(v[: n // 2] ** 2)
        v[n // 2 :] *= np.sqrt(max(left, 0) / np.sum(v[n // 2 :] ** 2))
        if left > 0 and v.max() <= cap:
            return v


@pytest.mark.parametrize("cap", sorted(MAJORANTS))
def test_cosines_lie_between_their_bounds(cap: float) -> None:
    rng = np.random.default_rng(1)
    f = np.linspace(0.05, min(0.99 * np.pi / cap, 13), 200)
    low, high = SPREAD["cosine_means"](f, cap)
    assert np.all(low <= high)
    for _ in range(100):
        v = spread_weights(rng, cap, int(rng.integers(2 + 2 / cap**2, 8 + 6 / cap**2)))
        mean = np.prod(np.cos(f[:, None] * v), axis=1)
        assert np.all((low - 1e-12 <= mean) & (mean <= high + 1e-12))


def excess(one: Any, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Majorant minus `(s - tau)_+`, its slope and bend to the right of each s."""
    f, d, t, c = (np.array(x) for x in (one.frequencies, one.d, one.knots, one.c))
    value, slope, bend = one.a + one.b * s**2, 2 * one.b * s, 2 * one.b + 0 * s
    for knot, weight in zip(t, c, strict=True):
        x = np.where(s >= knot, s - knot, 0)
        value, slope, bend = value + weight * x**3, slope + 3 * weight * x**2, bend + 6 * weight * x
    for frequency, weight in zip(f, d, strict=True):
        value, slope = (
            value + weight * np.cos(frequency * s),
            slope - weight * frequency * np.sin(frequency * s),
        )
        bend = bend - weight * frequency**2 * np.cos(frequency * s)
    right = s >= one.tau - 1e-12
    return value - np.where(right, s - one.tau, 0), slope - right, bend


def verify(one: Any, cell: float = 0.0005) -> None:
    """Above `(|s| - tau)_+` everywhere: cubic Taylor bounds from the left end of each cell, and growth at the end."""
    f, d, t, c = (np.array(x) for x in (one.frequencies, one.d, one.knots, one.c))
    assert np.all(c >= 0) and np.all(t >= 0)
    value, slope, bend = excess(one, np.arange(0, 15, cell))
    third = 6 * c.sum() + np.sum(np.abs(d) * f**3)
    # a + b s + c s^2 / 2 on [0, cell]: at an end, or at its lowest point inside
    ends = np.minimum(value, value + slope * cell + bend * cell**2 / 2)
    inside = (bend > 0) & (slope < 0) & (-slope < bend * cell)
    least = np.where(inside, value - slope**2 / np.where(inside, 2 * bend, 1), ends)
    assert least.min() >= third * cell**3 / 6 - 1e-13, one
    # from 15 on: what is left without the cosines is convex and rises, and is already above all they can take away
    value, slope, bend = excess(replace(one, frequencies=(), d=()), np.array([15.0]))
    assert value > np.abs(d).sum() and slope > 0 and bend >= 0


SOME = [(cap, one) for cap in sorted(MAJORANTS) for one in MAJORANTS[cap][::9]]
ALL = [(cap, one) for cap in sorted(MAJORANTS) for one in MAJORANTS[cap]]


def test_some_majorants_lie_above_everywhere() -> None:
    for _, one in SOME:
        verify(one)


@pytest.mark.slow
def test_all_majorants_lie_above_everywhere() -> None:
    for _, one in ALL:
        verify(one)
        assert one.least_excess() >= -1e-13


def test_a_majorant_that_dips_is_caught() -> None:
    one = MAJORANTS[0.4][10]
    bad = type(one)(one.tau, one.a - 1e-6, *list(vars(one).values())[2:])
    assert bad.least_excess() < 0
    with pytest.raises(AssertionError):
        verify(bad)


def test_means_in_many_digits() -> None:
    mp.dps = 40
    # the last ones have the smallest means, and lose most digits
    for cap, one in [*SOME[::4], *[(1.0, one) for one in MAJORANTS[1.0][-5:]]]:
        total = mp.mpf(one.a) + mp.mpf(one.b)
        for knot, c in zip(one.knots, one.c, strict=True):
            cube = mp.quad(lambda z, t=knot: (z - t) ** 3 * mp.npdf(z), [knot, knot + 2, knot + 6, knot + 20])
            total += 2 * mp.mpf(c) * cube
        for f, d in zip(one.frequencies, one.d, strict=True):
            normal, lattice = (
                mp.exp(-(mp.mpf(f) ** 2) / 2),
                abs(mp.cos(mp.mpf(f) * cap)) ** (1 / mp.mpf(cap) ** 2),
            )
            if f * cap <= np.pi / 2:
                total += d * (normal if d > 0 else lattice)
            else:
                total += abs(d) * max(normal, lattice)
        assert total / 2 <= one.mean(cap) <= total / 2 + 1e-12


@pytest.mark.parametrize("cap", [1, 0.8, 0.5, 0.4, 0.32])
def test_no_signed_sum_exceeds_a_mean_or_the_normal_law(cap: float) -> None:
    rng = np.random.default_rng(2)
    u = np.geomspace(COVER["TAILS"][0], 0.5, 60)
    sigma = SPREAD["spread"](cap, MAJORANTS[cap], COVER["TAILS"][0])
    signs = np.array(list(itertools.product([-1, 1], repeat=14)))
    for _ in range(6):
        sums = np.sort(signs @ spread_weights(rng, cap, 14))
        for one in MAJORANTS[cap][::3]:
            assert np.maximum(sums - one.tau, 0).mean() <= one.mean(cap)
        # the most that an event of probability u holds of the sum: its largest values
        held = np.interp(
            u, np.arange(len(sums) + 1) / len(sums), np.append(0, np.cumsum(sums[::-1])) / len(sums)
        )
        assert np.all(held <= sigma * np.exp(-(ndtri(u) ** 2) / 2) / np.sqrt(2 * np.pi))


def test_a_single_sign_is_met() -> None:
    assert SPREAD["spread"](1.0, MAJORANTS[1.0], 1e-3) == pytest.approx(np.sqrt(np.pi / 2), rel=1e-4)


# the cover ----------------------------------------------------------------------------------------


def unit_vectors(seed: int, count: int) -> Iterator[np.ndarray]:
    """Unit vectors of falling weights, from one large weight to many alike."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        v = rng.random(int(rng.integers(1, 60))) ** rng.choice([0.05, 0.3, 1, 3, 10, 40])
        v[: rng.integers(0, 5)] *= rng.choice([1, 3, 10])
        v = np.sort(v)[::-1]
        yield v / np.linalg.norm(v)


def holds(box: Any, v: np.ndarray) -> bool:
    v = np.append(v, np.zeros(40)) * UNIT
    low, high = np.array(box.low), np.array(box.high)
    m, slack = len(low), 1e-9
    return bool(np.all((low - slack <= v[:m]) & (v[:m] <= high + slack)) and v[m] <= box.cap + slack)


def test_every_direction_is_in_a_box() -> None:
    for v in unit_vectors(3, 120):
        assert any(holds(box, v) for box in BOXES), v


def test_both_parts_of_a_split_box_hold_all_of_it() -> None:
    vectors = list(unit_vectors(4, 600))
    rng = np.random.default_rng(5)
    for _ in range(40):
        box = COVER["Box"]()
        inside = vectors
        for _ in range(int(rng.integers(1, 14))):
            parts = box.children()
            assert all(any(holds(part, v) for part in parts if not part.empty) for v in inside), box
            box = parts[rng.integers(0, 2)]
            inside = [v for v in inside if holds(box, v)]


def test_split_losses_keep_both_masses() -> None:
    for move, h in [(0.7, 0.05), (0.03, 0.05), (1.0, 0.125), (2.345, 0.01)]:
        weights = COVER["loss_weights"](move, h)
        loss = (np.arange(len(weights)) - len(weights) // 2) * h
        assert np.sum(weights * np.exp(loss / 2)) == pytest.approx(1, abs=1e-12)
        assert np.sum(weights * np.exp(-loss / 2)) == pytest.approx(1, abs=1e-12)
        np.testing.assert_array_equal(weights, weights[::-1])


def exact_curve(counts: np.ndarray, r: float) -> HockeyStick:
    """The hockey-stick curve of the direction with whole weights `counts`, by composing all its features."""
    sizes, times = np.unique(counts, return_counts=True)
    per = int(np.ceil(300 / counts.sum()))
    return hockey_stick(r / np.sqrt(np.sum(counts**2)) / per, sizes * per, times)


def whole(v: np.ndarray) -> np.ndarray:
    counts = np.round(v * 60).astype(int)
    return counts[counts > 0]


def test_a_box_is_easier_to_tell_apart_than_every_direction_in_it() -> None:
    met = 0
    for v in unit_vectors(6, 60):
        counts = whole(v)
        unit = np.sort(counts / np.linalg.norm(counts))[::-1]
        box = next(box for box in BOXES if holds(box, unit))
        for r in (0.3, 0.7, 2.0):
            c, exact = COVER["losses"](r) * r / CELLS, exact_curve(counts, r)
            at = np.arange(len(exact.divergence)) * exact.step
            right = c >= 0
            ours = np.interp(at[at <= c[-1]], c[right], COVER["curve"](box, r)[right])
            assert np.all(ours >= exact.divergence[at <= c[-1]] - 2e-4)
            met += np.any(ours < exact.divergence[at <= c[-1]] * 1.05)
    assert met > 20, "and not by much"


# the table ----------------------------------------------------------------------------------------


def second_route(box: Any, r: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses and `D(c)` of a box by quadrature over the losses of its first weights, and an error function each."""
    node, weight = np.polynomial.legendre.leggauss(12)
    loss, mass = np.zeros(1), np.ones(1)
    for high in box.high:
        e = r * high / UNIT
        points = np.concatenate([[e, -e], e * node])
        masses = np.concatenate([[0.5, np.exp(-e) / 2], weight * e * np.exp((e * node - e) / 2) / 4])
        loss, mass = np.add.outer(loss, points).ravel(), np.multiply.outer(mass, masses).ravel()
    c, best = np.linspace(-1, 2.5 + r / 2, 80) * r, np.ones(80)
    for tail in COVER["TAILS"]:
        mu = r * COVER["normal_move"](box, tail)
        gap = c[:, None] - loss
        divergence = (ndtr(mu / 2 - gap / mu) - np.exp(gap) * ndtr(-mu / 2 - gap / mu)) @ mass
        best = np.minimum(best, divergence + tail * (1 + np.exp(c)))
    return c, best


@pytest.mark.parametrize("radius,p", [(0.3, 0.35), (0.55, 0.285), (0.9, 0.2), (2.0, 0.03)])
def test_table_holds_what_a_second_route_finds_and_one_percent_less_is_caught(
    radius: float, p: float
) -> None:
    r = COVER["RADII"][np.searchsorted(COVER["RADII"], radius)]
    slopes = np.exp(COVER["losses"](r) * r / CELLS)
    lowest = [np.min(COVER["curve"](box, r) + slopes * p) for box in BOXES]
    worst = 0.0
    for i in np.argsort(lowest)[-12:]:
        if len(BOXES[i].high) <= 3:
            c, divergence = second_route(BOXES[i], r)
            worst = max(worst, float(np.min(divergence + np.exp(c) * p)))
    x = laplace_l2.quantile(np.array([p]))
    risen = load_table().risen_to(x, np.array([r * 1.0000001]))
    found = laplace_l2.quantile(np.array([worst]))
    assert found <= risen + 2e-4 * r
    assert found > x + 0.99 * (risen - x), "a table with 1 % smaller rises would be caught"


@pytest.mark.slow
def test_table_is_the_largest_over_all_boxes() -> None:
    stored = json.loads(Path(laplace_l2.__file__).with_name("directions.json").read_text())
    np.testing.assert_allclose(stored["radii"], COVER["RADII"])
    # of the last digit another machine may think otherwise
    assert np.abs(np.array(stored["rise"]) - COVER["table"](BOXES)).max() <= 1


def test_bounds_are_monotone_and_never_worse_than_the_translation() -> None:
    family = WorstDirection(1.0)
    table = load_table()
    assert np.all(np.diff(table.risen, axis=0) >= 0) and np.all(np.diff(table.risen, axis=1) >= 0)
    p = np.concatenate([10.0 ** -np.arange(12, 3, -2), np.linspace(0.0005, 0.9995, 400)])
    r = np.concatenate([[0], np.geomspace(1e-6, 30, 400)])
    upper, lower = family.upper(p, r[:, None]), family.lower(p, r[:, None])
    assert np.all(np.diff(upper, axis=0) >= 0) and np.all(np.diff(upper, axis=1) >= 0)
    assert np.all(np.diff(lower, axis=0) <= 0) and np.all(np.diff(lower, axis=1) >= 0)
    np.testing.assert_allclose(upper[0], p, rtol=1e-9)
    np.testing.assert_allclose(lower, 1 - family.upper(1 - p, r[:, None]), atol=1e-12)
    assert np.all(upper <= laplace_l2.cdf(laplace_l2.quantile(p) + r[:, None]) + 1e-15)


def test_between_two_radii_the_translation_carries_on_from_the_lower_one() -> None:
    """Step 8, from the rows of the table alone: explicit moves are too far below to show what a gap would lose."""
    table, rng = load_table(), np.random.default_rng(0)
    grid = table.start + table.step * np.arange(table.risen.shape[1])
    x = rng.uniform(grid[0], grid[-1], 50)
    for row in range(len(table.radii) - 1):
        low, high = (np.interp(x, grid, table.risen[one]) for one in (row, row + 1))
        for share in (0.01, 0.5, 0.99):
            gone = share * (table.radii[row + 1] - table.radii[row])
            r = np.full(50, table.radii[row] + gone)
            expected = np.minimum(x + r, np.minimum(low + gone, high))
            np.testing.assert_allclose(table.risen_to(x, r), expected, rtol=0, atol=1e-12)


def test_no_explicit_move_beats_the_bounds() -> None:
    family = WorstDirection(1.0)
    p = np.array([0.02, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9, 0.97, 0.995])
    for v in itertools.chain(unit_vectors(8, 80), [np.ones(1), np.ones(3), np.ones(500)]):
        counts = whole(v)
        for r in (0.1, 0.45, 0.9, 2.2):
            held = exact_curve(counts, r).lower(p, 1 - p)
            assert np.all(family.lower(p, np.array([r])) <= held + 2e-5)


RATIOS = dict.fromkeys((0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99, 0.999), 0.95)


def blended_attack(p: float) -> float:
    """The least radius at which a move of one large and many equal small features takes the label."""
    radii = [least_known_attack(p)]
    for large in (0.5, 0.9, 0.95, 0.98):
        # 400 features share what is left of the length
        counts = np.append(round(large * 4000), np.full(400, round(np.sqrt(1 - large**2) * 200)))
        low, high = 0.5 * radii[0], 2 * radii[0]
        while high - low > 1e-4 * high:
            middle = (low + high) / 2
            step = middle / np.sqrt(np.sum(counts**2.0))
            curve = hockey_stick(step, *np.unique(counts, return_counts=True))
            holds = curve.lower(np.array([p]), np.array([1 - p]))[0] > 0.5
            low, high = (middle, high) if holds else (low, middle)
        radii.append(high)
    return min(radii)


@pytest.mark.parametrize("p", RATIOS)
def test_radius_lies_under_every_explicit_move_and_near(p: float) -> None:
    radius = certified_radius(Laplace(2**0.5), "l2", np.array([p]), shape=SHAPE)[0]
    attack = blended_attack(p)
    print(f"p = {p}: certified {radius:.4f}, attack {attack:.4f}, ratio {radius / attack:.4f}")
    assert RATIOS[p] * attack < radius <= attack


def test_ten_thousand_images_are_quick() -> None:
    p = np.random.default_rng(9).uniform(0.3, 0.9999, 10_000)
    certified_radius(Laplace(0.5), "l2", p, k=3, shape=SHAPE)
    start = time.process_time()
    certified_radius(Laplace(0.5), "l2", p, k=3, shape=SHAPE)
    assert time.process_time() - start < 0.4
