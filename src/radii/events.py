"""The metrics of a training for TensorBoard, where it is installed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

FOLDER = "tensorboard"


@contextmanager
def events(folder: Path | None, epochs: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Record the metrics of each epoch in `folder`/tensorboard; nothing without TensorBoard or a folder.

    `epochs`: those that are already done; later ones in old files are of a training that was killed, and void.
    """
    if folder is None or find_spec("tensorboard") is None:
        yield lambda metrics: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / FOLDER), purge_step=epochs + 1) as writer:

        def record(metrics: Mapping[str, float]) -> None:
            for name, value in metrics.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(metrics["epoch"]))
            writer.flush()

        yield record
