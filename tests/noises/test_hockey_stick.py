"""Composed Laplace noise against closed forms, an outside accountant, and the coordinates themselves."""

import itertools

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld

from radii.certificates.radius import certified_radius, largest
from radii.noises import Laplace
from radii.noises.theory.hockey_stick import hockey_stick, log_characteristic, mean_loss
from radii.noises.theory.product import ComposedShift, ComposedUnits, ShiftTable


def test_split_loss_has_the_stated_characteristic_function() -> None:
    # from the masses themselves: both atoms and what each grid cell gives its two ends
    h, cells, size = 0.05, 20, 64
    j = np.arange(-cells, cells + 1)
    masses = np.full(len(j), np.exp(-cells * h / 2) * np.tanh(h / 4))
    masses[[0, -1]] = np.exp(-cells * h / 2) / 2 * (1 + np.tanh(h / 4))
    q = masses * np.exp(j * h / 2)
    assert q.sum() == pytest.approx(1, abs=1e-14)
    assert mean_loss(np.array(cells), h) == pytest.approx(h * np.sum(q * j), rel=1e-12)
    phi = 2 * np.pi * np.arange(size // 2 + 1) / size
    expected = (q * np.exp(1j * phi[:, None] * j)).sum(axis=1)
    log_modulus, angle = log_characteristic(cells, h, size)
    np.testing.assert_allclose(np.exp(log_modulus + 1j * angle), expected, atol=1e-13)


@pytest.mark.parametrize("features,move", [(1, 1.0), (2, 1.5), (7, 0.6), (64, 0.3), (3072, 0.05)])
def test_curve_against_an_outside_accountant(features: int, move: float) -> None:
    cells = 200
    ours = hockey_stick(move / cells, np.array([cells]), np.array([features]))
    at = np.linspace(0, len(ours.divergence) - 1, 20).astype(int)
    laplace = {"parameter": 1.0, "sensitivity": move, "value_discretization_interval": 1e-4}
    above = pld.from_laplace_mechanism(**laplace).self_compose(features)
    below = pld.from_laplace_mechanism(**laplace, pessimistic_estimate=False, use_connect_dots=False)
    below = below.self_compose(features)
    for j in at:
        c = j * ours.step
        assert below.get_delta_for_epsilon(c) - 1e-9 <= ours.divergence[j]
        assert ours.divergence[j] == pytest.approx(above.get_delta_for_epsilon(c), abs=3e-7)


def test_a_coarser_grid_only_raises_the_curve() -> None:
    move, features = 0.4, 20
    curves = [
        hockey_stick(move / c, np.array([c]), np.array([features]), stride=c // 4) for c in (4, 16, 64, 256)
    ]
    shortest = min(len(curve.divergence) for curve in curves)
    for coarse, fine in itertools.pairwise(curves):
        assert np.all(coarse.divergence[:shortest] >= fine.divergence[:shortest])


def test_one_feature_is_the_closed_form() -> None:
    p = np.array([0.501, 0.6, 0.9, 0.99, 0.99999])
    for norm in ("linf", "l2", "l1"):
        found = certified_radius(Laplace(2**0.5), norm, p, shape=(1,))
        exact = -np.log(2 * (1 - p))
        assert np.all(found <= exact)
        np.testing.assert_allclose(found, exact, rtol=1e-4)


def direct(features: int, p: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The linf top-1 radii near `radius`, each composed by itself on a finer grid."""

    def margin(r: np.ndarray, rows: np.ndarray) -> np.ndarray:
        result = []
        for one, row in zip(r, rows, strict=True):
            cells = int(max(250 * np.sqrt(one), 30))
            curve = hockey_stick(one / cells, np.array([cells]), np.array([features]))
            result.append(curve.lower(p[row : row + 1], 1 - p[row : row + 1])[0] - 0.5)
        return np.array(result)

    return largest(margin, np.arange(len(p)), float(radius[len(p) // 2]), rtol=1e-7)


@pytest.mark.parametrize("features", [1, 2, 3, 10, 64, 784, 3072])
def test_table_is_below_and_within_1e_4_of_single_compositions(features: int) -> None:
    p = np.array([0.5001, 0.51, 0.6, 0.8, 0.9, 0.99, 0.999, 0.99999])
    found = certified_radius(Laplace(2**0.5), "linf", p, shape=(features,))
    finer = direct(features, p, found)
    assert np.all(found <= finer * (1 + 1e-7))
    np.testing.assert_allclose(found, finer, rtol=1e-4)


@pytest.mark.parametrize(
    "features,expected",
    [
        (1, [0.2231, 0.9163, 1.6094, 3.9120, 6.2146]),
        (64, [0.2540, 0.8548, 1.3138, 2.4389, 3.2946]),
        (3072, [0.2535, 0.8431, 1.2853, 2.3401, 3.1156]),
    ],
)
def test_published_table(features: int, expected: list[float]) -> None:
    p = np.array([0.6, 0.8, 0.9, 0.99, 0.999])
    found = certified_radius(Laplace(2**0.5), "linf", p, shape=(features,)) * np.sqrt(features)
    np.testing.assert_allclose(found, expected, rtol=1.3e-3)
    assert np.all(found >= np.array(expected) * (1 - 1e-4))


def test_tends_to_the_normal_radius_from_above() -> None:
    p = np.array([0.6, 0.9, 0.99])
    normal = np.array([0.253347, 1.281552, 2.326348])
    gaps = []
    for features in (64, 3072, 150528):
        gaps.append(
            certified_radius(Laplace(2**0.5), "linf", p, shape=(features,)) * np.sqrt(features) / normal - 1
        )
    assert np.all(gaps[0] > gaps[1]) and np.all(gaps[1] > gaps[2]) and np.all(gaps[2] > 0)
    assert gaps[2].max() < 2e-3


@pytest.mark.parametrize("features", [1, 2, 9, 200])
def test_between_two_rows_the_curve_stays_below_its_chord_and_bend(features: int) -> None:
    # on rows far apart, where the bend matters: radii r in units of b / sqrt(features)
    p = np.linspace(0.02, 0.98, 25)
    family = ComposedShift(features, 1.0)
    unit = 1 / np.sqrt(features)
    for r in (0.05, 0.5, 2.0):
        cells = 400
        curve = hockey_stick(r * unit / cells, np.array([cells]), np.array([features]))
        exact = curve.lower(p, 1 - p)
        ours = family.lower(p, np.full(p.shape, r * unit))
        assert np.all(ours <= exact + 1e-7)
        np.testing.assert_allclose(ours, exact, atol=3e-5)


def test_semiconvexity_that_the_table_rests_on() -> None:
    # Q_r(region) + d r^2 / 2 b^2 is convex in r; on two features, over regions of many shapes, by exact areas
    rng = np.random.default_rng(0)
    r = np.linspace(0, 3, 61)
    edges = np.linspace(-4, 6, 41)
    cdf = np.where(edges < 0, np.exp(-np.abs(edges)) / 2, 1 - np.exp(-np.abs(edges)) / 2)
    assert cdf[0] < cdf[-1]

    def masses(shift: float) -> np.ndarray:
        z = edges - shift
        return np.diff(np.where(z < 0, np.exp(-np.abs(z)) / 2, 1 - np.exp(-np.abs(z)) / 2))

    for _ in range(50):
        region = rng.random((40, 40)) < rng.random()
        probability = np.array([masses(x) @ region @ masses(x) for x in r])
        bent = probability + 2 * r**2 / 2
        assert np.diff(bent, 2).min() > -1e-12


def test_rows_are_composed_once_and_only_when_wanted() -> None:
    table = ShiftTable(5)
    first = table.curves(np.array([3, 40]))[[3, 40]].copy()
    assert np.flatnonzero(table.known).tolist() == [0, 3, 40]
    table.row = None  # type: ignore[method-assign]
    np.testing.assert_array_equal(table.curves(np.array([40, 3]))[[3, 40]], first)


@pytest.mark.parametrize("move", [800.0, 3000.0])
def test_moves_far_beyond_the_noise_leave_nothing_and_no_nan(move: float) -> None:
    p = np.array([0.5, 0.999])
    for family, r in (
        (ComposedUnits(1, 1 / move), np.array([1, 1])),
        (ComposedShift(1, 1.0), np.full(2, move)),
    ):
        assert family.lower(p, r).tolist() == pytest.approx([0, 0], abs=1e-9)
        assert family.upper(p, r).tolist() == pytest.approx([1, 1], abs=1e-9)


def test_units_of_one_feature_add_up() -> None:
    # two pixels of three channels are six features, whatever they are called
    p = np.array([0.6, 0.9, 0.999])
    pixels, features = ComposedUnits(3, 0.5), ComposedUnits(1, 0.5)
    np.testing.assert_array_equal(pixels.lower(p, np.full(3, 2)), features.lower(p, np.full(3, 6)))


def test_box_moves_lie_between_none_and_full() -> None:
    p = np.array([0.9, 0.9, 0.9])
    moves = np.stack([np.full((5, 1), 1.0), np.full((5, 1), 0.8), np.full((5, 1), 0.5)])
    boxed = ComposedUnits(1, 0.4, moves)
    s = np.full(3, 2)
    full = ComposedUnits(1, 0.4).lower(p, s)
    found = boxed.lower(p, s)
    assert found[0] == pytest.approx(full[0], abs=1e-12)
    assert found[0] < found[1] < found[2]
    # half the move at half the scale is the same experiment
    np.testing.assert_allclose(found[2], ComposedUnits(1, 0.8).lower(p[2:], s[2:]), rtol=1e-5)


def test_box_takes_the_farthest_moves_and_rounds_them_up() -> None:
    p, one = np.array([0.9]), np.array([1])
    uneven = np.full((1, 30, 2), 0.1)
    uneven[0, 17] = 0.51
    found = ComposedUnits(2, 0.4, uneven).lower(p, one)
    # one unit is two features that move by 0.51, a little more after rounding up
    exact = ComposedUnits(2, 0.4 / 0.51).lower(p, one)
    assert found < exact < found + 0.02


def test_no_region_rises_above_the_chord_by_more_than_the_bend() -> None:
    # the lemma of docs/math/composition.md on intervals much wider than those of the table
    features = 9
    unit = 1 / np.sqrt(features)

    def divergence(r: float, y: np.ndarray) -> np.ndarray:
        cells = 300
        curve = hockey_stick(r * unit / cells, np.array([cells]), np.array([features]))
        return np.interp(y * r, np.arange(len(curve.divergence)) * curve.step, curve.divergence)

    y = np.linspace(0, 3, 31)
    for left, right in ((0.2, 0.6), (1.0, 1.5), (2.0, 3.0)):
        ends = divergence(left, y), divergence(right, y)
        affinity = ((1 + left * unit / 2) * np.exp(-left * unit / 2)) ** features
        bend = 1 + y**2 * affinity * np.exp(y * (right - left / 2) - y**2 / 2)
        for part in (0.25, 0.5, 0.75):
            inside = divergence(left + part * (right - left), y)
            chord = (1 - part) * ends[0] + part * ends[1]
            assert np.all(inside <= chord + part * (1 - part) * (right - left) ** 2 / 2 * bend + 1e-6)
