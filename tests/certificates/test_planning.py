"""Levels of radii: the closed forms where there are any, and the radius itself everywhere."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

import radii
from radii import RadiusTarget, certified_radius, sequential
from radii.certificates.planning import DIGITS, rounded_up
from radii.errors import InputError
from radii.noises.lattice import distance
from radii.votes.plans import Decision

SHAPE = (3, 8, 8)
SIGMA = 0.25


def asked(noise: radii.Noise, norm: str) -> list[float]:
    """Radii that a label of .6, .8 and .9 would have; for l0, sigma is made large enough."""
    if norm == "l0":
        return [1.0, 2.0]
    return certified_radius(noise, norm, np.array([0.6, 0.8, 0.9]), shape=SHAPE).tolist()


PAIRS = [(noise, norm) for noise in ("gaussian", "laplace", "uniform") for norm in radii.NORMS]


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name,norm", PAIRS)
def test_a_level_is_where_the_radius_begins(name: str, norm: str, k: int) -> None:
    noise = radii.make_noise(name, 3.0 if norm == "l0" else SIGMA)
    wanted = asked(noise, norm)
    levels = np.array(RadiusTarget(noise, norm, tuple(wanted), SHAPE, k=k).levels())
    at = certified_radius(noise, norm, levels, k=k, shape=SHAPE)
    below = certified_radius(noise, norm, levels - 1e-8, k=k, shape=SHAPE)
    assert np.all(at >= np.array(wanted)) and np.all(below < wanted)
    assert np.all(np.diff(levels) > 0)
    if k == 1 and norm != "l0":
        np.testing.assert_allclose(levels, [0.6, 0.8, 0.9], atol=1e-8)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_levels_in_closed_form(k: int) -> None:
    r, least = np.array([0.1, 0.25, 0.4]), 1 / (k + 1)

    def level(noise: radii.Noise, norm: str) -> np.ndarray:
        return np.array(RadiusTarget(noise, norm, tuple(r), SHAPE, k=k).levels())

    for norm, farthest in (("l2", r), ("linf", r * np.sqrt(192))):
        closed = ndtr(ndtri(least) + farthest / SIGMA)
        if closed.max() < 1 - 1e-12:
            found = level(radii.Gaussian(SIGMA), norm)
            np.testing.assert_allclose(found, closed, rtol=1e-9)
            assert np.all(found > closed)
    np.testing.assert_allclose(
        level(radii.Uniform(SIGMA), "l1"), least + r / (2 * SIGMA * np.sqrt(3)), rtol=1e-9
    )


@pytest.mark.parametrize("name,norm", PAIRS)
def test_lattice_noise_asks_for_a_little_more(name: str, norm: str) -> None:
    noise = radii.make_noise(name, 3.0 if norm == "l0" else SIGMA)
    usual, exact = (
        np.array(RadiusTarget(noise, norm, tuple(asked(noise, norm)), SHAPE, exact_arithmetic=how).levels())
        for how in (False, True)
    )
    np.testing.assert_allclose(exact - usual, distance(noise, 192), rtol=1e-3)


def test_questions_share_their_levels() -> None:
    def one(norm: str, *radii_: float) -> RadiusTarget:
        return RadiusTarget(radii.Gaussian(SIGMA), norm, radii_, (1, 1, 1))

    # one feature: every norm is the same, to rounding
    plan = sequential(one("l2", 0.1, 0.3), one("linf", 0.2), one("l1", 0.1, 0.3))
    assert len(plan.levels) == 3
    assert max(one("l1", 0.1, 0.3).levels()) <= plan.levels[-1]
    np.testing.assert_allclose(plan.levels, ndtr(np.array([0.1, 0.2, 0.3]) / SIGMA), rtol=1e-6)
    decided = [(one.norm, one.radii, one.levels) for one in plan.decisions]
    assert decided == [("l2", (0.1, 0.3), (1, 3)), ("linf", (0.2,), (2,)), ("l1", (0.1, 0.3), (1, 3))]
    with pytest.raises(InputError, match="needs a target"):
        sequential()


def test_units_of_l0() -> None:
    noise = radii.Gaussian(5.0)
    features = RadiusTarget(noise, "l0", (3, 6), SHAPE, unit="feature").levels()
    pixels = RadiusTarget(noise, "l0", (1, 2), SHAPE).levels()
    assert features == pixels


def test_a_plan_for_radii() -> None:
    question = RadiusTarget(radii.Laplace(SIGMA), "linf", (1 / 255, 2 / 255), SHAPE, k=2)
    plan = sequential(question, alpha=0.01, n_max=5000, batch=32)
    decision = Decision("linf", (1 / 255, 2 / 255), (1, 2), k=2)
    levels = rounded_up(question.levels())
    assert plan == radii.Sequential(levels, alpha=0.01, n_max=5000, batch=32, decisions=(decision,))
    assert radii.anytime(alpha=0.01, n_max=500) == radii.Anytime(0.01, 500)
    p = max(plan.levels) * 0.3 + 0.7
    found = plan.operating_characteristics(p)
    assert found.certified[1] > 0.95 and found.mean_samples < 1000


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name,norm", PAIRS)
def test_levels_of_plans_have_few_digits_and_ask_for_hardly_more(name: str, norm: str, k: int) -> None:
    noise = radii.make_noise(name, 3.0 if norm == "l0" else SIGMA)
    question = RadiusTarget(noise, norm, tuple(asked(noise, norm)), SHAPE, k=k)
    found, levels = np.array(question.levels()), np.array(sequential(question).levels)
    left = np.frexp(1 - levels)[0]
    assert np.array_equal(left * 2**DIGITS, np.rint(left * 2**DIGITS))
    assert np.all(levels >= found) and np.all(1 - levels >= (1 - found) * (1 - 2 ** (1 - DIGITS)))
    # a search that ends elsewhere in its last digits leads to the same plan
    for other in (found * (1 + 1e-13), found * (1 - 1e-13)):
        assert rounded_up(other) == tuple(levels)


def test_levels_next_to_one_stay_below_it() -> None:
    near = (1 - 2**-53, 1 - 3 * 2**-53, 1 - 1e-12)
    assert rounded_up(near)[:2] == near[:2] and near[2] <= rounded_up(near)[2] < 1


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"norm": "l3"}, "unknown norm"),
        ({"unit": "grey"}, "unknown unit"),
        ({"k": 0}, "at least 1"),
        ({"radii": (0.2, 0.1)}, "radii must be finite numbers that rise"),
        ({"levels": (1,)}, "each radius needs a number of levels"),
        ({"levels": (0, 1)}, "each radius needs a number of levels"),
        ({"levels": (2, 1)}, "each radius needs a number of levels"),
    ],
)
def test_decisions_that_cannot_be_are_rejected(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Decision(**{"norm": "l2", "radii": (0.1, 0.2), "levels": (1, 2), **changes})


def test_decisions_are_about_the_levels_of_their_plan() -> None:
    with pytest.raises(InputError, match="decisions must be about the 1 levels"):
        radii.Sequential((0.6,), decisions=(Decision("l2", (0.1, 0.2), (1, 2)),))


def test_the_farthest_radius_is_where_plans_end() -> None:
    question = RadiusTarget(radii.Gaussian(SIGMA), "l2", (0.1,), SHAPE)
    far = question.farthest(1000, 1e-3)
    assert far == pytest.approx(SIGMA * ndtri(1e-3 ** (1 / 1000)), rel=1e-9)
    near = sequential(RadiusTarget(radii.Gaussian(SIGMA), "l2", (far * (1 - 1e-6),), SHAPE), n_max=1000)
    assert near.operating_characteristics(1.0).certified[0] == pytest.approx(1)
    with pytest.raises(
        InputError, match=r"samples certify l2 radii up to 0.615816, not 0.6.*take at least 1001"
    ):
        sequential(RadiusTarget(radii.Gaussian(SIGMA), "l2", (0.1, far * (1 + 1e-6)), SHAPE), n_max=1000)


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"radii": (0.2, 0.1)}, "radii must be finite numbers that rise, above 0"),
        ({"radii": (0.0, 0.1)}, "radii must be finite numbers that rise, above 0"),
        ({"radii": ()}, "radii must be finite numbers that rise, above 0"),
        ({"radii": (float("nan"),)}, "radii must be finite numbers that rise, above 0"),
        ({"norm": "l0", "radii": (1.5,)}, "must be whole numbers"),
        ({"norm": "l3"}, "unknown norm"),
        ({"k": 0}, "at least 1"),
        ({"shape": (0,)}, "shape must be"),
    ],
)
def test_rejects(arguments: dict, words: str) -> None:
    given = {"noise": radii.Gaussian(SIGMA), "norm": "l2", "radii": (0.1,), "shape": SHAPE, **arguments}
    with pytest.raises(InputError, match=words):
        RadiusTarget(**given)


def test_rejects_what_no_votes_can_show() -> None:
    with pytest.raises(InputError, match=r"uniform noise of sigma 0\.25 certifies no l1 radius of 0\.5"):
        RadiusTarget(radii.Uniform(SIGMA), "l1", (0.1, 0.5), SHAPE).levels()


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: sequential(0.5), "a plan decides radii of a noise in a norm, .*; got 0.5"),
        (lambda: radii.sequential_top_k("0.5"), "a plan decides radii of a noise in a norm, .*; got '0.5'"),
        (lambda: RadiusTarget(radii.Gaussian(SIGMA), "l2", 0.5, SHAPE), "radii must be a list of numbers"),
        (
            lambda: RadiusTarget("gaussian", "l2", (0.5,), SHAPE),
            "noise must be a noise of radii, .*; got 'ga",
        ),
        (lambda: radii.two_stage(radii.Gaussian, "l2", shape=SHAPE), "noise must be a noise of radii"),
        (lambda: radii.exhaustive(0.5), "noise must be a noise of radii"),
        (lambda: certified_radius(0.5, "l2", np.array([0.9]), shape=SHAPE), "noise must be a noise of radii"),
        (lambda: radii.tradeoff(0.5, "l2", 0.5, SHAPE), "noise must be a noise of radii"),
        (lambda: radii.tradeoff(radii.Gaussian(SIGMA), "l2", "0.5", SHAPE), "radius must be a finite number"),
        (lambda: radii.Laplace("0.5"), "sigma must be a number from .*; got '0.5', a text"),
    ],
)
def test_natural_mistakes_end_in_a_sentence(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
