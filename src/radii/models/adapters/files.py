"""What models in files share: their content, and whether images have the shape that they take."""

from pathlib import Path

from radii import files
from radii.errors import InputError


def read_model(path: str) -> bytes:
    """The content of a file."""
    if not Path(path).is_file():
        raise InputError(f"there is no file {path}")
    return files.read(path)


def check_takes(path: str, expected: tuple[int | str | None, ...], shape: tuple[int, ...]) -> None:
    """Refuse images of a `shape` that the model of `path` does not take; sizes that are no numbers are open."""
    fits = len(shape) == len(expected) and all(
        mine == theirs or not isinstance(theirs, int) for mine, theirs in zip(shape, expected, strict=True)
    )
    if not fits:
        raise InputError(
            f"{path} takes images of shape {expected}; got {shape}: declare its layout, nchw, nhwc or flat"
        )
