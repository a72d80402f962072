"""Kinds of files, recognised by their first bytes, so that messages about a wrong file say what it is."""

import re
from pathlib import Path

from radii.errors import InputError
from radii.storage import atomic

PARQUET = b"PAR1"
MAGIC = {
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "zip",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
    b"\x89PNG": "picture",
    b"\xff\xd8\xff": "picture",
    b"GIF8": "picture",
    b"%PDF": "pdf",
    b"\x1f\x8b": "gzip",
    b"\x89HDF": "hdf5",
    b"version https://git-lfs": "lfs",
    b"MATLAB 5.0 MAT-file": "mat",
}
WORDS = {
    "empty": "an empty file",
    "parquet": "a Parquet file",
    "npy": "an array that numpy.save wrote",
    "npz": "arrays that numpy.savez wrote",
    "torch": "a model or weights that torch.save wrote",
    "program": "a program that torch.export wrote",
    "zip": "a zip archive",
    "pickle": "a pickle",
    "picture": "a picture",
    "pdf": "a PDF document",
    "gzip": "a file packed by gzip",
    "hdf5": "an HDF5 file",
    "lfs": "a pointer of Git LFS, whose file git lfs pull fetches",
    "mat": "a MAT-file, as MATLAB and scipy.io.savemat write it",
    "safetensors": "weights in a safetensors file",
    "onnx": "an ONNX model",
    "html": "a web page",
    "xml": "an XML document",
    "law": "the law.json of an unfinished run",
    "config": "the config.json of a trained model",
    "imported": "a run that radii import wrote",
    "json": "a JSON document",
    "log": "a certification log, as the published codes write it and radii import reads it",
    "predictions": "a log of predictions, as the published codes write it",
    "certificates": "certificates that radii certify wrote",
    "attacks": "what radii attack wrote",
    "metrics": "the metrics.csv of a training",
    "tsv": "a table with tabs between its columns",
    "csv": "a CSV table",
    "text": "text",
}
"""What messages call each kind."""

IN_ZIP = {b"models/model.json": "program", b"data.pkl": "torch", b".npy": "npz"}
"""Names that occur in archives of a kind; zip stores them uncompressed."""
TABLES = {
    r"idx\tlabel\t.*radius.*": "log",
    r"idx\tlabel\t.*": "predictions",
    r"index,true_label,.*": "certificates",
    r"index,label,certified,found": "attacks",
    r"epoch,loss,.*": "metrics",
    r"[^\t]+(\t[^\t]+)+": "tsv",
    r"[^,]+(,[^,]+)+": "csv",
}
"""First lines of tables, in lower case."""
HEAD = 4096
"""Bytes of a text that are examined."""


def kind_of(content: bytes) -> str:
    """Return the kind of a file's content, one of `WORDS`; "" if it is not recognised."""
    if not content:
        return "empty"
    # this way round, files that are cut within the magic number are recognised, too
    if PARQUET.startswith(content[:4]):
        return "parquet"
    kind = next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), "")
    if kind == "zip":
        return next((kind for name, kind in IN_ZIP.items() if name in content), kind)
    if kind:
        return kind
    # safetensors has no magic number: the size of a JSON header, then the header
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
        return "safetensors"
    # nor has ONNX, a protocol buffer: the tag of the first field, then the name of the producer
    if content[:1] == b"\x08" and re.search(rb"pytorch|onnx", content[:HEAD], re.IGNORECASE):
        return "onnx"
    return _kind_of_text(content[:HEAD])


def foreign(content: bytes, *fitting: str) -> str:
    """Return what the content is, in words; "" if it is of a `fitting` kind or not recognised."""
    kind = kind_of(content)
    return "" if kind in fitting else WORDS.get(kind, "")


def read_model(path: str, what: str, *fitting: str) -> bytes:
    """Return the content of a model file, `what` in messages.

    Raises `InputError` if the file does not exist, or is recognised as another kind than the `fitting` ones.
    """
    if not Path(path).is_file():
        raise InputError(f"there is no file {path}")
    content = atomic.read(path)
    if other := foreign(content, *fitting):
        raise InputError(f"{path} is {other}, not {what}: export the model again, or fetch another copy")
    return content


def _kind_of_text(head: bytes) -> str:
    try:
        # utf-8-sig, as spreadsheets begin tables with a byte order mark; the last character may be cut
        text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD else "ignore").strip()
    except UnicodeDecodeError:
        return ""
    # bytes of an unknown format may be valid UTF-8
    if not text or not all(character.isprintable() or character.isspace() for character in text):
        return ""
    if re.match(r"<!doctype html|<html", text, re.IGNORECASE):
        return "html"
    if text.startswith("<?xml"):
        return "xml"
    if text[0] in "{[":
        named = {'"imported_from"': "imported", '"block"': "law", '"recipe"': "config"}
        return next((kind for name, kind in named.items() if name in text), "json")
    # the first pattern that fits: the general ones come last
    first = text.splitlines()[0].lower()
    return next((kind for pattern, kind in TABLES.items() if re.fullmatch(pattern, first)), "text")
