"""Plans for radii: the probabilities that radii require, and the sampling plans that test them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from radii.certificates.certify import check_reach, reachable_radius
from radii.certificates.probability_bounds import NoiseRules
from radii.errors import InputError, check_name
from radii.noises import Noise
from radii.noises.base import check_noise
from radii.noises.norms import Ball, Norm, Unit
from radii.noises.theory.bisection import bisect
from radii.votes.bounds import check_k
from radii.votes.plans import PLANS, Anytime, Decision, Exhaustive, Fixed, Plan, Sequential, TopK, TwoStage
from radii.votes.plans.boundaries import check_radii
from radii.votes.plans.failure_counts import MOST_SAMPLES, least_samples, most_failures
from radii.votes.plans.fixed import check_whole

DIGITS = 20
"""Binary digits of `1 - level` in a plan. So many that rounding costs no samples; so few that processors, which differ
in the last digits of a search, find the same level."""

USUAL_PRICE = 1.6e-6
"""Default price per sample, in radii of the usual size (sigma, for Gaussian noise and l2)."""
# On the images of docs/benchmarks.md it takes 3.5 times fewer samples than 100,000 each, and the mean radius stays
# 0.9 % above that from the label's votes alone. At 2.4e-6 that gain is gone (0.1 %), at 4e-6 radii are 1.7 % smaller.


@dataclass(frozen=True)
class RadiusTarget:
    """Radii to decide for an image: does its label stay in the top `k` within each of them?

    Parameters
    ----------
    noise
        Noise of the smoothed classifier.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    radii : `(radii,)`, rising, in image units or whole changed units for l0
        Radii to decide.
    shape : channels, height, width
        Shape of one image.
    k
        Number of top classes within which the label must stay.
    unit : "feature" or "pixel"
        Unit that l0 counts, as in `radii.certify`.
    exact_arithmetic
        Account for noise drawn on a lattice, as `radii.Smoothed` does on request.

    Raises
    ------
    InputError
        If the radii do not rise, or count parts of units in l0.

    Examples
    --------
    >>> import radii
    >>> target = radii.RadiusTarget(radii.Gaussian(sigma=0.25), "l2", (0.25, 0.5), shape=(3, 32, 32))
    >>> [round(level, 3) for level in target.levels()]
    [0.841, 0.977]
    """

    noise: Noise
    norm: Norm
    radii: tuple[float, ...]
    shape: tuple[int, ...]
    k: int = 1
    unit: Unit = "pixel"
    exact_arithmetic: bool = False

    def __post_init__(self) -> None:
        check_noise(self.noise)
        check_k(self.k)
        ball = Ball(self.norm, self.shape, self.unit)
        object.__setattr__(self, "shape", ball.shape)
        object.__setattr__(self, "unit", ball.unit)
        object.__setattr__(self, "radii", check_units(check_radii(self.radii), self.norm))

    def levels(self) -> tuple[float, ...]:
        """Compute the probability of the label from which on it alone certifies each radius.

        That is the least `level` with `lower(level, r) > 1 / (k + 1)`.

        Returns
        -------
        `(radii,)`
            Probabilities, rising.

        Raises
        ------
        InputError
            If no probability certifies one of the radii.

        Notes
        -----
        Guarantee: a lower bound at or above the level gives the radius by `certified_radius`, which was
        evaluated there (docs/math/certificates.md).
        """
        radii = np.array(self.radii)
        low, high = np.full(len(radii), 1 / (self.k + 1)), np.full(len(radii), np.nextafter(1, 0))
        if not (possible := self.reach(high) >= radii).all():
            raise InputError(
                f"{self.noise.name} noise of {self.noise.level_words} certifies no {self.norm} radius of "
                f"{radii[~possible][0]:g}, however probable the label: choose a smaller one"
            )
        # 60 halvings of a bracket below 1 end below the spacing of floats at levels from 1/256 on
        _, high = bisect(lambda level: ~self.holds(level, None, radii), low, high, 60)
        # the search for a radius ends a little below the one at which the test fails: raise levels until it returns
        # the radius itself, or an image that reaches the level would count as uncertified at the radius
        # (3e-14 at most under the eight rules tried; none in four of them)
        step = 2.0**-50
        while (short := self.reach(high) < radii).any():
            high = np.where(short, np.minimum(high + step, np.nextafter(1, 0)), high)
            step *= 2
        return tuple(high.tolist())

    def reach(self, lower: np.ndarray) -> np.ndarray:
        """Compute the radius that a lower bound on the label alone gives, `(n,)` to `(n,)`."""
        return self._rules.radius(self.norm, self.unit, self.k, self._rules.to_ideal(lower, None)[0])

    def holds(self, lower: np.ndarray, rivals: np.ndarray | None, radius: np.ndarray) -> np.ndarray:
        """Return where bounds on the label, `(n,)`, and its rivals, `(n, k)`, certify `radius`, `(n,)`."""
        return self._rules.holds(self.norm, self.unit, self.k, lower, rivals, radius)

    @property
    def _rules(self) -> NoiseRules:
        return NoiseRules(self.noise, self.shape, self.exact_arithmetic)

    def farthest(self, n: int, alpha: float) -> float:
        """Compute the largest radius that the label alone can get from `n` unanimous noise samples."""
        return reachable_radius(
            self.noise,
            self.norm,
            n,
            k=self.k,
            alpha=alpha,
            method="binary",
            classes=self.k + 1,
            shape=self.shape,
            unit=self.unit,
        )

    def reachable_levels(self, n: int, alpha: float) -> tuple[float, ...]:
        """Return the levels, rounded up to `DIGITS`, if `n` unanimous samples reach them all at `alpha`."""
        check_whole("n_max", n, 1, MOST_SAMPLES)
        levels = rounded_up(self.levels())
        # the highest level is the hardest to reach
        if most_failures(levels[-1], n, alpha) < 0:
            raise InputError(
                f"n_max = {n} samples certify {self.norm} radii up to {self.farthest(n, alpha):.6g}, not "
                f"{self.radii[-1]:g}: take at least {least_samples(levels[-1], alpha)} samples, or a smaller radius"
            )
        return levels


def rounded_up(levels: Sequence[float]) -> tuple[float, ...]:
    """Return levels below 1, each raised to the next whose distance from 1 has `DIGITS` binary digits.

    A higher level is harder to reach, so radii stay certified.
    """
    # digits of 1 - level, not of the level: the samples that a level takes go with its distance from 1
    digits, exponent = np.frexp(1 - np.asarray(levels))
    return tuple((1 - np.ldexp(np.floor(np.ldexp(digits, DIGITS)), exponent - DIGITS)).tolist())


def check_units(radii: tuple[float, ...], norm: Norm) -> tuple[float, ...]:
    """Return the radii; raise `InputError` for parts of units in l0, where units are counted."""
    if norm == "l0" and any(radius != round(radius) for radius in radii):
        raise InputError(f"l0 radii count changed units and must be whole numbers; got {radii!r}")
    return radii


def check_target(target: object) -> None:
    """Raise `InputError` unless `target` is a `RadiusTarget`."""
    if not isinstance(target, RadiusTarget):
        raise InputError(
            "a plan decides radii of a noise in a norm, for example radii.RadiusTarget(radii.Gaussian(sigma=0.25), "
            f"'l2', (0.5,), shape=(3, 32, 32)); got {target!r}"
        )


def sequential(
    *targets: RadiusTarget, alpha: float = 1e-3, n_max: int = 100_000, batch: int = 1, selection: int = 0
) -> Sequential:
    """Return the plan that decides all `targets` per image from few votes of its label alone.

    Parameters
    ----------
    *targets : RadiusTarget
        Radii to decide, of one noise; several of them cost no error probability.
    alpha : probability
        Error probability per image.
    n_max : noise samples
        Most per image.
    batch : noise samples
        Looks are at multiples of this, except the last.
    selection : noise samples
        Separate samples, at most, that choose the label; 0 takes the true one.

    Returns
    -------
    Sequential
        The plan, with the decisions that its levels stand for.

    Raises
    ------
    InputError
        If there is no target, or `n_max` samples cannot certify one of its radii.

    Notes
    -----
    Guarantee: for each image, with probability at least `1 - alpha` over the noise samples, no radius is
    certified that the label's probability does not give, for all radii, norms and k of the targets at
    once.

    Examples
    --------
    >>> import radii
    >>> target = radii.RadiusTarget(radii.Gaussian(sigma=0.25), "l2", (0.25, 0.5), shape=(3, 32, 32))
    >>> plan = radii.sequential(target, n_max=10_000)
    >>> round(plan.operating_characteristics(0.99).mean_samples)  # mean samples for a label of probability 0.99
    1994

    A classifier of one feature, which predicts 1 above 0.5, and an image that lies 0.3 above:

    >>> import numpy as np, torch
    >>> model = lambda x: torch.cat([0.5 - x.flatten(1), x.flatten(1) - 0.5], dim=1)
    >>> smoothed = radii.Smoothed(model, radii.Gaussian(sigma=0.25))
    >>> image, label = np.full((1, 1, 1, 1), 0.8, dtype=np.float32), np.array([1])
    >>> target = radii.RadiusTarget(smoothed.noise, "l2", (0.1, 0.2), shape=(1, 1, 1))
    >>> votes = smoothed.vote(image, label, plan=radii.sequential(target))
    >>> radii.certify(votes, "l2").radius.round(3)
    array([0.2])
    """
    if not targets:
        raise InputError("a sequential plan needs a target: give radii")
    for target in targets:
        check_target(target)
    needed = [target.reachable_levels(n_max, alpha) for target in targets]
    # one test for each level, however many norms or k need it
    levels = np.unique(np.concatenate(needed))
    # of levels that differ by rounding alone, the larger one decides the radii of both: a step of `rounded_up` is at
    # most 2^(1 - DIGITS) of the distance from 1, and two of them are allowed
    levels = levels[np.append(np.diff(levels) > 2 ** (2 - DIGITS) * (1 - levels[:-1]), True)]
    decisions = tuple(
        Decision(
            target.norm,
            target.radii,
            tuple(np.searchsorted(levels, own) + 1),
            target.k,
            target.unit,
            target.exact_arithmetic,
        )
        for target, own in zip(targets, needed, strict=True)
    )
    return Sequential(tuple(levels), alpha, n_max, batch, selection, decisions)


def sequential_top_k(
    target: RadiusTarget,
    *,
    alpha: float = 1e-3,
    n_max: int = 100_000,
    batch: int = 1,
    selection: int = 0,
) -> TopK:
    """Return the plan that decides `target` from bounds on the label and on its rivals.

    Parameters
    ----------
    target
        Radii to decide, in one norm.
    alpha : probability
        Error probability per image.
    n_max : noise samples
        Most per image.
    batch : noise samples
        Looks are at multiples of this, except the last.
    selection : noise samples
        Separate samples, at most, that choose the label; 0 takes the true one.

    Returns
    -------
    TopK
        The plan; `TopK.look` states what its looks prove.

    Raises
    ------
    InputError
        If `n_max` samples cannot certify one of the radii.

    Examples
    --------
    >>> import radii
    >>> target = radii.RadiusTarget(radii.Gaussian(sigma=0.25), "l2", (0.25,), shape=(3, 32, 32), k=2)
    >>> radii.sequential_top_k(target).looks[:3]
    array([16, 24, 29])
    """
    check_target(target)
    # two-event bounds give half of the error to the label
    level = target.reachable_levels(n_max, alpha / 2)[0]
    return TopK(level, target.norm, target.radii, target.k, alpha, n_max, batch, selection, target.unit)


def choose(
    name: str,
    noise: Noise,
    targets: Sequence[RadiusTarget],
    *,
    norm: Norm,
    shape: tuple[int, ...],
    k: int,
    unit: Unit,
    alpha: float,
    n_max: int,
    selection: int,
) -> Plan:
    """Return the plan `name`, one of `radii.votes.plans.PLANS`.

    A fixed plan takes `n_max` samples per image. A sequential or top-k plan decides `targets`. `norm`, `shape`, `k`
    and `unit` are for a two-stage plan.
    """
    check_name("sampling plan", name, PLANS)
    if name == "exhaustive":
        return exhaustive(noise)
    if name == "fixed":
        return Fixed(n_max, selection)
    if name == "two-stage":
        return two_stage(noise, norm, shape=shape, k=k, unit=unit, n_max=n_max, alpha=alpha)
    if name == "anytime":
        return anytime(alpha=alpha, n_max=n_max, selection=selection)
    if not targets:
        raise InputError(f"the plan {name} decides given radii: give radii")
    if name == "sequential":
        return sequential(*targets, alpha=alpha, n_max=n_max, selection=selection)
    if len(targets) > 1:
        norms = ", ".join(target.norm for target in targets)
        raise InputError(
            f"the plan top-k decides radii in one norm; got {norms}: take one, or the plan sequential"
        )
    return sequential_top_k(targets[0], alpha=alpha, n_max=n_max, selection=selection)


def farthest(
    plan: Plan, noise: Noise, *, k: int, alpha: float, classes: int, shape: tuple[int, ...], unit: Unit
) -> dict[str, float]:
    """Return the largest radius that a plan can certify, by norm, where all noise samples agree.

    Empty for a plan without sampling error. Raises `InputError` for a plan that cannot certify anything.
    """
    if (test := plan.last_test(alpha, "two-event" if plan.per_image else "binary")) is None:
        return {}
    method, last = test
    check_reach(plan.n_max, k, last, method, classes)
    return {
        norm: reachable_radius(
            noise,
            norm,
            plan.n_max,
            k=k,
            alpha=last,
            method=method,
            classes=classes,
            shape=shape,
            unit=unit,
        )
        for norm in noise.rules
    }


def exhaustive(noise: Noise) -> Exhaustive:
    """Return the plan that lists all outcomes of `noise`, each once, without sampling error.

    Parameters
    ----------
    noise
        Noise whose equally likely outcomes can be listed.

    Returns
    -------
    Exhaustive
        The plan, as long as the list of outcomes.

    Raises
    ------
    InputError
        If the outcomes cannot be listed.

    Examples
    --------
    >>> import radii
    >>> radii.exhaustive(radii.Splitting(sigma=0.5)).n
    442
    """
    check_noise(noise)
    if noise.outcomes is None:
        raise InputError(f"the outcomes of {noise.name} noise cannot be listed: sample it by another plan")
    return Exhaustive(noise.outcomes)


def anytime(*, alpha: float = 1e-3, n_max: int = 100_000, selection: int = 0) -> Anytime:
    """Return the plan that may be stopped at any moment; it is at its best at `n_max` samples.

    Parameters
    ----------
    alpha : probability
        Error probability per image.
    n_max : noise samples
        Most per image.
    selection : noise samples
        Separate samples that choose the label; 0 takes the true one.

    Returns
    -------
    Anytime
        The plan; its guarantee holds at every moment.

    Examples
    --------
    >>> import radii
    >>> float(radii.anytime(n_max=1000).lower(500, 510).round(3))
    0.941
    """
    return Anytime(alpha=alpha, n_max=n_max, selection=selection)


def two_stage(
    noise: Noise,
    norm: Norm,
    *,
    shape: tuple[int, ...],
    k: int = 1,
    unit: Unit = "pixel",
    price: float | None = None,
    n_max: int = 100_000,
    alpha: float = 1e-3,
) -> TwoStage:
    """Return the plan for the top-k radius itself: a pilot decides how many samples each image gets.

    Parameters
    ----------
    noise
        Noise of the smoothed classifier.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    shape : channels, height, width
        Shape of one image.
    k
        Number of top classes within which the label must stay.
    unit : "feature" or "pixel"
        Unit that l0 counts, as in `radii.certify`.
    price : radius per noise sample
        Mean radius that a sample must add; by default 1.6e-6 of a radius of the usual size.
    n_max : noise samples
        Most fresh ones per image.
    alpha : probability
        Error probability per image.

    Returns
    -------
    TwoStage
        The plan.

    Raises
    ------
    InputError
        If `noise` is not a noise, or a field of the plan is out of range.

    Examples
    --------
    >>> import radii
    >>> plan = radii.two_stage(radii.Gaussian(sigma=0.25), "l2", shape=(3, 32, 32))
    >>> plan.pilot, plan.n_max
    (1000, 100000)
    """
    check_noise(noise)
    ball = Ball(norm, shape, unit)
    if price is None:
        # rounded to a few digits, so that every processor makes the same plan
        price = float(f"{USUAL_PRICE * noise.trade_offs(ball).start:.6g}")
    return TwoStage(price, norm, k, n_max=n_max, alpha=alpha, unit=ball.unit)


def fresh_samples(
    plan: TwoStage, noise: Noise, failures: np.ndarray, *, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the fresh samples of each image, `(images,)`, from the failures of its label in the pilot."""
    failures = np.asarray(failures)
    if failures.dtype.kind not in "iu" or not ((failures >= 0) & (failures <= plan.pilot)).all():
        raise InputError(
            f"failures must be whole numbers from 0 to {plan.pilot}, the samples of the pilot; got {failures!r}"
        )
    return plan.fresh_samples(partial(NoiseRules(noise, shape).radius, plan.norm, plan.unit, plan.k))[
        failures
    ]
