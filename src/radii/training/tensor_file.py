"""Files of named tensors and text, in the format safetensors."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from radii.errors import InputError
from radii.storage import atomic
from radii.storage.documents import fits, parse_json
from radii.storage.kinds import foreign
from radii.storage.memory import is_out_of_memory

SIZE = 8
"""Bytes at the start of a file that hold the length of its header."""
METADATA = "__metadata__"
"""Name of the text in the header, beside those of the tensors."""


def encode_tensors(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Return the content of a file.

    Guarantee: equal tensors and text give equal bytes with the same safetensors.
    """
    # safetensors stores contiguous tensors only, which those in the memory format channels_last are not
    content = save({name: value.contiguous() for name, value in tensors.items()}, metadata)
    header, start = _header(content)
    # safetensors writes the text in another order each time
    header[METADATA] = dict(sorted(header[METADATA].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    # padded, so that the tensors start at a multiple of eight bytes
    text += b" " * (-len(text) % SIZE)
    return len(text).to_bytes(SIZE, "little") + text + content[start:]


def read_tensors(path: Path, advice: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return text and tensors of a file; raise `InputError` with `advice` if it is damaged or holds complex numbers."""
    content = atomic.read(path)
    try:
        tensors = load(content)
        metadata = _header(content)[0].get(METADATA, {})
    # a KeyError for types that torch lacks, the last two for huge sizes beside a 0: safetensors checks their product
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        # a failed download often leaves a page of HTML under the name of the file
        if other := foreign(content, "safetensors"):
            raise InputError(f"{path} is {other}, not weights: {advice}") from error
        why = str(error).partition("\n")[0]  # torch appends where in its source the error was raised
        raise InputError(f"{path} is damaged ({why}): {advice}") from error
    if not fits(metadata, dict[str, str]):
        raise InputError(f"{path} is damaged (its header holds more than text): {advice}")
    # no network here has complex weights, and torch drops the imaginary part when it copies them into real ones
    if wrong := [name for name, value in tensors.items() if value.is_complex()]:
        raise InputError(
            f"{path} holds complex numbers in {wrong[0]}, where real ones are expected: {advice}"
        )
    return metadata, tensors


def _header(content: bytes) -> tuple[dict, int]:
    """Return the header of a file, and the position of the byte after it."""
    end = SIZE + int.from_bytes(content[:SIZE], "little")
    return parse_json(content[SIZE:end]), end
