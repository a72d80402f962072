"""l1 within the box: no move is easier to tell than the greedy one, and that one is told as easily as is said."""

import numpy as np
import pytest
from scipy.stats import norm as normal_law

import radii
from radii.certificates.radius import certified_radius
from radii.noises.laplace import cdf, quantile
from radii.noises.norms import Ball
from radii.noises.theory.densities import GeneralizedNormalDensity
from radii.noises.theory.l1_in_box import LEVELS, GreedyPerturbation
from radii.noises.theory.privacy_loss import DensityLoss
from radii.noises.theory.product import LAPLACE, PrivacyLoss

LAWS: dict[str, PrivacyLoss] = {
    "laplace": LAPLACE,
    "steep": DensityLoss(GeneralizedNormalDensity(1.3)),
    "normal": DensityLoss(GeneralizedNormalDensity(2.0)),
    "flat": DensityLoss(GeneralizedNormalDensity(6.0)),
}
P = np.array([0.6, 0.9, 0.99, 0.9999])


def greedy(rooms: list[int], total: int) -> list[int]:
    """In turn as far as each can go."""
    moves = []
    for room in sorted(rooms, reverse=True):
        moves.append(min(room, total - sum(moves)))
    return [move for move in moves if move]


def lowest(law: PrivacyLoss, moves: list[int], unit: float) -> np.ndarray:
    levels, times = np.unique([move for move in moves if move], return_counts=True)
    return law.compose_levels(unit, tuple(levels.tolist()), tuple(times.tolist())).lower(P, 1 - P)


@pytest.mark.parametrize("name", LAWS)
def test_no_other_move_of_the_same_length_in_the_box_is_told_more_easily(name: str) -> None:
    """The lemma and its use, by the numerical engine: moves in 32nds of the range."""
    rng = np.random.default_rng(0)
    nearest = 0.0
    for _ in range(60):
        rooms = rng.integers(16, 33, size=rng.integers(2, 6)).tolist()
        total = int(rng.integers(17, sum(rooms) + 1))
        other = [0] * len(rooms)
        for _ in range(total):
            free = [place for place, room in enumerate(rooms) if other[place] < room]
            other[rng.choice(free)] += 1
        unit = rng.uniform(0.5, 4) / 32
        best, worse = (lowest(LAWS[name], moves, unit) for moves in (greedy(rooms, total), other))
        assert np.all(best <= worse + 2e-4), (rooms, other)
        nearest = max(nearest, float(np.max(worse - best)))
    assert nearest > 0.05, "and it matters"


@pytest.mark.parametrize("exponent", [1, 1.5, 4])
def test_real_draws_tell_the_greedy_move_as_easily_as_is_certified(exponent: float) -> None:
    """The second route: the best test between two products of densities, on draws of the noise."""
    noise = radii.GeneralizedNormal(0.7, exponent)
    images = np.array([[0.0, 0.1, 0.9, 0.6]])
    p, r = 0.97, 2.3
    moves = np.array([1.0, 0.9, 0.4, 0.0])
    rng = np.random.default_rng(1)
    draws = rng.gamma(1 / exponent, size=(2_000_000, 4)) ** (1 / exponent) * rng.choice(
        [-1, 1], (2_000_000, 4)
    )
    draws *= noise.scale

    def score(x: np.ndarray) -> np.ndarray:
        return (noise.log_density((x - moves) / noise.scale) - noise.log_density(x / noise.scale)).sum(axis=1)

    # the region of probability p that loses the most: where the moved noise is least likely
    threshold = np.quantile(score(draws), p)
    fallen = np.mean(score(draws + moves) <= threshold)
    family = noise.trade_offs(Ball("l1", (4,), images=images))
    said = family.lower(np.array([p]), np.array([r]))[0]
    assert said == pytest.approx(fallen, abs=4e-3) and said <= fallen + 1e-3
    free = noise.trade_offs(Ball("l1", (4,))).lower(np.array([p]), np.array([r]))[0]
    assert said > free + 0.05, "the box matters"


def test_normal_noise_is_the_closed_form() -> None:
    rng = np.random.default_rng(2)
    images = rng.random((20, 5))
    p, r = rng.uniform(0.6, 0.999, 20), rng.uniform(0.3, 3, 20)
    lengths = Ball("l1", (5,), images=images)
    noise = radii.Gaussian(0.8)
    exact = noise.trade_offs(lengths)
    free = noise.trade_offs(Ball("l1", (5,)))
    unit = radii.GeneralizedNormal(0.8, 2).scale
    ours = GreedyPerturbation(np.maximum(images, 1 - images), free, unit, LAWS["normal"])
    for name in ("lower", "upper"):
        found, known = (getattr(one, name)(p, r) for one in (ours, exact))
        np.testing.assert_allclose(found, known, atol=3e-3)
    assert np.all(ours.lower(p, r) <= exact.lower(p, r) + 1e-12)
    assert np.all(ours.upper(p, r) >= exact.upper(p, r) - 1e-12)


def test_one_feature_is_laplace_in_closed_form() -> None:
    """Where the next feature moves by nearly nothing."""
    noise = radii.Laplace(1.0)
    images = np.array([[0.0, 0.5]])
    family = noise.trade_offs(Ball("l1", (2,), images=images))
    for p in (0.3, 0.9, 0.999):
        exact = cdf(quantile(np.array([p])) - 1 / noise.scale)
        assert family.lower(np.array([p]), np.array([1.0])) == pytest.approx(exact, rel=1e-12)
        beyond = family.lower(np.array([p]), np.array([1 + 1 / LEVELS]))
        assert exact * 0.98 < beyond < exact


def test_boxes_let_laplace_radii_grow_beyond_one_feature() -> None:
    noise, p = radii.Laplace(1.0), np.array([0.9, 0.95, 0.99])
    free = certified_radius(noise, "l1", p, shape=(1, 4, 4))
    black = certified_radius(noise, "l1", p, shape=(1, 4, 4), images=np.zeros((3, 1, 4, 4)))
    grey = certified_radius(noise, "l1", p, shape=(1, 4, 4), images=np.full((3, 1, 4, 4), 0.5))
    assert free[0] > 1 and np.all(black > free * 1.02) and np.all(grey > black * 1.1)
    # features so small that they are many: the sum of their squares decides, as in the limit of small moves
    fine = certified_radius(
        radii.Laplace(10.0), "l1", p, shape=(1, 64, 64), images=np.full((3, 1, 64, 64), 0.5)
    )
    scale = radii.Laplace(10.0).scale
    limit = (normal_law.ppf(p) * scale) ** 2 / 0.5
    np.testing.assert_allclose(fine, limit, rtol=0.04)


def test_beyond_the_longest_move_nothing_is_bounded() -> None:
    family = radii.Laplace(9.0).trade_offs(Ball("l1", (2,), images=np.array([[0.5, 1.0]])))
    p = np.array([[0.9, 0.2]])
    assert np.all(family.lower(p, np.array([[1.6]])) == 0) and np.all(family.upper(p, np.array([[1.6]])) == 1)
    found = certified_radius(
        radii.Laplace(9.0), "l1", np.array([0.99]), shape=(2,), images=np.array([[0.5, 1.0]])
    )
    assert 1.499 < found[0] <= 1.5


def test_rooms_of_bytes_are_whole_levels() -> None:
    levels = np.arange(256)
    for images in (levels / 255, levels.astype(np.float32) / np.float32(255)):
        rooms = Ball("l1", (256,), images=images[None]).box_limits()[:, :, 0]
        free = radii.Laplace(1.0).trade_offs(Ball("l1", (256,)))
        family = GreedyPerturbation(rooms, free, 1.0, LAPLACE)
        moves, times = family.shifts(0, family.ends[0, -1])
        known, count = np.unique(np.maximum(levels, 255 - levels), return_counts=True)
        assert np.array_equal(moves, known) and np.array_equal(times, count)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_never_recover_as_the_length_grows(dtype: type) -> None:
    """Also at the ends of rooms and levels, one bit before and after them; and whole levels are not rounded up."""
    rng = np.random.default_rng(5)
    images = (rng.integers(0, 256, (1, 5)).astype(dtype) / dtype(255)).astype(float)
    rooms = np.maximum(images, 1 - images)
    free = radii.Laplace(1.0).trade_offs(Ball("l1", (5,)))
    family = GreedyPerturbation(rooms, free, radii.Laplace(1.0).scale, LAPLACE)
    ends = np.concatenate([family.ends[0], family.ends[0, 1] + np.arange(1, 256) / LEVELS])
    near = np.concatenate([ends, np.nextafter(ends, 0), np.nextafter(ends, 9), ends - 1e-12, ends + 1e-12])
    lengths = np.sort(near[(near > 0) & (near <= family.ends[0, -1])])
    found = np.array([family.lower(np.array([0.97]), np.array([r]))[0] for r in lengths])
    assert np.all(np.diff(found) <= 1e-15)
    black = GreedyPerturbation(np.ones((1, 3)), free, 1.0, LAPLACE)
    assert black.shifts(0, 1 + 51 / 255) == ((51, 255), (1, 1))
    assert black.shifts(0, 1 + 1e-9) == ((1, 255), (1, 1))
    # a room that is a hair longer than a level counts as that level, and so does what nearly fills it
    hair = GreedyPerturbation(np.array([[1.0, (128 + 1.6e-5) / LEVELS]]), free, 1.0, LAPLACE)
    end = hair.ends[0, -1]
    assert hair.shifts(0, end) == hair.shifts(0, end - 1e-12) == ((128, 255), (1, 1))
