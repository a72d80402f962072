"""Files of torch.export, and changes of what is in them."""

import io
import json
import warnings
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import torch
from torch import nn

AUTO = torch.export.Dim.AUTO
MODEL = "models/model.json"


def export(model: nn.Module, path: Path, batch=AUTO, images: int = 3, decomposed: bool = False) -> str:
    """The file of a model; `decomposed`: into the core operators of ATen."""
    shapes = ({0: batch},) if batch else None
    program = torch.export.export(model.eval(), (torch.rand(images, 1, 8, 8),), dynamic_shapes=shapes)
    if decomposed:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of torch, about torch
            program = program.run_decompositions()
    torch.export.save(program, path)
    return str(path)


def changed(file: str, **edits) -> bytes:
    """The archive with files replaced: by name, by content or by a function of what was there."""
    packed = io.BytesIO()
    with ZipFile(file) as old, ZipFile(packed, "w", ZIP_STORED) as new:
        root = old.namelist()[0].partition("/")[0]
        names = [name.partition("/")[2] for name in old.namelist()]
        for name in [*names, *(name for name in edits if name not in names)]:
            content = old.read(f"{root}/{name}") if name in names else b""
            edit = edits.get(name, content)
            new.writestr(f"{root}/{name}", edit(content) if callable(edit) else edit)
    return packed.getvalue()


def of_model(change):
    """An edit of the graph."""

    def edit(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return edit
