"""The canary tells models of one digest apart, and takes rounding for nothing."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import radii
from radii.cli.attack import load_smoothed
from radii.errors import InputError, RadiiWarning
from radii.models import digest
from radii.votes import INPUTS, canary_of, canary_pixels, load_votes, merge, other_answers
from radii.votes.canary import NUMBERS, canary_change

SHAPE, NOISE, PLAN = (1, 8, 8), radii.Gaussian(0.5), radii.fixed(40, 10)
IMAGES = np.random.default_rng(0).random((4, *SHAPE), dtype=np.float32)
LOGITS = np.random.default_rng(1).normal(size=(INPUTS, 1000))


class Network(nn.Module):
    """A network whose code depends on its settings, and whose weights do not."""

    def __init__(
        self,
        act: Callable[[Tensor], Tensor] = F.relu,
        padding: str = "zeros",
        eps: float = 1e-5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 16, 3, padding=1, padding_mode=padding)
        self.norm = nn.BatchNorm2d(16, eps=eps)
        self.second = nn.Conv2d(16, 16, 3, padding=1, padding_mode=padding)
        self.head = nn.Linear(16, 10)
        self.act, self.temperature = act, temperature
        # as small as after training on dark images
        self.norm.running_var.fill_(1e-2)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        features = self.act(self.second(self.act(self.norm(self.first(images)))))
        return self.head(features.mean((2, 3))) / self.temperature


def closure(shift: float) -> Callable[[Tensor], Tensor]:
    """A function whose qualified name is the same for each `shift`."""
    network = Network()
    return lambda images: network(images + shift)


PAIRS = {
    "closure": (lambda: closure(0.0), lambda: closure(0.1)),
    "activation": (Network, lambda: Network(F.gelu)),
    "small activation": (Network, lambda: Network(partial(F.leaky_relu, negative_slope=0.1))),
    "padding": (Network, lambda: Network(padding="reflect")),
    "attribute": (Network, lambda: Network(eps=1e-2)),
    # it changes no vote, but the answers, and attacks on them
    "temperature": (Network, lambda: Network(temperature=2.0)),
}


def vote(model: Callable[[Tensor], Tensor], draws: tuple[int, int], **how: object) -> radii.Votes:
    return radii.Smoothed(model, NOISE, **({"batch": 16} | how)).vote(IMAGES, plan=PLAN, draws=draws)


# a function is queried as it is, in float32
@pytest.mark.parametrize(
    ("pair", "precision"), [("closure", "float32"), *product([*PAIRS][1:], ["float32", "bfloat16"])]
)
def test_votes_of_two_models_of_one_digest_do_not_add(pair: str, precision: str) -> None:
    first, second = (make() for make in PAIRS[pair])
    assert digest(first) == digest(second)
    one, other = vote(first, (0, 20), precision=precision), vote(second, (20, 40), precision=precision)
    with pytest.raises(
        InputError, match=f"votes of two models .* named {re.escape(one.model)}, .*other answers"
    ):
        # whatever comes first
        merge([replace(one, canary=()), one, replace(other, selection=one.selection)])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batches_and_parts_of_one_model_add(precision: str) -> None:
    one, two = vote(Network(), (0, 20), precision=precision), vote(Network(), (20, 40), precision=precision)
    other = vote(Network(), (20, 40), batch=61, precision=precision)
    assert canary_change(one.canary, other.canary) < 1e-3
    assert (one + other).canary == one.canary and (one + two).encode() == (two + one).encode()


def test_float32_and_bfloat16_are_alike_within_the_tolerance_of_the_latter() -> None:
    """As far apart as two ways to compute in bfloat16 may be."""
    canaries = [vote(Network(), (0, 20), precision=precision).canary for precision in ("float32", "bfloat16")]
    assert canary_change(*canaries) > 0 and not other_answers(*canaries, "bfloat16")


def test_old_votes_are_said_to_have_none(tmp_path: Path) -> None:
    one, two = (vote(Network(), draws) for draws in ((0, 20), (20, 40)))
    replace(one, canary=()).save(tmp_path / "old")
    assert b"canary" not in pq.read_schema(tmp_path / "old").metadata[b"radii"]
    with pytest.warns(RadiiWarning, match="1 of 2 votes to be added have no canary"):
        total = load_votes(tmp_path / "old") + two
    assert total.canary == (), "that of one part would vouch for both"
    assert (one + two).canary == one.canary == two.canary


def test_a_file_keeps_it_and_rejects_what_is_none(tmp_path: Path) -> None:
    votes = vote(Network(), (0, 20))
    votes.save(tmp_path / "votes")
    assert load_votes(tmp_path / "votes").canary == votes.canary and len(votes.canary) == INPUTS
    for wrong in ([[0.0] * NUMBERS], [[0.0] * 9] * INPUTS, [[np.nan] * NUMBERS] * INPUTS, "abc", 3):
        with pytest.raises(InputError, match="a canary is 4 rows of 8"):
            replace(votes, canary=wrong)


def test_an_attack_on_another_model_of_the_same_weights_is_rejected() -> None:
    votes = vote(Network(), (0, 40))

    def load(model: nn.Module, votes: radii.Votes = votes) -> radii.Smoothed:
        return load_smoothed(votes, SimpleNamespace(load=lambda _: model), "zoo:model")

    load(Network())
    with pytest.raises(InputError, match=r"zoo:model holds another model .* of the same weights or name"):
        load(Network(F.gelu))
    with pytest.warns(RadiiWarning, match="have no canary"):
        load(Network(), replace(votes, canary=()))


def test_its_inputs_never_change() -> None:
    assert canary_pixels((3,)).tolist() == [[155, 216, 228], [8, 100, 186], [244, 2, 178], [197, 168, 156]]
    assert canary_pixels(SHAPE).shape == (INPUTS, *SHAPE) and canary_pixels(SHAPE).dtype == np.uint8


def test_it_is_of_differences_between_classes_and_small_for_many() -> None:
    canary = canary_of(LOGITS)
    assert np.shape(canary) == (INPUTS, NUMBERS) and len(str(canary)) < 400
    assert canary_change(canary, canary_of(LOGITS + 5)) < 1e-4
    assert canary_of(np.zeros((INPUTS, 10))) == ((0.0,) * NUMBERS,) * INPUTS
    assert canary_change(canary_of(np.zeros((INPUTS, 2))), canary_of(np.zeros((INPUTS, 2)))) == 0


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_the_change_is_relative(factor: float) -> None:
    one, other = np.array(canary_of(LOGITS)), np.array(canary_of(LOGITS * 1.1))
    assert canary_change(factor * one, factor * other) == pytest.approx(0.1 / 1.1, rel=1e-2)


def test_any_exchange_of_two_classes_shows() -> None:
    """Each pair of the first hundred classes, in logits of few classes and of many."""
    for classes in (2, 3, 10, 100):
        order, logits = np.arange(classes), LOGITS[:, :classes]
        for i, j in combinations(range(classes), 2):
            exchanged = order.copy()
            exchanged[[i, j]] = j, i
            change = canary_change(canary_of(logits), canary_of(logits[:, exchanged]))
            # the logits of few inputs differ little between some two of the many classes
            assert change > (0.02 if classes < 100 else 1e-3), (classes, i, j)


def test_classes_that_are_switched_off() -> None:
    off, other = LOGITS.copy(), LOGITS.copy()
    off[:, 3] = other[:, 4] = -np.inf
    assert np.isfinite(canary_of(off)).all()
    assert other_answers(canary_of(off), canary_of(other), "float32")
    alone = np.full((INPUTS, 3), -np.inf)
    alone[:, 1] = 0
    assert other_answers(canary_of(alone), canary_of(alone[:, [1, 0, 2]]), "float32")


def test_one_input_may_lie_between_two_labels() -> None:
    """A model that gives labels alone, of which rounding changes one."""
    labels = np.eye(10)[[3, 3, 5, 7]]
    assert not other_answers(canary_of(labels), canary_of(np.eye(10)[[4, 3, 5, 7]]), "float32")
    assert other_answers(canary_of(labels), canary_of(np.eye(10)[[4, 3, 5, 8]]), "float32")


def test_whole_numbers_beyond_64_bits_are_numbers() -> None:
    """JSON holds them where floats are meant, and numpy makes objects of them."""
    large, small = ((2**64,) * NUMBERS,) * 4, ((1.0,) * NUMBERS,) * 4
    assert canary_change(large, large) == 0 and canary_change(large, small) == pytest.approx(1)
