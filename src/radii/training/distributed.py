"""Several processes that train one model: each takes a share of every batch (started by torchrun)."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """Process `rank` of `count`; alone, every exchange leaves things as they are."""

    rank: int = 0
    count: int = 1

    def seed(self, seed: int) -> int:
        """A seed of this process's own; the first has the one given."""
        return seed if self.rank == 0 else int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    def share(self, rows: Tensor) -> tuple[Tensor, float]:
        """The rows of a batch for this process, and the weight of their mean in the mean over the batch."""
        mine = rows[self.rank :: self.count]
        # a network cannot run on nothing
        return (mine, len(mine) / len(rows)) if len(mine) else (rows[:1], 0.0)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over processes, in place."""
        if self.count > 1:
            dist.all_reduce(value)
        return value

    def same(self, value: Tensor) -> Tensor:
        """The value of the first process, in place."""
        if self.count > 1:
            dist.broadcast(value, 0)
        return value

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up the gradients, as one message."""
        if self.count == 1:
            return
        slopes = [weight.grad for weight in model.parameters() if weight.grad is not None]
        whole = self.sum(torch.cat([slope.flatten() for slope in slopes]))
        for slope, part in zip(slopes, whole.split([slope.numel() for slope in slopes]), strict=True):
            slope.copy_(part.view(slope.shape))

    def mean_statistics(self, model: nn.Module) -> None:
        """Give all processes the mean of what batch normalisation remembers: each saw its own share."""
        for value in model.buffers():
            if self.count > 1 and value.is_floating_point():
                self.sum(value).div_(self.count)

    def gather(self, value: Tensor, device: torch.device) -> list[Tensor]:
        """The values of all processes, by rank; they travel by way of `device`."""
        if self.count == 1:
            return [value]
        parts = [torch.empty_like(value, device=device) for _ in range(self.count)]
        dist.all_gather(parts, value.to(device))
        return [part.cpu() for part in parts]


@contextmanager
def together(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started, by gloo between processors, by NCCL between GPUs; else this one alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # what is imported later would keep the group, and gloo's threads with it, until they die of Python's own end
    importlib.import_module("torch._dynamo")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"
