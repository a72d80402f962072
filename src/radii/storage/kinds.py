"""What a file is, by how it begins: whoever gives a wrong one is told what it is."""

import re
from pathlib import Path

from radii.errors import InputError
from radii.storage import atomic

PARQUET = b"PAR1"
BEGINNINGS = {
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
    "safetensors": "weights in a safetensors file",
    "onnx": "an ONNX model",
    "html": "a web page",
    "xml": "an XML document",
    "law": "the law.json of an unfinished run",
    "config": "the config.json of a trained model",
    "json": "a JSON document",
    "log": "a certification log, as the published codes write it",
    "predictions": "a log of predictions, as the published codes write it",
    "certificates": "certificates that radii certify wrote",
    "attacks": "what radii attack wrote",
    "metrics": "the metrics.csv of a training",
    "tsv": "a table with tabs between its columns",
    "csv": "a CSV table",
    "text": "text",
}
"""What each kind is, in words."""

IN_ZIP = {b"models/model.json": "program", b"data.pkl": "torch", b".npy": "npz"}
"""Names of files in archives."""
TABLES = {
    r"idx\tlabel\t.*radius.*": "log",
    r"idx\tlabel\t.*": "predictions",
    r"index,true_label,.*": "certificates",
    r"index,label,certified,found": "attacks",
    r"epoch,loss,.*": "metrics",
    r"[^\t]+(\t[^\t]+)+": "tsv",
    r"[^,]+(,[^,]+)+": "csv",
}
"""First lines of tables."""
HEAD = 4096
"""Bytes that are looked at of a text."""


def kind_of(content: bytes) -> str:
    """Return which of the kinds in `WORDS` some content is; "" if none of them is recognised."""
    if not content:
        return "empty"
    if PARQUET.startswith(content[:4]):  # one that was cut may be shorter
        return "parquet"
    kind = next((kind for start, kind in BEGINNINGS.items() if content.startswith(start)), "")
    if kind == "zip":
        return next((kind for name, kind in IN_ZIP.items() if name in content), kind)
    if kind:
        return kind
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
        return "safetensors"
    if content[:1] == b"\x08" and re.search(rb"pytorch|onnx", content[:HEAD], re.IGNORECASE):
        return "onnx"
    return _kind_of_text(content[:HEAD])


def foreign(content: bytes, *fitting: str) -> str:
    """Return what some content is, in words, if it is none of the `fitting` kinds; "" otherwise or if nobody knows."""
    kind = kind_of(content)
    return "" if kind in fitting else WORDS.get(kind, "")


def _kind_of_text(head: bytes) -> str:
    try:
        # the last letter may be cut
        text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD else "ignore").strip()
    except UnicodeDecodeError:
        return ""
    if not text or not all(letter.isprintable() or letter.isspace() for letter in text):
        return ""
    if re.match(r"<!doctype html|<html", text, re.IGNORECASE):
        return "html"
    if text.startswith("<?xml"):
        return "xml"
    if text[0] in "{[":
        return "law" if '"block"' in text else "config" if '"recipe"' in text else "json"
    first = text.splitlines()[0].lower()
    return next((kind for form, kind in TABLES.items() if re.fullmatch(form, first)), "text")


def read_model(path: str, what: str, *fitting: str) -> bytes:
    """The content of a file; one that is seen to be of another kind than the `fitting` ones is refused."""
    if not Path(path).is_file():
        raise InputError(f"there is no file {path}")
    content = atomic.read(path)
    if other := foreign(content, *fitting):
        raise InputError(f"{path} is {other}, not {what}: export the model again, or fetch another copy")
    return content
