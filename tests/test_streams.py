"""Counted randomness: the same where it must be, different everywhere else, and of the right law."""

import numpy as np
import pytest
import scipy.stats

from radii.errors import InputError
from radii.noises import NOISES
from radii.streams import PURPOSES, Stream

SHAPE = (3, 8, 8)
KINDS = ("normal", "exponential", "uniform")


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_is_the_same_whatever_came_before(kind):
    stream = Stream(5)
    first = getattr(stream.at(2, 3), kind)(SHAPE)
    stream.at(9, 9).normal((7,))  # an odd number of 32-bit words leaves half a word behind
    np.testing.assert_array_equal(getattr(stream.at(2, 3), kind)(SHAPE), first)
    np.testing.assert_array_equal(getattr(Stream(5).at(2, 3), kind)(SHAPE), first)
    assert first.dtype == np.float32 and first.shape == SHAPE


@pytest.mark.parametrize("kind", KINDS)
def test_any_other_draw_image_purpose_or_seed_differs(kind):
    starts = [
        Stream(seed, purpose).at(image, draw)
        for seed in (0, 1, 2**64 - 1)
        for purpose in PURPOSES
        for image in (0, 1, 2**40)
        for draw in (0, 1, 2, 2**40)
    ]
    rows = [getattr(stream, kind)((32,)) for stream in starts]
    seen = {row.tobytes() for row in rows}
    assert len(seen) == len(rows)
    assert abs(np.corrcoef(np.array(rows))[~np.eye(len(rows), dtype=bool)]).max() < 0.85


def test_image_and_draw_are_not_interchangeable():
    assert not np.array_equal(Stream(0).at(1, 2).uniform((8,)), Stream(0).at(2, 1).uniform((8,)))


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
}


def sample(name: str, sigma: float = 0.5) -> np.ndarray:
    """Noise gathered across many draws, so that a link between neighbouring draws shows too."""
    noise, stream = NOISES[name](sigma), Stream(11)
    return np.stack([noise.draw(stream.at(image, draw), (48,)) for image in range(4) for draw in range(250)])


@pytest.mark.parametrize("name", NOISES)
def test_noise_has_its_law(name):
    draws, noise = sample(name), NOISES[name](0.5)
    assert scipy.stats.kstest(draws.ravel().astype(float), LAWS[name](noise).cdf).pvalue > 1e-3
    assert abs(draws.std() - 0.5) < 0.01
    assert abs(np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("factor", [1 / 1.1, 1.1])
@pytest.mark.parametrize("name", NOISES)
def test_a_wrong_scale_would_be_noticed(name, factor):
    draws, noise = sample(name), NOISES[name](0.5 * factor)
    assert scipy.stats.kstest(draws.ravel().astype(float), LAWS[name](noise).cdf).pvalue < 1e-6
