"""Archives of torch.export without the parts that torch would unpickle or evaluate.

`torch.export.load` (of torch 2.11 and 2.13) unpickles example inputs, and weights and constants of unusual kinds. It
evaluates sizes with sympy, finds operators by any name within torch, makes source text from names, and runs guards,
which are source text. It is therefore given a new archive, not the file. The new archive holds weights as plain bytes
and a graph in which every word is a name and every operator is one of networks (`operators.py`).
"""

import json
import re
from io import BytesIO
from math import prod
from struct import error as StructError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from radii.errors import InputError
from radii.models.adapters.operators import MOST_ELEMENTS, check_operator
from radii.storage.documents import parse_json

MODEL = "models/model.json"
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
EXAMPLES = "data/sample_inputs/model.pt"
PAYLOAD = re.compile(r"(weight|tensor)_[0-9]+")
"""Names of files with the plain bytes of a tensor."""

PLAIN = ("archive_format", "archive_version", "byteorder", ".data/version")
"""Files that are copied unchanged if they are short: they hold one word or number."""

WORD = re.compile(r"[A-Za-z0-9_.]*", re.ASCII)
EQUATION = re.compile(r"[a-zA-Z., ]*(->[a-zA-Z., ]*)?", re.ASCII)
"""The text that tells einsum what to sum."""

INFINITE = ("Infinity", "-Infinity", "NaN")
"""Numbers that JSON writes as text."""

FILLED = {
    "torch.ops.aten.empty.memory_format": "torch.ops.aten.zeros.default",
    "torch.ops.aten.empty_like.default": "torch.ops.aten.zeros_like.default",
}
"""Operators whose result is memory as it was, with anything that lay there, and those that fill it."""

NUMBER = re.compile(
    r"(?:Symbol\('[a-z][0-9]+'(?:, (?:positive|integer|nonnegative)=True)*\)|Integer\(-?[0-9]{1,18}\)"
    r"|(?:Add|Mul|Min|Max|FloorDiv|Mod)\(|[a-z][0-9]+(?![0-9])|[0-9]{1,18}(?![0-9])|[ ,)])*"
)
"""Sums and products of sizes, as sympy writes them. No powers, whose values could be too large to compute. Nothing is
matched in two ways: of a long row of digits, their number would be exponential."""

ONE_TENSOR = '{"type": null, "context": null, "children_spec": []}'
TUPLE = '{{"type": "builtins.tuple", "context": "null", "children_spec": [{}]}}'
NO_NAMES = '{"type": "builtins.dict", "context": "[]", "children_spec": []}'
SPECS = {
    "in_spec": f"[1, {TUPLE.format(f'{TUPLE.format(ONE_TENSOR)}, {NO_NAMES}')}]",
    "out_spec": f"[1, {ONE_TENSOR}]",
}
"""Signature of a function from one tensor to one tensor, as torch writes it."""

DAMAGED = (
    *(BadZipFile, EOFError, OSError, StructError),
    *(LookupError, ValueError, TypeError, AttributeError, RuntimeError),
)
"""Errors that a file of another origin can raise; `RuntimeError` covers encryption and deep nesting."""


def harmless_archive(content: bytes, path: str) -> bytes:
    """Return the program in a newly built archive; raise `InputError` with `path` if it needs more than tensors.

    Guarantee: the archive holds only plain numbers, names, sizes and operators of networks on tensors.
    """
    try:
        with ZipFile(BytesIO(content)) as archive:
            files = _files(archive, len(content))
            clean = {name: files[name] for name in PLAIN if name in files and len(files[name]) < 100}
            clean[MODEL] = json.dumps(_program(parse_json(files[MODEL]))).encode()
            clean[EXAMPLES] = b""  # torch wants this file, and unpickles nothing if it is empty
            for config in CONFIGS:
                document = parse_json(files[config])
                folder = config.rpartition("/")[0]
                clean[config] = json.dumps(document).encode()
                clean |= {f"{folder}/{name}": files[f"{folder}/{name}"] for name in _payloads(document)}
                for entry in document["config"].values():
                    _check_within(entry, len(files[f"{folder}/{entry['path_name']}"]))
    except DAMAGED as error:
        if isinstance(error, InputError):
            raise InputError(f"{path} {error}") from error
        raise InputError(
            f"{path} is not a program that torch.export.save of torch 2.11 or newer wrote: export it again"
        ) from error
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_STORED) as archive:
        for name, file in clean.items():
            archive.writestr(f"model/{name}", file)
    return packed.getvalue()


def _files(archive: ZipFile, size: int) -> dict[str, bytes]:
    """Return the files of an archive of `size` bytes by their names within its one folder."""
    files: dict[str, bytes] = {}
    # torch does not compress, so a larger sum means entries that overlap, and could unpack to any size
    if sum(entry.file_size for entry in archive.infolist()) > size:
        raise ValueError("files share their bytes")
    for entry in archive.infolist():
        name = entry.filename.partition("/")[2]
        if name in files or entry.compress_type != ZIP_STORED:
            raise ValueError(f"{name} comes twice, or is compressed")
        files[name] = archive.read(entry)
    return files


def _program(document: Any) -> Any:
    """Return the program without its guards and without metadata on its origin."""
    graph = document["graph_module"]
    signature = graph["module_call_graph"][0]["signature"]
    if any(json.loads(signature[name]) != json.loads(spec) for name, spec in SPECS.items()):
        raise InputError(
            "must take one batch of images, and give one tensor of logits: export a module that does"
        )
    # exactly these texts pass the check of words below; equal JSON may be written in another way
    signature |= SPECS
    graph["module_call_graph"] = graph["module_call_graph"][:1]
    graph["metadata"] = {}
    for node in graph["graph"]["nodes"]:
        node["metadata"] = {}
        if node["target"] in FILLED:
            node["target"] = FILLED[node["target"]]
            node["inputs"] = [one for one in node["inputs"] if one["name"] != "memory_format"]
    document["guards_code"] = []
    document["torch_version"] = ""
    _check_words(document)
    return document


def _payloads(config: Any) -> set[str]:
    """Return the names of the files that hold the numbers of weights or constants."""
    entries = config["config"].values()
    for entry in entries:
        if entry["use_pickle"] is not False or not PAYLOAD.fullmatch(entry["path_name"]):
            raise InputError(
                "holds pickled objects, which could run any program: export a model of tensors alone"
            )
    _check_words(config)
    return {entry["path_name"] for entry in entries}


def _check_within(entry: Any, size: int) -> None:
    """Raise `InputError` unless a tensor lies within the `size` bytes of its file."""
    meta = entry["tensor_meta"]
    sizes, strides = ([one["as_int"] for one in meta[name]] for name in ("sizes", "strides"))
    offset = meta["storage_offset"]["as_int"]
    if (
        any(type(number) is not int or number < 0 for number in (*sizes, *strides, offset))
        or len(sizes) != len(strides)
        # one byte per element at least; torch compares again, with its type
        or (
            0 not in sizes
            and offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True)) >= size
        )
        # of a file without bytes torch would make zeros, and elements can share their bytes
        or prod(sizes) > (max(size, MOST_ELEMENTS) if size else 0)
    ):
        raise InputError(f"holds a tensor of sizes {sizes}, which does not fit into its {size} bytes")


def _check_words(value: Any, name: str = "") -> None:
    """Raise `InputError` for text under the key `name` that is not a name, size, operator or known signature."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_words(key)
            _check_words(item, key)
    elif isinstance(value, list):
        for item in value:
            _check_words(item, name)
    elif name in ("target", "as_operator"):
        check_operator(value)
    elif isinstance(value, str) and value not in SPECS.values():
        kind = {"expr_str": NUMBER, "as_string": EQUATION}.get(name, WORD)
        # names become attributes in Python, where those with two underscores lead out of the program
        if value in INFINITE and name in ("as_float", "as_floats"):
            return
        if not kind.fullmatch(value) or re.search(r"(^|\.)__", value):
            raise InputError(f"holds {value[:60]!r} where a name must be: export it again")
