"""What models in files share: their content, and whether images have the shape that they take."""

from pathlib import Path

from radii import files
from radii.errors import InputError
from radii.kinds import foreign


def read_model(path: str, what: str, *fitting: str) -> bytes:
    """The content of a file; one that is seen to be of another kind than the `fitting` ones is refused."""
    if not Path(path).is_file():
        raise InputError(f"there is no file {path}")
    content = files.read(path)
    if other := foreign(content, *fitting):
        raise InputError(f"{path} is {other}, not {what}: export the model again, or fetch another copy")
    return content


def check_takes(path: str, expected: tuple[int | str | None, ...], shape: tuple[int, ...]) -> None:
    """Refuse images of a `shape` that the model of `path` does not take; sizes that are no numbers are open."""
    fits = len(shape) == len(expected) and all(
        mine == theirs or not isinstance(theirs, int) for mine, theirs in zip(shape, expected, strict=True)
    )
    if not fits:
        raise InputError(
            f"{path} takes images of shape {expected}; got {shape}: declare its layout, nchw, nhwc or flat"
        )
