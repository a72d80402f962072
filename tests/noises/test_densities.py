"""The generalized normal law against 40 digits, its closed cases, and the law that is drawn."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
from scipy.special import gammainccinv, gammaincinv, ndtr

from radii.noises.lattice import BITS, RELATIVE
from radii.noises.theory.densities import FARTHEST, GeneralizedNormalDensity, log_half_width

EXPONENTS = [1.0, 1.07, 1.3, 1.5, 1.93, 2.0, 2.5, 3.0, 4.0, 7.5, 16.0, 64.0]
density = pytest.mark.parametrize(
    "law", [GeneralizedNormalDensity(q) for q in EXPONENTS], ids=lambda law: f"{law.exponent:g}"
)


def exact_tail(law: GeneralizedNormalDensity, y: float) -> mpmath.mpf:
    shape, power = 1 / mpmath.mpf(law.exponent), mpmath.mpf(y) ** mpmath.mpf(law.exponent)
    if power < 1:
        return 1 - mpmath.gammainc(shape, 0, power, regularized=True)
    return mpmath.gammainc(shape, power, mpmath.inf, regularized=True)


@density
def test_quantiles_are_as_good_as_exact_arithmetic_needs(law: GeneralizedNormalDensity) -> None:
    with mpmath.workdps(40):
        whole = np.random.default_rng(0).integers(0, 2**BITS, 40)
        ends = np.concatenate([2.0 ** np.arange(0, BITS, 6), 2**BITS - 2.0 ** np.arange(0, BITS, 6), [0.0]])
        worst = 0.0
        for k in [*whole.tolist(), *ends.astype(int).tolist()]:
            tail = (k + 0.5) * 2.0**-BITS
            y = float(law.tail_quantile(np.array(tail)))
            # the error in y is the error in its tail over the density, to first order
            slope = mpmath.exp(-(mpmath.mpf(y) ** mpmath.mpf(law.exponent))) / mpmath.gamma(
                1 + 1 / mpmath.mpf(law.exponent)
            )
            worst = max(worst, float(abs(exact_tail(law, y) - mpmath.mpf(tail)) / slope / y))
        assert 0 < worst <= RELATIVE


@density
def test_tails_are_correct_to_the_last_digits(law: GeneralizedNormalDensity) -> None:
    with mpmath.workdps(40):
        for y in [1e-9, 1e-4, 0.01, *np.linspace(0.05, float(law.tail_quantile(np.array(1e-20))), 12)]:
            assert float(law.tail(np.array(y))) == pytest.approx(float(exact_tail(law, y)), rel=2.0**-45)


@density
def test_moments_and_information_are_those_of_the_density(law: GeneralizedNormalDensity) -> None:
    x = np.linspace(0, 45 ** (1 / law.exponent), 400_001)
    weight = np.exp(-(x**law.exponent)) / law.width

    def mean(values: np.ndarray) -> float:
        return float(np.trapezoid(values * weight, x))

    assert mean(np.ones_like(x)) == pytest.approx(1, rel=1e-7)
    assert mean(x) == pytest.approx(law.mean_magnitude, rel=1e-7)
    assert mean(x**2) == pytest.approx(law.sigma**2, rel=1e-7)
    # near exponent 1 the score bends sharply at 0
    assert mean(law.score(x) ** 2) == pytest.approx(law.information, rel=2e-4)


def test_closed_cases() -> None:
    x = np.linspace(-6, 6, 101)
    laplace, normal = GeneralizedNormalDensity(1.0), GeneralizedNormalDensity(2.0)
    np.testing.assert_allclose(laplace.cdf(x), scipy.stats.laplace().cdf(x), rtol=1e-13)
    np.testing.assert_allclose(normal.cdf(x), scipy.stats.norm(scale=math.sqrt(0.5)).cdf(x), rtol=1e-13)
    assert (laplace.information, normal.information) == (pytest.approx(1), pytest.approx(2))
    assert (laplace.sigma, normal.sigma) == (pytest.approx(math.sqrt(2)), pytest.approx(math.sqrt(0.5)))


@density
def test_quantile_and_cdf_are_inverse_and_odd(law: GeneralizedNormalDensity) -> None:
    p = np.concatenate([[1e-300, 1e-15], np.linspace(0.01, 0.99, 99), 1 - 10.0 ** -np.arange(3, 16)])
    np.testing.assert_allclose(law.cdf(law.quantile(p)), p, rtol=1e-10)
    assert law.quantile(np.array([0.0, 0.5, 1.0])).tolist() == [-np.inf, 0, np.inf]


@density
@pytest.mark.parametrize("move", [1e-6, 0.01, 0.7, 3.0])
def test_loss_keeps_its_digits(law: GeneralizedNormalDensity, move: float) -> None:
    u = np.concatenate([[0, 1e-12, move / 2, move / 2 * (1 + 1e-9)], np.linspace(0, 2 + move, 40)])
    found = law.loss(u, move)
    assert np.all(np.diff(law.loss(np.sort(u), move)) >= -1e-15 * move)
    with mpmath.workdps(40):
        q, t = mpmath.mpf(law.exponent), mpmath.mpf(move)
        exact = [abs(mpmath.mpf(x) + t / 2) ** q - abs(mpmath.mpf(x) - t / 2) ** q for x in u.tolist()]
        for ours, true in zip(found.tolist(), exact, strict=True):
            assert ours == pytest.approx(float(true), rel=1e-12, abs=1e-15 * move)


# drawing ------------------------------------------------------------------------------------------


@density
def test_the_law_drawn_is_within_2e_9(law: GeneralizedNormalDensity) -> None:
    # uniform on [-w, w] and on [-v, v] differ by at most |log w - log v| in total variation
    z = np.linspace(-FARTHEST, FARTHEST, 20_001)
    shape = 1 + 1 / law.exponent
    power = np.where(z < 0, gammaincinv(shape, ndtr(z)), gammainccinv(shape, ndtr(-z)))
    error = np.polyval(log_half_width(law.exponent), z / FARTHEST) - np.log(power) / law.exponent
    average = np.trapezoid(np.abs(error) * np.exp(-(z**2) / 2), z) / math.sqrt(2 * math.pi)
    assert 0 < average + 2 * ndtr(-FARTHEST) < 2e-9


@density
def test_uniform_noise_of_random_half_width_is_the_law(law: GeneralizedNormalDensity) -> None:
    # the mixture computed by quadrature, with nothing of the polynomial: P(|X| > y) = E (1 - y / w)_+
    shape = 1 + 1 / law.exponent
    u = (np.arange(50_000) + 0.5) / 50_000
    half_width = gammaincinv(shape, u) ** (1 / law.exponent)
    for y in (0.1, 0.5, 0.9, 1.3):
        mixture = np.maximum(1 - y / half_width, 0).mean()
        assert mixture == pytest.approx(float(law.tail(np.array(y))), abs=1e-5)
