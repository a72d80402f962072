"""Archives of torch.export without what torch would unpickle or evaluate.

`torch.export.load` (of torch 2.11 and 2.13) unpickles example inputs, weights and constants of odd kinds; it lets sympy
evaluate sizes, looks operators up by any name within torch, makes source text of names, and runs guards, which are
source text already. So the archive is not given to it. What is read here, once, is checked, and put into a new archive:
weights as plain bytes, a graph whose words are names and whose operators are those of ATen, and nothing else.
"""

import json
import re
from io import BytesIO
from struct import error as StructError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from radii.errors import InputError
from radii.storage.documents import parse_json

MODEL = "models/model.json"
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
EXAMPLES = "data/sample_inputs/model.pt"
PLAIN = ("archive_format", "archive_version", "byteorder", ".data/version")
"""Files of a few letters that are taken over as they are."""
PAYLOAD = re.compile(r"(weight|tensor)_[0-9]+")

WORD = re.compile(r"[A-Za-z0-9_.]*", re.ASCII)
OPERATOR = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+|torch\.sym_\w+|_operator\.(getitem|add|sub|mul|floordiv|mod|neg)"
)
WITH_FILES = ("from_file", "save")
"""Operators of ATen that read or write files."""
NUMBER = re.compile(
    r"(Symbol\('[a-z][0-9]+'(, (positive|integer|nonnegative)=True)*\)|Integer\(-?[0-9]{1,18}\)"
    r"|(Add|Mul|Min|Max|FloorDiv|Mod)\(|[a-z][0-9]+|[0-9]{1,18}|[ ,)])*"
)
"""Sums and products of sizes, as sympy writes them."""

ONE_TENSOR = '{"type": null, "context": null, "children_spec": []}'
TUPLE = '{{"type": "builtins.tuple", "context": "null", "children_spec": [{}]}}'
NO_NAMES = '{"type": "builtins.dict", "context": "[]", "children_spec": []}'
SPECS = {
    "in_spec": f"[1, {TUPLE.format(f'{TUPLE.format(ONE_TENSOR)}, {NO_NAMES}')}]",
    "out_spec": f"[1, {ONE_TENSOR}]",
}
"""How a function from one tensor to one is called, as torch writes it."""


DAMAGED = (
    *(BadZipFile, EOFError, OSError, StructError),
    *(LookupError, ValueError, TypeError, AttributeError, RuntimeError),
)
"""What a file that torch did not write can end in."""


def harmless_archive(content: bytes, path: str) -> bytes:
    """The same program in an archive of our own making; a program that needs more is refused, by the name `path`."""
    try:
        with ZipFile(BytesIO(content)) as archive:
            files = _files(archive, len(content))
            clean = {name: files[name] for name in PLAIN if name in files and len(files[name]) < 100}
            clean[MODEL] = json.dumps(_program(parse_json(files[MODEL]))).encode()
            clean[EXAMPLES] = b""
            for config in CONFIGS:
                document = parse_json(files[config])
                folder = config.rpartition("/")[0]
                clean[config] = json.dumps(document).encode()
                clean |= {f"{folder}/{name}": files[f"{folder}/{name}"] for name in _payloads(document)}
    except DAMAGED as error:
        if isinstance(error, InputError):
            raise InputError(f"{path} {error}") from error
        raise InputError(
            f"{path} is no program that torch.export.save of torch 2.11 or newer wrote: export it again"
        ) from error
    return _packed(clean)


def _files(archive: ZipFile, size: int) -> dict[str, bytes]:
    """Content by name within the one folder that is there, of `size` bytes at most; torch does not compress."""
    found: dict[str, bytes] = {}
    if sum(one.file_size for one in archive.infolist()) > size:
        raise ValueError("files share their bytes")
    for one in archive.infolist():
        name = one.filename.partition("/")[2]
        if name in found or one.compress_type != ZIP_STORED:
            raise ValueError(f"{name} comes twice, or is compressed")
        found[name] = archive.read(one)
    return found


def _packed(files: dict[str, bytes]) -> bytes:
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(f"model/{name}", content)
    return packed.getvalue()


def _payloads(config: Any) -> set[str]:
    """The files of plain numbers that weights or constants are in."""
    entries = config["config"].values()
    for one in entries:
        if one["use_pickle"] is not False or not PAYLOAD.fullmatch(one["path_name"]):
            raise InputError(
                "holds pickled objects, which could run any program: export a model of tensors alone"
            )
    _check_words(config)
    return {one["path_name"] for one in entries}


def _program(document: Any) -> Any:
    """The program without guards and without all that was noted about its origin."""
    graph = document["graph_module"]
    signature = graph["module_call_graph"][0]["signature"]
    if any(json.loads(signature[name]) != json.loads(spec) for name, spec in SPECS.items()):
        raise InputError(
            "must take one batch of images, and give one tensor of logits: export a module that does"
        )
    signature |= SPECS
    graph["module_call_graph"] = graph["module_call_graph"][:1]
    graph["metadata"] = {}
    for node in graph["graph"]["nodes"]:
        node["metadata"] = {}
    document["guards_code"] = []
    document["torch_version"] = ""
    _check_words(document)
    return document


def _check_operator(name: str) -> None:
    if not OPERATOR.fullmatch(name) or "__" in name or name.split(".")[-2] in WITH_FILES:
        raise InputError(
            f"asks for {name!r}, which is no operator of ATen on tensors: export a model of these alone"
        )


def _check_words(value: Any, name: str = "") -> None:
    """Refuse words that are more than names: sizes are sums and products, the ways of calling are known."""
    if isinstance(value, dict):
        for key, one in value.items():
            _check_words(key)
            _check_words(one, key)
    elif isinstance(value, list):
        for one in value:
            _check_words(one, name)
    elif name in ("target", "as_operator"):
        _check_operator(value)
    elif isinstance(value, str) and value not in SPECS.values():
        kind = NUMBER if name == "expr_str" else WORD
        if not kind.fullmatch(value) or re.search(r"(^|\.)__", value):
            raise InputError(f"holds {value[:60]!r} where a name must be: export it again")
