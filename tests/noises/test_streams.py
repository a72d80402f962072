"""Counted randomness: the same where it must be, different everywhere else, and of the right law."""

import numpy as np
import pytest
import scipy.stats

from radii.errors import InputError
from radii.noises import NOISES, ProductNoise, example_name, make_noise
from radii.noises.streams import PURPOSES, Stream

INDEPENDENT = [example_name(kind) for kind in NOISES.values() if issubclass(kind, ProductNoise)]

SHAPE = (3, 8, 8)
KINDS = ("normal", "exponential", "uniform")


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_is_the_same_whatever_came_before_or_beside_it(kind):
    stream = Stream(5)
    first = getattr(stream.at([2, 7], [3, 1]), kind)((2, *SHAPE))
    stream.at([9], [9]).normal((1, 7))  # an odd number of 32-bit words leaves half a word behind
    np.testing.assert_array_equal(getattr(stream.at([7], [1]), kind)((1, *SHAPE)), first[1:])
    np.testing.assert_array_equal(getattr(Stream(5).at([7, 2], [1, 3]), kind)((2, *SHAPE)), first[::-1])
    assert first.dtype == np.float32 and first.shape == (2, *SHAPE)


@pytest.mark.parametrize("kind", KINDS)
def test_any_other_array_draw_image_purpose_or_seed_differs(kind):
    pairs = [(image, draw) for image in (0, 1, 2, 2**40) for draw in (0, 1, 2, 2**40)]
    rows = []
    for seed in (0, 1, 2**64 - 1):
        for purpose in PURPOSES:
            stream = Stream(seed, purpose).at(*zip(*pairs, strict=True))
            rows += [*getattr(stream, kind)((len(pairs), 64)), *getattr(stream, kind)((len(pairs), 64))]
    assert len({row.tobytes() for row in rows}) == len(rows)
    assert abs(np.corrcoef(np.array(rows))[~np.eye(len(rows), dtype=bool)]).max() < 0.65


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1", True, None])
def test_seeds_that_are_not_whole_numbers_of_64_bits(seed):
    with pytest.raises(InputError, match="seed"):
        Stream(seed)


def test_unknown_purpose():
    with pytest.raises(InputError, match="did you mean 'bound'"):
        Stream(0, "bounds")


LAWS = {
    "laplace": lambda noise: scipy.stats.laplace(scale=noise.scale),
    "gaussian": lambda noise: scipy.stats.norm(scale=noise.scale),
    "uniform": lambda noise: scipy.stats.uniform(-noise.scale, 2 * noise.scale),
    "generalized-normal:exponent=4": lambda noise: scipy.stats.gennorm(4, scale=noise.scale),
}


def sample(name: str, sigma: float = 0.5) -> np.ndarray:
    """Noise gathered across many draws, so that a link between neighbouring draws shows too."""
    noise, stream = make_noise(name, sigma), Stream(11)
    images, draws = np.repeat(range(4), 250).tolist(), list(range(250)) * 4
    return noise.draw(stream.at(images, draws), (1000, 48))


@pytest.mark.parametrize("name", INDEPENDENT)
def test_noise_has_its_law(name):
    draws, noise = sample(name), make_noise(name, 0.5)
    assert scipy.stats.kstest(draws.ravel().astype(float), LAWS[name](noise).cdf).pvalue > 1e-3
    assert abs(draws.std() - 0.5) < 0.01
    assert abs(np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("factor", [1 / 1.1, 1.1])
@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_wrong_scale_would_be_noticed(name, factor):
    draws, noise = sample(name), make_noise(name, 0.5 * factor)
    assert scipy.stats.kstest(draws.ravel().astype(float), LAWS[name](noise).cdf).pvalue < 1e-6


@pytest.mark.parametrize(
    "first,second,seed,expected",
    [
        (("gaussian", 0.25), ("gaussian", 0.5), 0, 1.0),
        (("gaussian", 0.25), ("laplace", 0.5), 0, -0.4),
        (("laplace", 0.5), ("uniform", 0.5), 0, 0.4),
        (("gaussian", 0.25), ("gaussian", 0.5), 1, 0.0),
        (("laplace", 0.5), ("uniform", 0.5), 1, 0.0),
    ],
)
def test_runs_of_one_seed_share_random_numbers(first, second, seed, expected):
    """Correlations of the first feature, as docs/guarantees.md tells them; another seed takes them away."""
    images = np.full((20_000, 1, 1, 1), 0.5, dtype=np.float32)
    noisy = [
        make_noise(*noise).perturb(images, Stream(key).at([0] * len(images), range(len(images)))).ravel()
        for noise, key in ((first, 0), (second, seed))
    ]
    assert abs(np.corrcoef(noisy)[0, 1] - expected) < 0.03
