"""Plans for radii: what a sampling plan must show of a probability so that a radius follows, and what it will cost."""

from dataclasses import dataclass

import numpy as np

from radii.certificates import reachable_radius
from radii.designs import Anytime, Sequential, TopK, TwoStage
from radii.designs.paths import least_draws, most_failures
from radii.errors import InputError
from radii.intervals import check_k
from radii.noises import Noise
from radii.norms import Ball
from radii.radius import certified_radius, check_bounds, margin

USUAL_PRICE = 1.6e-6
"""In radii of the usual size (sigma, for Gaussian noise and l2) for each draw."""


@dataclass(frozen=True)
class Question:
    """Does the label of an image stay in the top `k` within each of `radii`, which rise, in `norm`, under `noise`?

    `shape` is that of one image; `unit` says what l0 counts, as in `radii.certified_radius`.
    """

    noise: Noise
    norm: str
    radii: tuple[float, ...]
    shape: tuple[int, ...]
    k: int = 1
    unit: str = "feature"

    def __post_init__(self) -> None:
        check_k(self.k)
        object.__setattr__(self, "shape", Ball(self.norm, self.shape, self.unit).shape)
        object.__setattr__(self, "radii", check_radii(self.radii, self.norm))

    def levels(self) -> tuple[float, ...]:
        """The label's probability from which on each radius is certified by it alone: `lower(level, r) > 1 / (k + 1)`.

        Guarantee: a probability, or a lower bound, at or above the level gives the radius
        (docs/math/certificates.md); the test was seen to hold at the level.
        """
        at = np.array(self.radii)
        low, high = np.full(len(at), 1 / (self.k + 1)), np.full(len(at), np.nextafter(1, 0))
        if not (certain := self.holds(high, None, at)).all():
            raise InputError(
                f"{self.noise.name} noise of sigma {self.noise.sigma:g} certifies no {self.norm} radius of "
                f"{at[~certain][0]:g}, however sure the label: ask for a smaller one"
            )
        for _ in range(60):
            middle = (low + high) / 2
            enough = self.holds(middle, None, at)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return tuple(high.tolist())

    def holds(self, lower: np.ndarray, rivals: np.ndarray | None, radius: np.ndarray) -> np.ndarray:
        """Where bounds on the label, `(n,)`, and its rivals, `(n, k)`, certify `radius`, `(n,)`."""
        lower, rivals = check_bounds(lower, rivals, self.k)
        family = self.noise.trade_offs(Ball(self.norm, self.shape, self.unit))
        return margin(family, lower, rivals, radius) > 0

    def farthest(self, n: int, alpha: float) -> float:
        """The largest radius that the label alone can get from `n` draws, when they are unanimous."""
        how = {"k": self.k, "alpha": alpha, "method": "label", "classes": self.k + 1}
        return reachable_radius(self.noise, self.norm, n, shape=self.shape, unit=self.unit, **how)  # type: ignore[arg-type]

    def reachable_levels(self, n: int, alpha: float) -> tuple[float, ...]:
        """The levels, if unanimous votes of `n` draws reach them all at `alpha`."""
        found = self.levels()
        if most_failures(found[-1], n, alpha) < 0:
            raise InputError(
                f"n_max = {n} draws certify {self.norm} radii up to {self.farthest(n, alpha):.6g}, not "
                f"{self.radii[-1]:g}: take at least {least_draws(found[-1], alpha)} draws, or ask for less"
            )
        return found


def check_radii(radii: object, norm: str) -> tuple[float, ...]:
    """Radii that rise; whole numbers for l0."""
    at = np.asarray(radii, dtype=np.float64)
    if at.ndim != 1 or not at.size or not (np.isfinite(at).all() and at[0] > 0 and (np.diff(at) > 0).all()):
        raise InputError(f"radii must be finite numbers above 0 that rise; got {radii!r}")
    if norm == "l0" and (at != np.rint(at)).any():
        raise InputError(f"l0 radii count changed units and must be whole numbers; got {radii!r}")
    return tuple(at.tolist())


def sequential(
    question: Question, *, alpha: float = 1e-3, n_max: int = 100_000, batch: int = 1
) -> Sequential:
    """The plan that answers `question` for each image from the votes of its label alone, with few draws.

    Guarantee: for each image, with probability at least `1 - alpha` over the draws, no radius is certified that the
    label's probability does not give; that there are several radii costs nothing.
    """
    return Sequential(question.reachable_levels(n_max, alpha), alpha=alpha, n_max=n_max, batch=batch)


def sequential_top_k(
    question: Question, *, alpha: float = 1e-3, n_max: int = 100_000, batch: int = 1
) -> TopK:
    """The plan that answers `question` with bounds on the rivals, too; what its looks say, says `judge`."""
    found = question.reachable_levels(n_max, alpha / 2)
    return TopK(found[0], k=question.k, alpha=alpha, n_max=n_max, batch=batch)


def judge(
    plan: TopK, question: Question, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What a look says: how many of the radii are certified for each image, `(images,)`, and which images are done.

    `counts`, `(images, classes)`, are those of all draws so far; `certified`, how many radii were certified before.

    Guarantee: for each image, with probability at least `1 - alpha` over the draws, no radius certified at any look is
    larger than the true one.
    """
    lower, rivals = plan.bounds(counts, label)
    passed = [question.holds(lower, rivals, np.full(len(lower), radius)) for radius in question.radii]
    # the bounds of all looks hold together, and a larger radius is certified with all smaller ones
    now = np.maximum(certified, np.logical_and.accumulate(passed).sum(axis=0))
    done = now == len(question.radii)
    wanted = np.array(question.radii)[np.where(done, 0, now)]
    hopeless = ~question.holds(*plan.hopes(counts, label), wanted)
    return now, done | hopeless | (np.sum(counts, axis=1) == plan.n_max)


def anytime(*, alpha: float = 1e-3, n_max: int = 100_000) -> Anytime:
    """The plan that may be stopped at any moment; it is at its best at `n_max` draws."""
    return Anytime(alpha=alpha, n_max=n_max)


def two_stage(
    noise: Noise,
    norm: str,
    *,
    shape: tuple[int, ...],
    unit: str = "feature",
    price: float | None = None,
    n_max: int = 100_000,
    alpha: float = 1e-3,
) -> TwoStage:
    """The plan for the radius itself; by default a draw must earn 1.6e-6 of a radius of the usual size."""
    if price is None:
        price = USUAL_PRICE * noise.trade_offs(Ball(norm, shape, unit)).start
    return TwoStage(price, n_max=n_max, alpha=alpha)


def fresh_draws(
    plan: TwoStage,
    noise: Noise,
    norm: str,
    failures: np.ndarray,
    *,
    shape: tuple[int, ...],
    k: int = 1,
    unit: str = "feature",
) -> np.ndarray:
    """How many fresh draws each image is worth, `(images,)`, from how often its label failed in the pilot."""

    def reach(lower: np.ndarray) -> np.ndarray:
        return certified_radius(noise, norm, lower, k=k, shape=shape, unit=unit)

    failures = np.asarray(failures)
    known = failures.dtype.kind in "iu" and bool(((failures >= 0) & (failures <= plan.pilot)).all())
    if not known:
        raise InputError(
            f"failures must be whole numbers from 0 to {plan.pilot}, the draws of the pilot; got {failures!r}"
        )
    return plan.fresh_draws(reach)[failures]
