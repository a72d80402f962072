"""A program that torch.export saved, FILE.pt2."""

import hashlib
from io import BytesIO

import torch
from torch import Tensor, nn
from torch.fx.graph import CodeGen

from radii.errors import InputError
from radii.models.adapters.export_archive import harmless_archive
from radii.models.adapters.preprocess import check_takes
from radii.models.digest import Identified
from radii.storage.kinds import read_model

EXPORT = "torch.export.export(model.eval(), (images,), dynamic_shapes=({0: torch.export.Dim.AUTO},)) on several images"

MOST_ROWS = 10**7
"""A batch that may be as large has no limit."""


class ExportedModel(nn.Module, Identified):
    """The classifier in the .pt2 file of this content; `path` is for errors.

    Guarantee: nothing in the file is unpickled or evaluated (`archive.py`), and its SHA-256 identifies the model.
    """

    def __init__(self, content: bytes, path: str) -> None:
        super().__init__()
        self._path, self._identity = path, hashlib.sha256(content).hexdigest()
        archive = harmless_archive(content, path)
        try:
            program = torch.export.load(BytesIO(archive))
            self._shape = _shape(program, path)
            self.program = _flat(program)
        except InputError:
            raise
        except Exception as error:  # whatever torch trips over in a file that is not of its own making
            raise InputError(
                f"{path} is damaged, or of another torch or device ({type(error).__name__}: {error}): export it again, "
                f"on the processor, {EXPORT}"
            ) from error
        for part in self.modules():
            part.training = False  # exported programs have no eval(); their mode lies in the graph

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(batch, classes)` of images `(batch, *shape)`."""
        check_takes(self._path, self._shape, tuple(images.shape[1:]))
        return self.program(images)[0]

    @property
    def identity(self) -> str:
        return self._identity


def load_exported(path: str) -> ExportedModel:
    """The model in a file."""
    what = "a program that torch.export.save wrote"
    return ExportedModel(read_model(path, what, "zip", "program", "torch", "npz"), path)


def _shape(program: torch.export.ExportedProgram, path: str) -> tuple[int | None, ...]:
    """The shape of an image, None for sizes that are open; a batch that is not open is refused."""
    names = program.graph_signature.user_inputs
    if len(names) != 1 or len(program.graph_signature.user_outputs) != 1:
        raise InputError(f"{path} must take one batch of images, and give one tensor of logits: {EXPORT}")
    node = next(node for node in program.graph.nodes if node.name == names[0])
    batch, *shape = node.meta["val"].shape
    most = batch if isinstance(batch, int) else program.range_constraints[batch.node.expr].upper
    if most < MOST_ROWS:
        few = "" if isinstance(batch, int) else "at most "
        raise InputError(
            f"{path} takes {few}{most} images at a time: export it with a dynamic batch, {EXPORT}"
        )
    return tuple(size if isinstance(size, int) else None for size in shape)


def _flat(program: torch.export.ExportedProgram) -> torch.fx.GraphModule:
    """The program as a plain function from its one input to a list of its one output, weights and all."""
    module = program.module(check_guards=False)
    graph = module.graph
    graph.set_codegen(CodeGen())
    for node in graph.nodes:
        node.meta = {}
    return torch.fx.GraphModule(module, graph)
