"""The falsifier: tries to refute a rule with regions and perturbations on noise samples (docs/math/falsifier.md).

A rule claims that no region of probability p under the noise has probability above `upper(p, r)` after a perturbation
within r. One region and one perturbation, with enough noise samples, can refute it; nothing here can prove it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from radii.certificates.radius import certified_radius
from radii.errors import InputError
from radii.noises import GREY_LEVELS, Noise
from radii.noises.norms import ORDERS, Ball, Norm
from radii.noises.theory.bisection import bisect
from radii.votes.bounds import lower_bound, upper_bound

HALVINGS = 60
"""Most halvings of a bracket around the attack radius; its tolerance ends the search long before."""

LEVEL = 1e-9
"""Probability that a sound rule is refuted in any trial of one call."""

SHARES = (0.01, 0.05, 0.2, 0.5, 0.8)
"""Shares of the noise samples before the perturbation that regions hold."""

DIRECTIONS = 3
"""Random perturbations, besides those that are the worst for some noise."""

Score = Callable[[np.ndarray], np.ndarray]
"""Scores `(n,)` of noise samples `(n, *output_shape)`: a region holds those above a threshold."""


@dataclass(frozen=True)
class Trial:
    """A region and a perturbation.

    `before`: upper bound on the region's probability before the perturbation; `after`: lower bound on it afterwards;
    `allowed`: the most that the rule allows afterwards.
    """

    perturbation: str
    region: str
    before: float
    after: float
    allowed: float

    @property
    def refutes(self) -> bool:
        """Whether the rule is wrong, unless an event of probability below `LEVEL` happened."""
        return self.after > self.allowed


def falsify(
    noise: Noise,
    norm: Norm,
    radius: float,
    shape: tuple[int, ...],
    *,
    length: float | None = None,
    draws: int = 200_000,
    seed: int = 0,
) -> list[Trial]:
    """Return all trials against the rule of `noise` and `norm` at `radius`, the most dangerous first.

    Inputs of `shape` are perturbed by `length`, by default `radius`; in l0, both count features. A larger length shows
    whether a rule that claims too much would be caught. `draws`: noise samples before and after each perturbation.
    Regions are chosen on other samples than those that are counted.

    Guarantee: a sound rule is refuted in any trial with probability at most 1e-9.
    """
    length = radius if length is None else length
    ball = Ball(norm, shape, "feature")
    if not length >= radius > 0:
        raise InputError(
            f"radius must be above 0, and length not below it; got radius {radius:g} and length {length:g}"
        )
    family = noise.trade_offs(ball)
    pairs = list(perturbations(ball, length, seed, noise.of_bytes))
    image = pairs[0][1]  # all perturbations are of one image
    chosen, counted = (noise_samples(noise, image, draws, seed, part) for part in (0, 1))
    # the number of regions must be known before any trial: noise with another output shape has one instead of three
    kinds = len(regions(noise, image, image))
    # two bounds in each trial, by the union bound
    level = LEVEL / (2 * len(pairs) * kinds * len(SHARES))
    trials = []
    for number, (name, image, perturbed) in enumerate(pairs):
        shifted = noise_samples(noise, perturbed, draws, seed, 2 + number)
        for region, score in regions(noise, image, perturbed).items():
            # thresholds from samples of their own: bounds on regions chosen by the counted samples would be too narrow
            cuts = np.quantile(score(chosen), 1 - np.array(SHARES))
            p, q = ((score(samples)[:, None] > cuts).sum(axis=0) for samples in (counted, shifted))
            before, after = upper_bound(p, draws, level), lower_bound(q, draws, level)
            allowed = family.upper(before, np.full(len(cuts), float(radius)))
            trials += [
                Trial(name, region, *map(float, row)) for row in zip(before, after, allowed, strict=True)
            ]
    return sorted(trials, key=lambda trial: trial.allowed - trial.after)


def attack_radius(
    noise: Noise, norm: Norm, p: float, shape: tuple[int, ...], *, draws: int = 100_000, seed: int = 0
) -> float:
    """Return the least radius at which an attack brings a region of probability `p` down to one half.

    The attack tries the perturbations of `perturbations` with the regions of the likelihood ratio, which are the best
    for each. The radius is an estimate from noise samples, right to about 1 % with 100,000 of them; infinite if no
    attack succeeds within ten certified radii.
    """
    ball = Ball(norm, shape, "feature")
    certified = float(certified_radius(noise, norm, np.array([p]), shape=shape, unit="feature")[0])
    pairs = list(perturbations(ball, 1.0, seed, noise.of_bytes))
    # all perturbations are of one image
    before = noise_samples(noise, pairs[0][1], draws, seed, 0)

    def falls(radius: float, number: int) -> bool:
        _, image, perturbed = list(perturbations(ball, radius, seed, noise.of_bytes))[number]
        after = noise_samples(noise, perturbed, draws, seed, 1)
        score = regions(noise, image, perturbed)["likelihood ratio"]
        return bool(np.mean(score(after) <= np.quantile(score(before), p)) <= 0.5)

    best = np.inf
    for number in range(len(pairs)):
        # a little below the certified radius: sampling error, some 1 %, may bring the estimate there; up to the best
        # radius so far, so that a perturbation that cannot beat it costs one test
        low, high = 0.9 * certified, min(10 * certified, best)
        if not (certified and falls(high, number)):
            continue
        stays = partial(lambda radius, number: np.array(not falls(float(radius), number)), number=number)
        # 0.2 % is well below the sampling error
        best = min(best, float(bisect(stays, low, high, HALVINGS, rtol=0.002)[1]))
    return best


def perturbations(
    ball: Ball, length: float, seed: int, of_bytes: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield perturbations of an image to the boundary of the ball, as `(name, image, perturbed)`.

    They raise 1, 2, 4, ... features equally, and all features by random amounts, from an image of zeros. Bytes are
    rounded down to whole grey levels.
    """
    d, rng = ball.features, np.random.default_rng(seed)
    if ball.norm == "l0":
        step = np.zeros(d)
        step[: int(length)] = 1
        yield f"{int(length)} features", np.zeros(ball.shape), step.reshape(ball.shape)
        return
    # equal changes are the worst known for most rules: of one feature in l1, of all in linf, of few or many in l2
    counts = {min(2**power, d) for power in range(d.bit_length() + 1)}
    if of_bytes and ball.norm == "l2":
        # whole grey levels: one level on each of as many features as the length allows
        counts.add(int(np.clip(round((length * GREY_LEVELS) ** 2), 1, d)))
    directions = {
        f"{count} feature{'s' * (count > 1)} alike": (np.arange(d) < count).astype(float)
        for count in sorted(counts)
    }
    directions |= {
        f"random direction {number + 1}": np.abs(rng.normal(size=d)) for number in range(DIRECTIONS)
    }
    for name, direction in directions.items():
        step = length * direction / np.linalg.norm(direction, ORDERS[ball.norm])
        if of_bytes:
            # rounding down keeps the perturbation within the ball; 1e-9 of a level is the rounding of a whole one
            step = np.floor(np.minimum(step, 1) * GREY_LEVELS + 1e-9) / GREY_LEVELS
        yield name, np.zeros(ball.shape), step.reshape(ball.shape)


def regions(noise: Noise, image: np.ndarray, perturbed: np.ndarray) -> dict[str, Score]:
    """Return scores of noise samples, by name: the likelihood ratio, which no region beats, and two without density."""
    flat = (perturbed - image).ravel()
    # all weights differ and none is near 0, so that every feature breaks ties
    weights = np.random.default_rng(0).uniform(0.5, 1, np.prod(noise.output_shape(image.shape), dtype=int))

    def likelihood_ratio(samples: np.ndarray) -> np.ndarray:
        # minus infinity minus itself, where both images exclude a sample, is NaN
        with np.errstate(invalid="ignore"):
            ratio = noise.log_likelihood(samples, perturbed) - noise.log_likelihood(samples, image)
        # on a set where the ratio is constant any part will do: a sum over all features makes parts of any size
        tie_breaker = samples.reshape(len(samples), -1) @ weights
        return np.nan_to_num(ratio, nan=0, posinf=1e9, neginf=-1e9) + 1e-7 * tie_breaker

    scores: dict[str, Score] = {"likelihood ratio": likelihood_ratio}
    if noise.output_shape(image.shape) == image.shape:
        scores["half-space"] = lambda samples: (samples - image).reshape(len(samples), -1) @ flat
        scores["box"] = lambda samples: np.abs(samples - image).reshape(len(samples), -1).max(axis=1)
    return scores


def noise_samples(noise: Noise, image: np.ndarray, draws: int, seed: int, part: int) -> np.ndarray:
    """Return independent noise samples of one image, `(draws, *output_shape)`, different ones for each part."""
    # a seed sequence of both numbers: seed + part would give seed 1 the samples of seed 0
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, part])))
    return noise.perturb(np.repeat(image[None].astype(np.float32), draws, axis=0), Uncounted(rng))


@dataclass(frozen=True)
class Uncounted:
    """A stream of random numbers without a counter for each sample, which is faster where inputs are small."""

    rng: np.random.Generator

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.standard_normal(shape, dtype=np.float32)

    def exponential(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.standard_exponential(shape, dtype=np.float32)

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.random(shape, dtype=np.float32)
