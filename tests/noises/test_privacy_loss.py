"""One engine for every symmetric log-concave density: against closed forms, other engines, and the coordinates."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm as normal_law

from radii.certificates.radius import largest
from radii.noises.theory.densities import GeneralizedNormalDensity
from radii.noises.theory.hockey_stick import hockey_stick
from radii.noises.theory.privacy_loss import DensityLoss, composed, split_loss
from radii.noises.theory.product import ROW_STEP, ComposedShift, ComposedUnits, tilted_tail

P = np.array([0.5001, 0.51, 0.6, 0.8, 0.9, 0.99, 0.999, 0.99999])
NORMAL = DensityLoss(GeneralizedNormalDensity(2.0))


def law(exponent: float) -> DensityLoss:
    return DensityLoss(GeneralizedNormalDensity(exponent))


def normal_curve(distance: float, c: np.ndarray) -> np.ndarray:
    """D(c) between two normal laws of variance 1."""
    return normal_law.cdf(distance / 2 - c / distance) - np.exp(c) * normal_law.cdf(
        -distance / 2 - c / distance
    )


def curve_of_one(density: GeneralizedNormalDensity, move: float, c: float) -> float:
    """D(c) for one feature by the region itself: a half-line, whose end is found by bisection."""
    low, high = 0.0, move + 60.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if density.loss(np.array(middle), move) <= c else (low, middle)
    moved = 1 - density.cdf(np.array(high - move / 2))
    return float(moved - math.exp(c) * density.tail(np.array(high + move / 2)) / 2)


# one feature --------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [1.0, 1.2, 2.0, 3.5, 20.0, 64.0])
@pytest.mark.parametrize("move", [1e-5, 0.3, 1.4, 2.6])
def test_split_loss_keeps_the_masses_of_both_laws(exponent: float, move: float) -> None:
    density = GeneralizedNormalDensity(exponent)
    loss = split_loss(density, move, DensityLoss(density).widest(move), 200.0)
    q = loss.masses.sum() + loss.infinite
    assert q == pytest.approx(1, abs=1e-14)
    # what P has below the grid, or where Q counts as infinite, is in no mass
    inside = float(np.sum(loss.masses * np.exp(-loss.losses)))
    assert inside <= 1 + 1e-13 and inside >= 1 - 2 * loss.infinite - 1e-13
    assert loss.missed <= 1e-9 * loss.h
    assert np.all(loss.masses >= 0)


@pytest.mark.parametrize("exponent", [1.0, 1.3, 4.0, 64.0])
@pytest.mark.parametrize("move", [0.01, 0.9, 1.5])
@pytest.mark.parametrize("cap", [15.0, 700.0])
def test_one_feature_at_grid_points_is_the_half_line(exponent: float, move: float, cap: float) -> None:
    density = GeneralizedNormalDensity(exponent)
    h = DensityLoss(density).widest(move)
    h = move / math.ceil(move / h) if exponent == 1 else h
    curve = composed([(split_loss(density, move, h, cap), 1)])
    for j in np.unique(np.linspace(0, min(len(curve.divergence) - 1, 10 / h), 12).astype(int)):
        exact = curve_of_one(density, move, j * h)
        beyond = math.exp(j * h - cap) if cap < 700 else 0
        assert exact - 1e-15 <= curve.divergence[j] <= exact + 1e-10 + beyond


def test_laplace_through_the_generic_engine_is_the_closed_form() -> None:
    for features, move in ((1, 1.0), (7, 0.6), (64, 0.3), (3072, 0.05)):
        cells = 200
        closed = hockey_stick(move / cells, np.array([cells]), np.array([features]))
        loss = split_loss(GeneralizedNormalDensity(1.0), move, move / cells)
        generic = composed([(loss, features)])
        n = min(len(closed.divergence), len(generic.divergence))
        difference = generic.divergence[:n] - closed.divergence[:n]
        assert np.all(np.abs(difference) < 4e-10 + 1e-13 * features)
        assert loss.last in (cells, cells + 1)


# many features ------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [1, 2, 10, 64, 3072, 150528])
@pytest.mark.parametrize("distance", [0.01, 1.0, 4.0])
def test_normal_curves_are_met_from_above(features: int, distance: float) -> None:
    move = distance / math.sqrt(2 * features)
    loss = split_loss(NORMAL.density, move, NORMAL.widest(move))
    curve = composed([(loss, features)])
    exact = normal_curve(distance, np.arange(len(curve.divergence)) * loss.h)
    assert np.all(curve.divergence >= exact)
    assert np.all(curve.divergence <= exact + 4e-5 * distance + 3e-8)


def test_a_coarser_grid_only_raises_the_curve() -> None:
    density = GeneralizedNormalDensity(4.0)
    curves = []
    for parts in (2, 8, 32, 128):
        loss = split_loss(density, 0.1, 0.2 / parts)
        curves.append(composed([(loss, 20)], stride=parts // 2).divergence[:15])
    for coarse, fine in itertools.pairwise(curves):
        assert np.all(coarse[:11] >= fine[:11])
    assert np.all(curves[0][:11] > curves[-1][:11] + 1e-5)


def test_features_with_different_moves_are_composed() -> None:
    # normal noise: only the length of the move matters
    curve = NORMAL.compose_levels(1 / 64, (20, 50, 64), (3, 2, 1))
    distance = math.sqrt(2 * (3 * 20**2 + 2 * 50**2 + 64**2)) / 64
    exact = normal_curve(distance, np.arange(len(curve.divergence)) * curve.step)
    assert np.all(curve.divergence >= exact)
    np.testing.assert_allclose(curve.divergence, exact, atol=4e-5)


@pytest.mark.parametrize("exponent", [1.3, 4.0, 20.0])
def test_curve_against_drawn_losses(exponent: float) -> None:
    """The hockey-stick curve of 64 features by simulation, by a generator that shares nothing with the engine."""
    features, draws = 64, 200_000
    density = GeneralizedNormalDensity(exponent)
    move = 1.5 / math.sqrt(features * density.information)
    rng = np.random.default_rng(5)
    total = np.zeros(draws)
    for _ in range(features):
        e = rng.gamma(1 / exponent, size=draws) ** (1 / exponent) * rng.choice([-1, 1], draws)
        total += np.abs(e + move) ** exponent - np.abs(e) ** exponent
    loss = split_loss(density, move, DensityLoss(density).widest(move))
    curve = composed([(loss, features)])
    for c in (0.0, 0.5, 1.5, 3.0):
        j = round(c / loss.h)
        sample = np.maximum(-np.expm1(j * loss.h - total), 0)
        error = sample.std() / math.sqrt(draws)
        assert abs(curve.divergence[j] - sample.mean()) < 5 * error
        assert 0.05 * error < curve.divergence[j], "and there is something to see"


def test_what_cannot_be_told_from_certainty_is_one() -> None:
    for exponent, move in ((2.0, 60.0), (64.0, 3.0), (8.0, 1e4)):
        curve = law(exponent).compose_levels(move, (1,), (5,))
        assert np.all(curve.divergence >= 1 - 1e-9)
        family = ComposedShift(5, 1.0, law(exponent))
        at = np.full(2, move)
        assert family.lower(np.array([0.5, 0.999]), at).tolist() == pytest.approx([0, 0], abs=1e-9)


# tables over radii --------------------------------------------------------------------------------


def radii_of(exponent: float, features: int) -> np.ndarray:
    family = ComposedShift(features, 1.0, law(exponent))
    rows = np.arange(len(P))
    return largest(lambda r, at: family.lower(P[at], r) - 0.5, rows, family.start)


@pytest.mark.parametrize("features", [2, 10, 64, 3072])
def test_table_of_normal_noise_is_below_and_within_2e_4(features: int) -> None:
    exact = normal_law.ppf(P) / math.sqrt(2 * features)
    found = radii_of(2.0, features)
    assert np.all(found <= exact)
    np.testing.assert_allclose(found, exact, rtol=2e-4)


@pytest.mark.parametrize("exponent,rtol", [(1.0, 2e-3), (1.02, 1e-3), (1.5, 2e-4), (4.0, 2e-4), (20.0, 1e-3)])
def test_table_of_one_feature_is_below_and_near_the_closed_form(exponent: float, rtol: float) -> None:
    exact = GeneralizedNormalDensity(exponent).quantile(P)
    found = radii_of(exponent, 1)
    assert np.all(found <= exact)
    np.testing.assert_allclose(found, exact, rtol=rtol)


@pytest.mark.parametrize(
    "exponent,features,rtol", [(1.2, 7, 2e-4), (4.0, 7, 2e-4), (4.0, 3072, 2e-4), (8.0, 2, 2e-4)]
)
def test_table_is_below_and_near_single_compositions(exponent: float, features: int, rtol: float) -> None:
    found = radii_of(exponent, features)
    one = law(exponent)
    for p, radius in zip(P[2:7], found[2:7], strict=True):

        def left(r: float, p: float = p) -> float:
            h = min(one.widest(r) / 5, 5e-4 * r * math.sqrt(one.information * features))
            curve = composed([(split_loss(one.density, r, h, 150.0), features)])
            return float(curve.lower(np.array([p]), np.array([1 - p]))[0])

        assert left(radius) > 0.5 > left(radius * (1 + rtol))


def test_laplace_tables_by_both_engines() -> None:
    generic = radii_of(1.0, 64)
    family = ComposedShift(64, 1.0)
    closed = largest(lambda r, at: family.lower(P[at], r) - 0.5, np.arange(len(P)), family.start)
    np.testing.assert_allclose(generic, closed, rtol=1.5e-3)
    assert np.all(generic <= closed * (1 + 1e-4))


@pytest.mark.parametrize("exponent", [1.5, 4.0])
@pytest.mark.parametrize("features", [2, 200])
def test_between_two_rows_curves_stay_sound(exponent: float, features: int) -> None:
    p = np.linspace(0.02, 0.98, 25)
    one = law(exponent)
    family = ComposedShift(features, 1.0, one)
    for r in (0.05, 0.5, 2.0):
        at = r * family.start
        h = min(one.widest(at) / 4, 1e-3 * r)
        exact = composed([(split_loss(one.density, at, h), features)]).lower(p, 1 - p)
        ours = family.lower(p, np.full(p.shape, at))
        assert np.all(ours <= exact + 1e-7)
        np.testing.assert_allclose(ours, exact, atol=6e-5)


def test_the_tail_beyond_a_loss_is_bounded_at_the_smallest_radii_too() -> None:
    # normal noise: the loss has mean -r^2 / 2 and variance r^2 under P
    j, spacing = np.arange(400), 1 / 32
    for row in (0, 1, 2, 5, 10, 20, 40, 80):
        left, right = (ROW_STEP * row) ** 2, (ROW_STEP * (row + 1)) ** 2
        bound = tilted_tail(normal_curve(right, j * spacing * right)[None], 0, j, spacing, left, right)
        for r in np.linspace(left, right, 7)[1:]:
            c = j * spacing * r
            assert np.all(bound >= np.exp(c) * normal_law.sf(c / r + r / 2) * (1 - 1e-9))
        # where no earlier point of the row proves anything, only 1 is left
        unproved = np.ceil(j * left / right) < 1
        assert np.all(bound[unproved] == 1) and unproved.any()
        assert np.all(tilted_tail(np.zeros((1, 400)), 0, j, spacing, left, right)[unproved] == 1)


@pytest.mark.parametrize("exponent", [1.3, 2.0, 6.0])
def test_no_region_rises_above_the_chord_by_more_than_the_bend(exponent: float) -> None:
    # the lemma on intervals much wider than those of the table, in units of scale / sqrt(features information)
    features, one = 9, law(exponent)
    unit = 1 / math.sqrt(features * one.information)
    y = np.linspace(0, 3, 31)

    def divergence(r: float, y: np.ndarray) -> np.ndarray:
        loss = split_loss(one.density, r * unit, one.widest(r * unit) / 4)
        curve = composed([(loss, features)])
        return np.interp(y * r, np.arange(len(curve.divergence)) * curve.step, curve.divergence)

    for left, right in ((0.2, 0.6), (1.0, 1.5), (2.0, 3.0)):
        ends = divergence(left, y), divergence(right, y)
        mass = tilted_tail(divergence(right, y)[None], 0, np.arange(31), 0.1, left, right)
        bend = 1 + y**2 * np.exp(y * (right - left)) * mass
        for part in (0.25, 0.5, 0.75):
            inside = divergence(left + part * (right - left), y)
            chord = (1 - part) * ends[0] + part * ends[1]
            assert np.all(inside <= chord + part * (1 - part) * (right - left) ** 2 / 2 * bend + 1e-6)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 5.0])
def test_semiconvexity_that_the_table_rests_on(exponent: float) -> None:
    # Q_t(region) + d I t^2 / 2 is convex in t; on two features, over regions of many shapes, by exact areas
    density = GeneralizedNormalDensity(exponent)
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2, 41)
    edges = np.linspace(-3, 5, 41)
    least = np.inf
    for _ in range(50):
        region = rng.random((40, 40)) < rng.random()
        masses = [np.diff(density.cdf(edges - x)) for x in t]
        probability = np.array([m @ region @ m for m in masses])
        second = np.diff(probability, 2)
        bent = second + 2 * density.information * (t[1] - t[0]) ** 2
        assert bent.min() > -1e-12
        least = min(least, second.min())
    assert least < 0, "and it is not convex by itself"


# l0 -----------------------------------------------------------------------------------------------


def test_box_moves_of_normal_noise_are_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    moves = np.maximum(rng.random((6, 12, 3)), 0.5)
    boxed = ComposedUnits(3, 0.9, moves, NORMAL)
    p, s = np.linspace(0.7, 0.999, 6), np.array([1, 2, 3, 5, 8, 12])
    found = boxed.lower(p, s)
    farthest = np.sort(moves, axis=1)[:, ::-1]
    for i in range(6):
        exact, rounded = (
            normal_law.cdf(normal_law.ppf(p[i]) - math.sqrt(2 * np.sum(m[: s[i]] ** 2)) / 0.9)
            for m in (farthest[i], np.ceil(farthest[i] * 64) / 64)
        )
        assert found[i] <= rounded <= exact
        assert found[i] == pytest.approx(rounded, abs=5e-5)
