"""Training of one model by several processes, started by torchrun: each takes a share of every batch."""

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
    """Process `rank` of `count`, and its exchanges with the others; a single process exchanges nothing."""

    rank: int = 0
    count: int = 1

    def seed(self, seed: int) -> int:
        """Return the seed of this process; the first process has the given one."""
        # hashed, since seed + rank would be the seed of another training
        return seed if self.rank == 0 else int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    def share(self, rows: Tensor) -> tuple[Tensor, float]:
        """Return the rows of a batch for this process, and the weight of their mean in the mean over the batch."""
        share = rows[self.rank :: self.count]
        # a network cannot run on an empty batch, so a process without rows takes one with weight 0
        return (share, len(share) / len(rows)) if len(share) else (rows[:1], 0.0)

    def sum(self, value: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(value)
        return value

    def same(self, value: Tensor) -> Tensor:
        """Copy a tensor of the first process to all others, in place."""
        if self.count > 1:
            dist.broadcast(value, 0)
        return value

    def sum_gradients(self, model: nn.Module) -> None:
        """Sum the gradients over all processes, in place."""
        if self.count == 1:
            return
        # DistributedDataParallel would weight all processes alike, though their shares of a batch may differ
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        # one message for all weights: each has its own latency
        total = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, total.split(sizes), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def mean_statistics(self, model: nn.Module) -> None:
        """Average the statistics of batch normalisation over all processes, in place; each had its own share."""
        for value in model.buffers():
            if self.count > 1 and value.is_floating_point():
                self.sum(value).div_(self.count)

    def gather(self, value: Tensor, device: torch.device) -> list[Tensor]:
        """Return the tensors of all processes, by rank, exchanged on `device`."""
        if self.count == 1:
            return [value]
        # NCCL exchanges nothing but tensors of GPUs
        parts = [torch.empty_like(value, device=device) for _ in range(self.count)]
        dist.all_gather(parts, value.to(device))
        return [part.cpu() for part in parts]


@contextmanager
def together(device: torch.device) -> Iterator[Processes]:
    """Connect the processes that torchrun started: by NCCL between GPUs, else by gloo. Yield this one of them."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    if device.type == "cuda":
        # NCCL uses the current device, which would be the first GPU in every process
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # imported after the group is made, this module would keep it, and gloo's threads would crash when Python exits
    importlib.import_module("torch._dynamo")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Return whether this process is the one that prints and writes."""
    return os.environ.get("RANK", "0") == "0"
