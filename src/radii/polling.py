"""The loop that asks a model about noisy copies: micro-batches of one size, counted draws, counts."""

import copy
import itertools
from collections.abc import Callable

import torch
from torch import nn

from radii.agenda import Agenda
from radii.asking import Ask
from radii.copies import Law, noisy_batches
from radii.devices import check_compiler
from radii.errors import InputError
from radii.examples import Examples
from radii.models.adapters.preprocess import innermost
from radii.models.identity import Identified


def prepare(model: Ask, precision: str, shape: tuple[int, ...], fuse: bool = False) -> Ask:
    """The model as it is polled: a copy in its precision and the fastest memory layout, on its own device.

    `fuse`: with its layers fused by torch.compile, around weights that are fixed from then on.
    """
    if not isinstance(model, nn.Module):
        return model
    if learning := [(name, part) for name, part in model.named_modules() if part.training]:
        name, part = next(filter(_depends, learning), learning[0])
        raise InputError(
            f"the model is in training mode ({f'{type(part).__name__} {name}'.strip()}), where answers depend on the "
            "rest of the batch or on luck: call model.eval()"
        )
    first = next(itertools.chain(model.parameters(), model.buffers()), torch.zeros(0))
    dtype = getattr(torch, precision)
    layout = torch.channels_last if len(shape) == 3 else torch.preserve_format
    own = copy.deepcopy(model).to(dtype).to(memory_format=layout)  # type: ignore[call-overload]
    if fuse:
        check_compiler(first.device)
        own = torch.compile(own, dynamic=False, options={"freezing": True})
    return lambda noisy: own(noisy.to(first.device, dtype, memory_format=layout))


def unused(model: Ask) -> Ask:
    """Return the model, or a copy of one that is no module, so that its state is not that of other queries.

    A module is copied by `prepare`. A plain function has no state of its own, and what `load_model` made of a file, an
    address or an estimator is taken to have none; what cannot be copied is returned as it is.
    """
    if isinstance(model, nn.Module) or isinstance(innermost(model), Identified):
        return model
    try:
        return copy.deepcopy(model)
    except Exception:  # of locks, connections and whatever else objects may hold
        return model


def _depends(named: tuple[str, nn.Module]) -> bool:
    """Whether a layer in training mode does more than its parts."""
    return "Norm" in (kind := type(named[1]).__name__) or "Drop" in kind


def poll(
    ask: Ask,
    examples: Examples,
    law: Law,
    agenda: Agenda,
    rows: int,
    report: Callable[[int], None],
    cores: int = 0,
) -> None:
    """Follow the agenda to its end, in micro-batches of `rows` copies; `report` is told how many were used.

    `cores`: how many of this machine the model keeps busy, 0 if it runs elsewhere or that is not known.
    """
    with torch.inference_mode():
        for copies, noisy in noisy_batches(examples, law, agenda, rows, cores):
            logits = ask(torch.from_numpy(noisy))[: len(copies)]
            # one transfer; the largest logit shows NaN, +inf, and a row of -inf alone, which are no votes
            winners = logits.argmax(1).masked_fill_(~torch.isfinite(logits.amax(1)), -1).cpu().numpy()
            if (winners < 0).any():
                raise _not_finite(examples.index[copies.rows[winners < 0][0]])
            agenda.record(copies, winners)
            report(len(copies))


def _not_finite(image: int) -> InputError:
    return InputError(
        f"the model gives NaN or infinite logits on a noisy copy of image {image}: that is no vote; -inf may switch "
        "off some of the classes, and not all"
    )
