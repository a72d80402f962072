"""Certified radii: closed forms, true radii of known classifiers, and attacks that catch an overclaim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import laplace as laplace_law
from scipy.stats import norm as normal_law
from scipy.stats import uniform as uniform_law

import radii
from radii.certificates.radius import certified_radius, margin, tradeoff
from radii.errors import InputError
from radii.noises import NOISES as ALL_NOISES
from radii.noises import example
from radii.noises.norms import NORMS, Ball

NOISES = [radii.Gaussian(0.5), radii.Laplace(0.5), radii.Uniform(0.5)]
PAIRS = [pytest.param(noise, norm, id=f"{noise.name}-{norm}") for noise in NOISES for norm in NORMS]
SHAPE = (3, 4, 4)
P = np.array([0.3, 0.5001, 0.6, 0.9, 0.99, 0.9999])


# closed forms -----------------------------------------------------------------------------------


def test_gaussian_is_the_formula_of_cohen() -> None:
    lower, rival = np.array([0.6, 0.9, 0.4, 0.99]), np.array([0.3, 0.05, 0.2, 1e-5])
    noise = radii.Gaussian(0.25)
    l2 = 0.25 / 2 * (normal_law.ppf(lower) - normal_law.ppf(rival))
    for norm, factor in (("l1", 1), ("l2", 1), ("linf", 1 / np.sqrt(48))):
        found = certified_radius(noise, norm, lower, rival[:, None], shape=SHAPE)
        np.testing.assert_allclose(found, l2 * factor, rtol=1e-9)
        assert np.all(found <= l2 * factor)
    l0 = certified_radius(noise, "l0", lower, rival[:, None], shape=SHAPE, unit="feature")
    np.testing.assert_array_equal(l0, np.floor(l2**2))


def test_laplace_l1_is_the_formula_of_teng() -> None:
    lower = np.array([0.6, 0.9, 0.99])
    b = 0.5 / np.sqrt(2)
    found = certified_radius(radii.Laplace(0.5), "l1", lower, shape=SHAPE)
    np.testing.assert_allclose(found, -b * np.log(2 * (1 - lower)), rtol=1e-9)
    # with a bound on the runner-up: half the distance of the quantiles
    rival = np.array([[0.2], [0.05], [0.001]])
    quantile = [laplace_law(scale=b).ppf(x) for x in (lower, rival[:, 0])]
    found = certified_radius(radii.Laplace(0.5), "l1", lower, rival, shape=SHAPE)
    np.testing.assert_allclose(found, (quantile[0] - quantile[1]) / 2, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_uniform_is_the_overlap_of_cubes(k: int) -> None:
    rng = np.random.default_rng(0)
    lower = rng.uniform(0.2, 0.99, 200)
    rivals = (
        np.cumsum(np.sort(rng.dirichlet(np.ones(k + 1), 200)[:, :k], axis=1), axis=1) * (1 - lower)[:, None]
    )
    t = np.arange(1, k + 1)
    moved = np.maximum(((t * lower[:, None] - rivals) / (t + 1)).max(axis=1), 0)
    a, d = 0.5 * np.sqrt(3), 48
    expected = {"l1": 2 * a * moved, "linf": -2 * a * np.expm1(np.log1p(-moved) / d)}
    expected["l0"] = np.floor(np.log1p(-moved) / np.log1p(-1 / (2 * a)))
    for norm, values in expected.items():
        found = certified_radius(radii.Uniform(0.5), norm, lower, rivals, k=k, shape=SHAPE, unit="feature")
        np.testing.assert_allclose(found, values, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("d", [2, 3, 5, 48])
def test_uniform_l2_takes_the_worst_of_all_moves(d: int) -> None:
    noise = radii.Uniform(1 / (2 * np.sqrt(3)))  # a cube of side 1
    rng = np.random.default_rng(0)
    for u in (0.1, 0.5, 0.7, 0.8, 0.95, 1.05):
        directions = np.abs(rng.normal(size=(100_000, d))) ** rng.choice([0.2, 1, 3], size=(100_000, 1))
        moves = u * directions / np.linalg.norm(directions, axis=1, keepdims=True)
        seen = np.maximum(1 - moves, 0).prod(axis=1).min()
        lost = noise.trade_offs(Ball("l2", (d,))).upper(np.array([0.0]), np.array([u]))[0]
        assert 1 - lost <= seen + 1e-12
        assert seen <= (1 - lost) * 1.2 + 0.01, "and the worst is nearly met"


# laws that every pair obeys ---------------------------------------------------------------------


@pytest.mark.parametrize("noise,norm", PAIRS)
def test_trade_offs_obey_their_laws(noise: radii.Noise, norm: str) -> None:
    family = noise.trade_offs(Ball(norm, SHAPE))
    p = np.linspace(0.001, 0.999, 200)
    radius = [np.full(200, x) for x in ([1, 2, 5] if norm == "l0" else [0.01, 0.05, 0.3])]
    previous = p
    for r in radius:
        upper, lower = family.upper(p, r), family.lower(p, r)
        np.testing.assert_allclose(lower, 1 - family.upper(1 - p, r), atol=1e-12)
        assert np.all(np.diff(upper) >= -1e-12), "rising"
        if (noise.name, norm) != ("laplace", "l2"):
            # there the worst direction changes with p, and the largest of concave functions need not be one
            assert np.all(np.diff(upper, 2) <= 1e-7), "concave"
        assert np.all(upper >= previous - 1e-12) and np.all((upper <= 1) & (lower >= 0))
        previous = upper
    np.testing.assert_allclose(family.upper(p, np.zeros(200)), p, atol=1e-9)


@pytest.mark.parametrize("noise,norm", PAIRS)
def test_radii_scale_with_the_noise(noise: radii.Noise, norm: str) -> None:
    if norm == "l0":
        return
    one = certified_radius(noise, norm, P, shape=SHAPE)
    two = certified_radius(type(noise)(2 * noise.sigma), norm, P, shape=SHAPE)
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)


@pytest.mark.parametrize("noise,norm", PAIRS)
def test_radius_is_the_largest_that_passes(noise: radii.Noise, norm: str) -> None:
    rivals = np.array([0.25, 0.6]) * (1 - P)[:, None]
    found = certified_radius(noise, norm, P, rivals, k=2, shape=SHAPE, unit="feature")
    family = noise.trade_offs(Ball(norm, SHAPE, "feature"))
    some = found > 0
    assert some.sum() >= (2 if norm == "l0" else 4)
    assert np.all(margin(family, P[some], rivals[some], found[some]) > 0)
    beyond = found + 1 if norm == "l0" else found * (1 + 1e-9) + 1e-30
    assert np.all(margin(family, P, rivals, beyond) <= 0)


@pytest.mark.parametrize("noise,norm", PAIRS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(st.floats(0.02, 1), min_size=4, max_size=4), st.floats(0.3, 0.999))
def test_more_knowledge_never_hurts(noise: radii.Noise, norm: str, weights: list[float], p: float) -> None:
    lower = np.array([p])
    others = np.sort(weights) / np.sum(weights) * (1 - p)
    radius = [
        certified_radius(noise, norm, lower, np.cumsum(others[-k:])[None], k=k, shape=SHAPE)[0]
        for k in (1, 2, 3)
    ]
    alone = [certified_radius(noise, norm, lower, k=k, shape=SHAPE)[0] for k in (1, 2, 3)]
    for found in (radius, alone):
        assert np.all(np.diff(found) >= -1e-9 * np.array(found[:-1])), "a larger k certifies more"
    assert all(a <= b * (1 + 1e-9) for a, b in zip(alone, radius, strict=True))
    worse = certified_radius(noise, norm, lower * 0.99, np.cumsum(others[-2:])[None], k=2, shape=SHAPE)[0]
    assert worse <= radius[1] * (1 + 1e-9)


def test_rivals_never_have_more_than_the_label_leaves() -> None:
    p = np.array([0.6, 0.9])
    for noise in NOISES:
        alone = certified_radius(noise, "l1", p, shape=SHAPE)
        np.testing.assert_array_equal(certified_radius(noise, "l1", p, np.ones((2, 1)), shape=SHAPE), alone)


def test_from_the_label_alone_a_top_k_certificate_needs_one_in_k_plus_one() -> None:
    for noise in NOISES:
        for k in (1, 2, 4):
            p = np.array([1 / (k + 1) - 1e-6, 1 / (k + 1) + 1e-3])
            found = certified_radius(noise, "l1", p, k=k, shape=SHAPE)
            assert found[0] == 0 and found[1] > 0


# one feature: every classifier is a set of intervals, its true radius can be computed ---------------


LAWS = {
    "gaussian": lambda s: normal_law(scale=s),
    "laplace": lambda s: laplace_law(scale=s / np.sqrt(2)),
    "uniform": lambda s: uniform_law(loc=-s * np.sqrt(3), scale=2 * s * np.sqrt(3)),
}


def interval_probabilities(
    noise: radii.Noise, cuts: np.ndarray, classes: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Probability of every class when the input stands at each `shift`, `(shifts, classes)`."""
    cdf = LAWS[noise.name](noise.sigma).cdf(cuts - shift[:, None])
    masses = np.diff(
        np.concatenate([np.zeros((len(shift), 1)), cdf, np.ones((len(shift), 1))], axis=1), axis=1
    )
    return np.stack([masses[:, classes == c].sum(axis=1) for c in range(classes.max() + 1)], axis=1)


def stays(probabilities: np.ndarray, k: int) -> np.ndarray:
    """Where fewer than k other classes reach class 0."""
    return (probabilities[:, 1:] >= probabilities[:, :1]).sum(axis=1) < k


@pytest.mark.parametrize("noise", NOISES, ids=lambda n: n.name)
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_no_classifier_of_one_feature_breaks_a_certificate(noise: radii.Noise, norm: str, k: int) -> None:
    rng = np.random.default_rng(k)
    certified = 0
    for _ in range(150):
        cuts = np.sort(rng.normal(scale=0.6, size=rng.integers(4, 12)))
        classes = np.append(rng.permutation(5), rng.integers(0, 5, len(cuts)))[: len(cuts) + 1]
        classes[rng.random(len(classes)) < 0.4] = 0
        p = interval_probabilities(noise, cuts, classes, np.zeros(1))[0]
        if len(p) <= k or np.sort(p[1:])[-k] < 1e-6 or p[0] == 0:
            continue  # where a rival is impossible, the radius ends where probabilities underflow
        rivals = np.cumsum(np.sort(p[1:])[-k:])
        radius = certified_radius(noise, norm, p[:1], rivals[None], k=k, shape=(1,))[0]
        moves = np.linspace(-radius, radius, 201) * (1 - 1e-9)
        assert radius == 0 or np.all(stays(interval_probabilities(noise, cuts, classes, moves), k))
        certified += radius > 0
    assert certified > 20


@pytest.mark.parametrize("noise", NOISES, ids=lambda n: n.name)
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("p", [0.45, 0.7, 0.95])
def test_certificates_are_tight_so_that_one_percent_more_is_wrong(
    noise: radii.Noise, norm: str, k: int, p: float
) -> None:
    # the worst classifier: the label lies far from where the perturbation leads, k rivals interleave there
    law = LAWS[noise.name](noise.sigma)
    if p < 1 / (k + 1):
        return
    ends = law.ppf([p, 1.0 - 1e-9])
    cuts = np.linspace(ends[0], ends[1] + 3, 6001)
    classes = np.append(0, 1 + np.arange(6001) % k)
    q = interval_probabilities(noise, cuts, classes, np.zeros(1))[0]
    rivals = np.cumsum(np.sort(q[1:]))
    if k == 1 or noise.name != "laplace" or norm == "l1":
        radius = certified_radius(noise, norm, q[:1], rivals[None], k=k, shape=(1,))[0]
        moves = radius * np.array([0.999, 1.01])
        assert stays(interval_probabilities(noise, cuts, classes, moves), k).tolist() == [True, False]


# many features: half-spaces whose true radius is known ----------------------------------------------


@pytest.mark.parametrize("p", [0.55, 0.8, 0.99])
def test_half_spaces_have_the_true_gaussian_radius(p: float) -> None:
    # the classifier sum w x < t has probability p at its centre and loses it at distance sigma * quantile(p)
    d, sigma = 48, 0.5
    distance = sigma * normal_law.ppf(p)
    noise = radii.Gaussian(sigma)
    for norm, true in (("l2", distance), ("linf", distance / np.sqrt(d)), ("l1", distance)):
        assert certified_radius(noise, norm, np.array([p]), shape=SHAPE)[0] == pytest.approx(true, rel=1e-9)


# units, boxes, sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES, ids=lambda n: n.name)
def test_pixels_are_groups_of_features(noise: radii.Noise) -> None:
    noise = type(noise)(3.0)
    p = np.linspace(0.5, 0.999, 40)
    features = certified_radius(noise, "l0", p, shape=SHAPE, unit="feature")
    pixels = certified_radius(noise, "l0", p, shape=SHAPE)
    np.testing.assert_array_equal(pixels, features // 3)
    assert pixels.max() > 1


@pytest.mark.parametrize("noise", NOISES, ids=lambda n: n.name)
@pytest.mark.parametrize("unit", ["feature", "pixel"])
def test_the_box_of_an_image_only_helps(noise: radii.Noise, unit: str) -> None:
    noise = type(noise)(2.0)
    p = np.linspace(0.6, 0.999, 30)
    rng = np.random.default_rng(0)
    without = certified_radius(noise, "l0", p, shape=SHAPE, unit=unit)
    extreme = certified_radius(
        noise, "l0", p, shape=SHAPE, unit=unit, images=rng.integers(0, 2, (30, *SHAPE))
    )
    np.testing.assert_array_equal(extreme, without)
    grey = certified_radius(noise, "l0", p, shape=SHAPE, unit=unit, images=np.full((30, *SHAPE), 0.5))
    assert np.all(grey >= without) and grey.sum() > 2 * without.sum()
    # half the range is half the sigma
    np.testing.assert_array_equal(grey, certified_radius(type(noise)(4.0), "l0", p, shape=SHAPE, unit=unit))
    mixed = certified_radius(noise, "l0", p, shape=SHAPE, unit=unit, images=rng.random((30, *SHAPE)))
    assert np.all((mixed >= without) & (mixed <= grey))


BOXED = [radii.Gaussian(1.5), radii.Uniform(1.5), radii.IndependentSplitting(1.5)]


@pytest.mark.parametrize("noise", [*BOXED, radii.Laplace(1.5)], ids=lambda n: n.name)
def test_the_box_of_an_image_helps_in_l1_beyond_one_feature(noise: radii.Noise) -> None:
    rng = np.random.default_rng(0)
    lower = rng.uniform(0.55, 0.9999, 60)
    images = rng.random((60, *SHAPE))
    rivals = rng.uniform(0.1, 0.9, (60, 1)) * (1 - lower[:, None])
    for other in (None, rivals):
        free = certified_radius(noise, "l1", lower, other, shape=SHAPE)
        boxed = certified_radius(noise, "l1", lower, other, shape=SHAPE, images=images)
        room = np.maximum(images, 1 - images).reshape(60, -1).max(axis=1)
        np.testing.assert_allclose(boxed[free <= room], free[free <= room], rtol=1e-9)
        assert np.all(boxed >= free * (1 - 1e-9)) and (boxed > free * 1.01).sum() > 10
        each = [
            certified_radius(
                noise,
                "l1",
                lower[row : row + 1],
                None if other is None else other[row : row + 1],
                shape=SHAPE,
                images=images[row : row + 1],
            )[0]
            for row in range(60)
        ]
        np.testing.assert_allclose(boxed, each, rtol=1e-9)


@pytest.mark.parametrize("noise", BOXED, ids=lambda n: n.name)
def test_no_move_within_a_box_costs_more_than_the_greedy_one(noise: radii.Noise) -> None:
    rng = np.random.default_rng(1)
    images = rng.random((3, 6))
    room = np.maximum(images, 1 - images)
    family = noise.trade_offs(Ball("l1", (6,), images=images))
    for r in (0.4, 0.9, 1.3, 2.2, 3.9):
        worst = family.upper(np.full(3, 0.3), np.full(3, r))
        moves = rng.exponential(size=(20_000, 3, 6)) ** rng.choice([0.3, 1, 4], size=(20_000, 1, 1))
        moves = np.minimum(moves * r / moves.sum(axis=2, keepdims=True), room)
        moves = np.minimum(moves * r / moves.sum(axis=2, keepdims=True), room)
        assert np.all(moves.sum(axis=2) <= r + 1e-9)
        if noise.name == "gaussian":
            cost = normal_law.cdf(normal_law.ppf(0.3) + np.sqrt((moves**2).sum(axis=2)) / noise.sigma)
        else:
            cost = np.minimum(0.3 + 1 - np.maximum(1 - moves / noise.width, 0).prod(axis=2), 1)
        assert np.all(cost.max(axis=0) <= worst + 1e-12)
        assert np.all(cost.max(axis=0) >= 0.9 * worst), "and the worst is nearly met"


@pytest.mark.parametrize("norm", ["l0", "l1"])
def test_boxes_of_many_images_are_looked_at_in_parts(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    lower, rivals, images = rng.uniform(0.6, 0.999, 7), rng.uniform(0, 0.01, (7, 2)), rng.random((7, *SHAPE))
    asked = {"norm": norm, "k": 2, "shape": SHAPE, "images": images}
    whole = certified_radius(radii.Gaussian(1.0), lower=lower, rivals=rivals, **asked)
    for most in (1, 2 * int(np.prod(SHAPE)), 3 * int(np.prod(SHAPE)) + 1):
        monkeypatch.setattr("radii.certificates.radius.BOXES", most)
        parts = certified_radius(radii.Gaussian(1.0), lower=lower, rivals=rivals, **asked)
        np.testing.assert_array_equal(parts, whole)
    none = certified_radius(radii.Gaussian(1.0), norm, lower[:0], shape=SHAPE, images=images[:0])
    assert none.shape == (0,)


def test_a_label_that_no_move_in_the_box_can_take_has_the_longest_as_its_radius() -> None:
    images = np.array([[0.5, 1.0], [0.0, 0.25]])
    found = certified_radius(radii.Gaussian(5.0), "l1", np.array([0.99, 0.99]), shape=(2,), images=images)
    np.testing.assert_allclose(found, [1.5, 1.75], rtol=1e-9)
    assert np.all(found <= [1.5, 1.75])


@pytest.mark.parametrize("noise,norm", PAIRS)
def test_imagenet_size_works(noise: radii.Noise, norm: str) -> None:
    if (noise.name, norm) == ("laplace", "linf"):
        return  # in the slow tests: its table takes seconds
    found = certified_radius(noise, norm, P, shape=(3, 224, 224))
    assert np.all(np.isfinite(found)) and (found[-1] > 0 or norm == "l0")


@pytest.mark.slow
def test_laplace_linf_at_imagenet_size() -> None:
    p = np.array([0.6, 0.9, 0.99])
    found = certified_radius(radii.Laplace(2**0.5), "linf", p, shape=(3, 224, 224))
    np.testing.assert_allclose(found * np.sqrt(150528), normal_law.ppf(p), rtol=2e-3)


# the trade-off function and wrong arguments -----------------------------------------------------------


@pytest.mark.parametrize("noise,norm", PAIRS)
def test_tradeoff_is_one_minus_upper(noise: radii.Noise, norm: str) -> None:
    radius = 2 if norm == "l0" else 0.02
    t = tradeoff(noise, norm, radius, SHAPE)
    alpha = np.linspace(0, 1, 21)
    values = t(alpha)
    assert values.shape == alpha.shape and values[-1] == 0 and np.all(np.diff(values) <= 1e-12)
    upper = noise.trade_offs(Ball(norm, SHAPE)).upper(alpha[1:-1], np.full(19, radius))
    np.testing.assert_allclose(values[1:-1], 1 - upper, atol=1e-9)
    assert t(0.5).shape == ()


@pytest.mark.parametrize("level", [1e-12, 1e-14, 1.6e-16, 1e-20])
def test_tradeoff_of_tiny_levels_is_not_rounded_up(level: float) -> None:
    # upper(alpha) = .4 exactly
    t = tradeoff(radii.Laplace(2**0.5), "l1", np.log(0.4 / level), (1,))
    assert 0.6 * (1 - 1e-9) < t(level) <= 0.6


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"norm": "l3"}, "unknown norm"),
        ({"norm": "Linf"}, "did you mean 'linf'"),
        ({"lower": np.array([1.0])}, "no finite sample"),
        ({"lower": np.array([np.nan])}, r"\[0, 1\)"),
        ({"lower": np.array([-0.1])}, r"\[0, 1\)"),
        ({"lower": 0.5}, "one probability per image"),
        ({"k": 0}, "at least 1"),
        ({"rivals": np.array([[0.1, 0.2]])}, "shape"),
        ({"rivals": np.array([[1.5]])}, "probabilities"),
        ({"shape": (0, 3)}, "shape must be"),
        ({"shape": "ab"}, "shape must be"),
        ({"norm": "l0", "unit": "pixels"}, "did you mean 'pixel'"),
        ({"norm": "l0", "unit": "pixel", "shape": (5,)}, "channels, height, width"),
        ({"norm": "l0", "images": np.full((1, *SHAPE), 1.2)}, r"must lie in \[0, 1\]"),
        ({"norm": "l0", "images": np.full((1, *SHAPE), np.nan)}, r"must lie in \[0, 1\]"),
        ({"norm": "l0", "images": np.zeros((2, *SHAPE))}, "equally many"),
        ({"norm": "l0", "images": np.zeros((1, 5))}, "must have the shape"),
    ],
)
def test_rejects(arguments: dict, words: str) -> None:
    given = {
        "noise": radii.Gaussian(1.0),
        "norm": "l2",
        "lower": np.array([0.9]),
        "shape": SHAPE,
        **arguments,
    }
    with pytest.raises(InputError, match=words):
        certified_radius(given.pop("noise"), given.pop("norm"), given.pop("lower"), **given)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf"), "a", True])
def test_rejects_a_sigma_that_is_none(sigma: object) -> None:
    for noise in (radii.Gaussian, radii.Laplace, radii.Uniform):
        with pytest.raises(InputError, match="sigma must be a number from 1e-09"):
            noise(sigma)


def test_rejects_an_unknown_noise() -> None:
    with pytest.raises(InputError, match="unknown noise 'laplac'; did you mean 'laplace'"):
        radii.make_noise("laplac", 0.5)
    for radius, words in ((-1.0, "at least 0"), (float("nan"), "finite"), (1.5, "whole number")):
        with pytest.raises(InputError, match=words):
            tradeoff(radii.Gaussian(1.0), "l0", radius, SHAPE)


@pytest.mark.parametrize("norm", ["l0", "l1"])
@pytest.mark.parametrize("name", ALL_NOISES)
def test_images_without_any_vote_have_no_radius_in_their_box(name, norm):
    noise, images = example(ALL_NOISES[name]), np.full((2, 1, 8, 8), 0.5)
    if norm in noise.rules:
        found = radii.certified_radius(noise, norm, np.array([0.0, 0.9]), shape=(1, 8, 8), images=images)
        assert found[0] == 0 and found[1] >= 0
