"""A program of torch.export in a file, FILE.pt2."""

import hashlib
import logging
from io import BytesIO

import torch
from torch import Tensor, nn
from torch.fx.graph import CodeGen

from radii.errors import InputError
from radii.models.adapters.export_archive import harmless_archive
from radii.models.adapters.operators import check_run
from radii.models.adapters.preprocess import check_input_shape
from radii.models.digest import Identified
from radii.storage.kinds import read_model

EXPORT = "torch.export.export(model.eval(), (images,), dynamic_shapes=({0: torch.export.Dim.AUTO},)) on several images"

MOST_ROWS = 10**7
"""A limit on the batch size that is as large as this counts as none."""


class ExportedModel(nn.Module, Identified):
    """The classifier in a .pt2 file of this `content`; `path` appears in messages.

    Guarantee: unless the file is trusted, nothing in it is unpickled or evaluated (`export_archive.py`), and it
    calls only operators of networks, within limits (`operators.py`). The SHA-256 of the file identifies the model.
    """

    def __init__(self, content: bytes, path: str, trust: bool = False) -> None:
        super().__init__()
        self._path, self._identity = path, hashlib.sha256(content).hexdigest()
        self._trusted = trust
        self._checked: set[tuple[torch.Size, tuple[int, ...], torch.dtype]] = set()
        archive = content if trust else harmless_archive(content, path)
        try:
            program = _loaded(archive)
            self._shape = _shape(program, path)
            self.program = _graph_module(program)
        except InputError:
            raise
        except Exception as error:  # torch documents none of the errors that a file of another origin raises
            raise InputError(
                f"{path} is damaged, or of another torch or device ({type(error).__name__}: {error}): export it again, "
                f"on the processor, {EXPORT}"
            ) from error
        for part in self.modules():
            part.training = False  # exported programs have no eval(): the export fixed their mode

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits `(batch, classes)` of images `(batch, *shape)`."""
        check_input_shape(self._path, self._shape, tuple(images.shape[1:]))
        if not self._trusted:
            self._check(images)
        return self.program(images)[0]

    @torch.compiler.disable
    def _check(self, images: Tensor) -> None:
        """Raise `InputError` if the program leaves its limits on batches of this form."""
        key = images.shape, images.stride(), images.dtype
        if key in self._checked:
            return
        try:
            check_run(self.program, images)
        except (
            Exception
        ) as error:  # torch documents none of the errors that a program of another origin raises
            words = str(error).partition("\n")[0]  # torch appends the call, on further lines
            if not isinstance(error, InputError):
                words = f"fails on images of shape {tuple(images.shape)} ({type(error).__name__}: {words})"
            raise InputError(f"{self._path} {words}") from error
        self._checked.add(key)

    @property
    def identity(self) -> str:
        return self._identity


def load_exported(path: str, trust: bool = False) -> ExportedModel:
    """Return the model in the file at `path`; `trust`: the file is code, which torch loads and runs."""
    what = "a program that torch.export.save wrote"
    return ExportedModel(read_model(path, what, "zip", "program", "torch", "npz"), path, trust)


def _loaded(archive: bytes) -> torch.export.ExportedProgram:
    """Return the program in an archive, or raise the error that torch met first."""
    logger, withheld = logging.getLogger(torch.export.__name__), _Withheld()
    logger.addFilter(withheld)
    try:
        return torch.export.load(BytesIO(archive))
    except Exception as error:
        raise withheld.error or error from error
    finally:
        logger.removeFilter(withheld)


class _Withheld(logging.Filter):
    """Keeps from the user the traceback that torch logs before it raises another, empty error; holds its error."""

    error: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if not (record.exc_info and record.exc_info[1]):
            return True
        self.error = record.exc_info[1]
        return False


def _shape(program: torch.export.ExportedProgram, path: str) -> tuple[int | None, ...]:
    """Return the shape of an image, with None for dynamic sizes; raise `InputError` unless the batch is dynamic."""
    names = program.graph_signature.user_inputs
    if len(names) != 1 or len(program.graph_signature.user_outputs) != 1:
        raise InputError(f"{path} must take one batch of images, and give one tensor of logits: {EXPORT}")
    node = next(node for node in program.graph.nodes if node.name == names[0])
    batch, *shape = node.meta["val"].shape
    most = batch if isinstance(batch, int) else program.range_constraints[batch.node.expr].upper
    if most < MOST_ROWS:
        limit = most if isinstance(batch, int) else f"at most {most}"
        raise InputError(f"{path} takes {limit} images at a time: export it with a dynamic batch, {EXPORT}")
    return tuple(size if isinstance(size, int) else None for size in shape)


def _graph_module(program: torch.export.ExportedProgram) -> torch.fx.GraphModule:
    """Return the program, with its weights, as a function from one tensor to a list of one tensor."""
    # the archive has no guards to check
    module = program.module(check_guards=False)
    graph = module.graph
    # the default code generator: the usual one of programs packs and unpacks arguments at each call
    graph.set_codegen(CodeGen())
    for node in graph.nodes:
        node.meta = {}
    return torch.fx.GraphModule(module, graph)
