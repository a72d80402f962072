"""The falsifier: tries to beat a rule with regions and moves on real draws (docs/math/falsifier.md).

A rule says: no region of probability p under the noise has more than `upper(p, r)` after a move within r. Whoever finds
a region and a move, and draws enough, can show that it is wrong; never that it is right.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from radii.certificates.radius import certified_radius
from radii.errors import InputError
from radii.noises import GREY_LEVELS, Noise
from radii.noises.norms import ORDERS, Ball
from radii.noises.theory.bisection import bisect
from radii.votes.bounds import lower_bound, upper_bound

HALVINGS = 60
"""Of a bracket around the radius at which a move succeeds, at most."""

LEVEL = 1e-9
"""Probability that a sound rule is called wrong, over all that is tried in one call."""

SHARES = (0.01, 0.05, 0.2, 0.5, 0.8)
"""Of the draws that lie in a region before the move."""

DIRECTIONS = 3
"""Random ones, besides the moves that are the worst known."""

Score = Callable[[np.ndarray], np.ndarray]
"""Of copies `(n, *seen)`: the higher, the more likely to be in a region, `(n,)`."""


@dataclass(frozen=True)
class Trial:
    """A region and a move: its probability before, at most, and after, at least; and what the rule allows after."""

    move: str
    region: str
    before: float
    after: float
    allowed: float

    @property
    def beaten(self) -> bool:
        """Whether the rule is wrong, unless what happened has a probability below `LEVEL`."""
        return self.after > self.allowed


def falsify(
    noise: Noise,
    norm: str,
    radius: float,
    shape: tuple[int, ...],
    *,
    move_by: float | None = None,
    draws: int = 200_000,
    seed: int = 0,
) -> list[Trial]:
    """All trials against what the rule of `noise` and `norm` says of `radius`, most dangerous first.

    Inputs of `shape` are moved by `move_by`, by default `radius`: by more, to see whether a rule that claims too much
    would be caught. Regions are chosen on other draws than those that are counted.

    Guarantee: a sound rule is beaten in any trial with probability at most 1e-9.
    """
    far = radius if move_by is None else move_by
    ball = Ball(norm, shape)
    if not far >= radius > 0:
        raise InputError(f"radius must be above 0, and moves not below it; got {radius:g} and {far:g}")
    family = noise.trade_offs(ball)
    pairs = list(moves(ball, far, seed, noise.of_bytes))
    image = pairs[0][1]
    chosen, counted = (copies_of(noise, image, draws, seed, part) for part in (0, 1))
    kinds = len(regions(noise, image, image))
    level = LEVEL / (2 * len(pairs) * kinds * len(SHARES))
    trials = []
    for number, (name, image, moved) in enumerate(pairs):
        after = copies_of(noise, moved, draws, seed, 2 + number)
        for region, score in regions(noise, image, moved).items():
            cuts = np.quantile(score(chosen), 1 - np.array(SHARES))
            p, q = ((score(copies)[:, None] > cuts).sum(axis=0) for copies in (counted, after))
            p_upper, q_lower = upper_bound(p, draws, level), lower_bound(q, draws, level)
            allowed = family.upper(p_upper, np.full(len(cuts), float(radius)))
            trials += [
                Trial(name, region, *map(float, row)) for row in zip(p_upper, q_lower, allowed, strict=True)
            ]
    return sorted(trials, key=lambda trial: trial.allowed - trial.after)


def moves(
    ball: Ball, radius: float, seed: int, of_bytes: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Moves to the edge of the ball, `(name, image, moved)`: along 1, 2, 4, ... features alike, and at random.

    They go up from an image of zeros; of bytes, they are cut down to whole grey levels.
    """
    d, rng = ball.features, np.random.default_rng(seed)
    if ball.norm == "l0":
        step = np.zeros(d)
        step[: int(radius)] = 1
        yield f"{int(radius)} features", np.zeros(ball.shape), step.reshape(ball.shape)
        return
    counts = sorted({min(2**power, d) for power in range(d.bit_length() + 1)})
    directions = {
        f"{count} feature{'s' * (count > 1)} alike": (np.arange(d) < count).astype(float) for count in counts
    }
    directions |= {
        f"random direction {number + 1}": np.abs(rng.normal(size=d)) for number in range(DIRECTIONS)
    }
    for name, direction in directions.items():
        step = radius * direction / np.linalg.norm(direction, ORDERS[ball.norm])
        if of_bytes:
            # rounding down keeps the move within the ball
            step = np.floor(np.minimum(step, 1) * GREY_LEVELS + 1e-9) / GREY_LEVELS
        yield name, np.zeros(ball.shape), step.reshape(ball.shape)


def copies_of(noise: Noise, image: np.ndarray, draws: int, seed: int, part: int) -> np.ndarray:
    """Independent noisy copies of one image, `(draws, *seen)`; other ones for each part."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, part])))
    return noise.perturb(np.repeat(image[None].astype(np.float32), draws, axis=0), Fresh(rng))


@dataclass(frozen=True)
class Fresh:
    """A source of random numbers that are not counted: faster where inputs are small."""

    rng: np.random.Generator

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.standard_normal(shape, dtype=np.float32)

    def exponential(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.standard_exponential(shape, dtype=np.float32)

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.random(shape, dtype=np.float32)


def regions(noise: Noise, image: np.ndarray, moved: np.ndarray) -> dict[str, Score]:
    """Ways to score copies: by the likelihood ratio, which no region beats, and by shapes that need no density."""
    flat = (moved - image).ravel()
    across = np.random.default_rng(0).uniform(0.5, 1, np.prod(noise.output_shape(image.shape), dtype=int))

    def likelihood_ratio(copies: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            ratio = noise.log_likelihood(copies, moved) - noise.log_likelihood(copies, image)
        # where it is level any part will do; one that looks at all features can be of any size
        level = copies.reshape(len(copies), -1) @ across
        return np.nan_to_num(ratio, nan=0, posinf=1e9, neginf=-1e9) + 1e-7 * level

    found: dict[str, Score] = {"likelihood ratio": likelihood_ratio}
    if noise.output_shape(image.shape) == image.shape:
        found["half-space"] = lambda copies: (copies - image).reshape(len(copies), -1) @ flat
        found["box"] = lambda copies: np.abs(copies - image).reshape(len(copies), -1).max(axis=1)
    return found


def attack_radius(
    noise: Noise, norm: str, p: float, shape: tuple[int, ...], *, draws: int = 100_000, seed: int = 0
) -> float:
    """The least radius at which a move and a region of probability `p` were found that falls to one half.

    Over the moves of `moves` and the regions of the likelihood ratio, which are the best for each. An estimate, from
    draws: with 100,000 of them right to about 1 %. Infinite where nothing is found within ten certified radii.
    """
    ball = Ball(norm, shape)
    certified = float(certified_radius(noise, norm, np.array([p]), shape=shape)[0])
    pairs = list(moves(ball, 1.0, seed, noise.of_bytes))
    # all moves begin at the same image
    before = copies_of(noise, pairs[0][1], draws, seed, 0)

    def falls(radius: float, number: int) -> bool:
        _, image, moved = list(moves(ball, radius, seed, noise.of_bytes))[number]
        after = copies_of(noise, moved, draws, seed, 1)
        score = regions(noise, image, moved)["likelihood ratio"]
        return bool(np.mean(score(after) <= np.quantile(score(before), p)) <= 0.5)

    found = np.inf
    for number in range(len(pairs)):
        low, high = 0.9 * certified, min(10 * certified, found)
        if not (certified and falls(high, number)):
            continue
        stays = partial(lambda radius, number: np.array(not falls(float(radius), number)), number=number)
        found = min(found, float(bisect(stays, low, high, HALVINGS, rtol=0.002)[1]))
    return found
