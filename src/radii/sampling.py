"""The smoothed classifier: poll a model under noise; votes to certify later, or labels at once."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betainc
from torch import Tensor, nn

from radii.data.base import DataSet
from radii.designs import Fixed
from radii.devices import fitting_threads
from radii.errors import InputError, check_name
from radii.intervals import check_alpha
from radii.lattice import check_range, levels_of
from radii.models import digest
from radii.noises import Noise
from radii.polling import Ask, Draws, Examples, count, examples_from, examples_of, prepare
from radii.votes import ABSTAIN, PRECISIONS, Votes, software_versions

Progress = Callable[[int, int], object]
"""Called as `progress(done, total)`, in noisy copies."""

BATCH = 128
LEAST_ROWS = 8
"""Smaller micro-batches are padded to it: single rows would take other kernels, with other rounding."""


@dataclass(frozen=True)
class Smoothed:
    """The smoothed classifier: the class that `model` gives most often to an image plus noise.

    `model`: any callable from images plus noise, float32 `(batch, *shape)`, to logits `(batch, classes)`; a
    torch module must be in evaluation mode. `precision`: "bfloat16" polls a copy of the module in that
    precision, which makes it another classifier, and votes record it. `batch`: noisy copies in one call of
    the model; memory holds a few micro-batches, never all copies of an image. `compile` fuses the layers of a
    module, about half a minute of work at the start; rounding then differs, so that votes record it too.

    `exact`: noise on a lattice, for 8-bit images, which makes image plus noise exact in float32: what is certified
    is the program, not its idealisation in real numbers (docs/math/exact.md).
    """

    model: Ask
    noise: Noise
    precision: str = "float32"
    batch: int = BATCH
    compile: bool = False
    exact: bool = False

    def __post_init__(self) -> None:
        check_name("precision", self.precision, PRECISIONS)
        if not isinstance(self.noise, Noise):
            raise InputError(
                f"noise must be one of radii, for example radii.Laplace(0.5); got {self.noise!r}"
            )
        for wanted, name in (
            (self.precision != "float32", f"precision {self.precision}"),
            (self.compile, "compile"),
        ):
            if wanted and not isinstance(self.model, nn.Module):
                raise InputError(f"{name} needs a torch module; got {type(self.model).__name__}")
        if self.exact:
            check_range(self.noise)
        if self.batch < 1:
            raise InputError(f"batch must be at least 1; got {self.batch}")

    def vote(
        self,
        images: Tensor | np.ndarray | DataSet,
        labels: Tensor | np.ndarray | None = None,
        *,
        plan: Fixed,
        seed: int = 0,
        index: Tensor | np.ndarray | None = None,
        draws: tuple[int, int] | None = None,
        progress: Progress | None = None,
    ) -> Votes:
        """Votes of the model on noisy copies of each image.

        `images`: `(images, *shape)` in [0, 1], or a data set, which brings its labels, positions and names.
        `index`: `(images,)`, positions in the data set, by default 0, 1, 2, ...; they choose the noise.
        `draws`: the part [first, stop) of the plan's draws to take now; parts add up with `+`.

        Guarantee: on one machine and with one `batch`, the same counts to the last vote however images and
        draws are split, since every call of the model has the same number of rows. Another `batch` may select
        other kernels, which can change a vote only where two logits agree to rounding error.
        """
        if not isinstance(plan, Fixed):
            raise InputError(f"plan must be a sampling plan, for example radii.fixed(1000); got {plan!r}")
        examples = _examples(images, labels, index)
        first, stop = draws if draws is not None else (0, plan.n)
        if not 0 <= first < stop <= plan.n:
            raise InputError(f"draws must be a range [first, stop) within the plan's {plan.n}; got {draws}")
        report = _reporter(progress, len(examples) * (plan.selection + stop - first))
        parts = {"select": (0, plan.selection), "bound": (first, stop)}
        polled = {
            purpose: self._count(examples, self._draws(seed, purpose, *part), report)
            for purpose, part in parts.items()
            if part[0] < part[1]
        }
        return self._votes(examples, plan, seed, (first, stop), polled)

    def predict(
        self,
        images: Tensor | np.ndarray | DataSet,
        *,
        n: int = 1000,
        alpha: float = 0.001,
        seed: int = 0,
        index: Tensor | np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Labels `(images,)` of the smoothed classifier, or `radii.ABSTAIN` where `n` draws leave them open.

        Guarantee: for each image, with probability at least `1 - alpha` over the draws, the label is the one
        that is most probable under noise, or ABSTAIN (Cohen et al. 2019, Predict and Proposition 2).
        """
        check_alpha(alpha)
        examples = _examples(images, None, index)
        draws = self._draws(seed, "predict", 0, Fixed(n).n)
        counts = self._count(examples, draws, _reporter(progress, len(examples) * n))
        return decide(counts, alpha)

    def _draws(self, seed: int, purpose: str, first: int, stop: int) -> Draws:
        return Draws(self.noise, seed, purpose, first, stop, self.exact)

    def _count(self, examples: Examples, draws: Draws, report: Callable[[int], None]) -> np.ndarray:
        if self.exact:
            examples = replace(examples, images=levels_of(examples.images))
        ask = prepare(self.model, self.precision, examples.shape, self.compile)
        with fitting_threads(self.model):
            return count(ask, examples, draws, max(self.batch, LEAST_ROWS), report)

    def _votes(
        self, examples: Examples, plan: Fixed, seed: int, part: tuple[int, int], polled: dict[str, np.ndarray]
    ) -> Votes:
        counts = polled["bound"]
        return Votes(
            counts=counts,
            selection=polled.get("select", np.zeros_like(counts)),
            labels=examples.labels,
            index=examples.index,
            noise=self.noise,
            shape=examples.shape,
            plan=plan,
            draws=(part,),
            seed=seed,
            model=digest(self.model),
            precision=self.precision,
            exact=self.exact,
            data=examples.data,
            classes=examples.classes,
            software=software_versions() | ({"compiler": "inductor"} if self.compile else {}),
        )


def decide(counts: np.ndarray, alpha: float) -> np.ndarray:
    """The most frequent class of each row of `counts` `(images, classes)`, or ABSTAIN.

    The two-sided binomial test of whether the best two classes are equally probable (Hung and Fithian 2019).
    """
    label = counts.argmax(1)
    best = counts.max(1)
    rest = counts.copy()
    np.put_along_axis(rest, label[:, None], -1, axis=1)
    second = np.maximum(rest.max(1), 0)
    chance = np.minimum(
        1, 2 * betainc(best, second + 1, 0.5)
    )  # P(Binomial(best + second, 1/2) >= best), twice
    return np.where(chance <= alpha, label, ABSTAIN)


def _examples(
    images: Tensor | np.ndarray | DataSet,
    labels: Tensor | np.ndarray | None,
    index: Tensor | np.ndarray | None,
) -> Examples:
    if not isinstance(images, DataSet):
        return examples_from(images, labels, index)
    if labels is not None or index is not None:
        raise InputError("a data set brings its own labels and positions: leave out labels and index")
    return examples_of(images)


def _reporter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def report(copies: int) -> None:
        nonlocal done
        done += copies
        if progress is not None:
            progress(done, total)

    return report
