"""Small jobs for tests of the engine, made the same in any process."""

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import torch

import radii
from radii.data import DataSet
from radii.engine import Job
from radii.models import make_model
from radii.sampling import Smoothed
from radii.votes import ImageIdentity

SHAPE, CLASSES, IMAGES = (1, 8, 8), 10, 12
PLANS = {
    "fixed": radii.fixed(600, 40),
    "sequential": radii.Sequential((0.3, 0.6), alpha=0.01, n_max=500, selection=30),
    "top-k": radii.sequential_top_k(
        radii.RadiusTarget(radii.Gaussian(0.5), "l2", (0.1, 0.3), SHAPE, k=2), alpha=0.01, n_max=500
    ),
    "two-stage": radii.TwoStage(1e-4, "l2", pilot=50, n_max=500),
}


def load(batch: int = 32) -> tuple[Smoothed, DataSet]:
    """A random network, and images of noise."""
    torch.manual_seed(0)
    model = make_model("small-cnn", SHAPE, CLASSES).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.7)  # so that some images are clear and others are not
    images = np.random.default_rng(0).random((IMAGES, *SHAPE), dtype=np.float32)
    labels = model(torch.from_numpy(images)).argmax(1).numpy()
    data = DataSet(images, labels, np.arange(IMAGES) * 5, ImageIdentity("made-up images"))
    return Smoothed(model, radii.Gaussian(0.5), batch=batch), data


def load_gelu() -> tuple[Smoothed, DataSet]:
    """The same weights in other code: GELU in place of ReLU."""
    smoothed, data = load()
    for layer in [*smoothed.model.modules()]:
        for name, part in layer.named_children():
            if isinstance(part, torch.nn.ReLU):
                setattr(layer, name, torch.nn.GELU().eval())
    return smoothed, data


class OtherInWorkers:
    """Loads the network with ReLU in this process, and with GELU in any other."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __call__(self) -> tuple[Smoothed, DataSet]:
        return load() if os.getpid() == self.home else load_gelu()


def job(plan: str = "fixed", batch: int = 32, **changes) -> Job:
    """Votes on these images."""
    return Job(lambda: load(batch), PLANS[plan], **({"seed": 3} | changes))


def numbered(number: int, **changes) -> Job:
    """The same for a worker process."""
    return Job(load, PLANS["fixed"], **({"seed": 3, "threads": 1} | changes))


class Trouble:
    """Loads a model that fails in a worker, at so many calls, once for all of them unless `always`."""

    def __init__(self, flag: Path, deed: str, call: int, always: bool = False) -> None:
        self.flag, self.deed, self.call, self.always, self.home = flag, deed, call, always, os.getpid()

    def __call__(self) -> tuple[Smoothed, DataSet]:
        smoothed, data = load()
        calls = 0

        def ask(images: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if calls == self.call and os.getpid() != self.home and (self.first() or self.always):
                {"die": die, "hang": hang, "fail": fail}[self.deed]()
            return smoothed.model(images)

        return Smoothed(ask, smoothed.noise, batch=32), data

    def first(self) -> bool:
        """Whether this process is the first that comes so far."""
        try:
            self.flag.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def die() -> None:
    os.kill(os.getpid(), 9)


def hang() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()


def fail() -> None:
    raise OSError("a device fell off")


def load_not_finite() -> tuple[Smoothed, DataSet]:
    """A model that gives NaN on what is no made-up image of the check."""
    smoothed, data = load()

    def ask(images: torch.Tensor) -> torch.Tensor:
        return smoothed.model(images) + torch.where((images < 0).flatten(1).any(1), torch.nan, 0.0)[:, None]

    return Smoothed(ask, smoothed.noise, batch=32), data


class OnNodes(torch.nn.Module):
    """A network that, once there is a `folder`, waits until two nodes of a Ray cluster ask it.

    Then it answers to `home`. The others are in the middle of their work until they are lost.
    """

    def __init__(self, network: torch.nn.Module, folder: Path, home: str) -> None:
        super().__init__()
        self.network, self.folder, self.home = network, folder, home

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.folder.exists():
            import ray

            here = ray.get_runtime_context().get_node_id()
            (self.folder / here).touch()
            while here != self.home or len(list(self.folder.iterdir())) < 2:
                time.sleep(0.01)
        return self.network(images)
