"""An ONNX file, run by onnxruntime: two to three times as fast as torch on a processor."""

import hashlib
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from radii.errors import InputError, RadiiWarning, missing_extra
from radii.models.adapters.preprocess import check_takes
from radii.models.digest import Identified
from radii.storage.documents import fits, parse_json
from radii.storage.kinds import read_model
from radii.storage.memory import is_out_of_memory

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""What runs it, by preference; where several GPUs are, the first."""
NAMES = "class_names"
"""The key of the metadata under which a file may list the names of its classes, in JSON."""

NO_FOLDER = "/dev/null/weights in other files are not read"
EXPORT = "torch.onnx.export(model, (images,), FILE, dynamo=True, external_data=False, dynamic_shapes=({0: 'batch'},))"


class OnnxModel(Identified):
    """The classifier in the ONNX file of this content; `path` is for errors.

    `class_names`: those that its metadata list; empty if they list none.

    Guarantee: the SHA-256 of the file identifies it, since weights in files beside it are refused.
    """

    def __init__(self, content: bytes, path: str) -> None:
        self._content, self._path = content, path
        self._session = _session(content, path)
        self._input, self._shape = _input(self._session, path)
        self._output = _output(self._session, path)
        self.class_names = _names(self._session, path)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits `(batch, classes)` of images `(batch, *shape)`."""
        check_takes(self._path, self._shape, tuple(images.shape[1:]))
        array = np.ascontiguousarray(images.float().cpu().numpy())
        try:
            return torch.from_numpy(self._session.run([self._output], {self._input: array})[0])
        except Exception as error:  # onnxruntime has kinds of its own, which are in no public module
            if is_out_of_memory(error) or "allocate memory" in str(error):
                raise MemoryError from error
            raise InputError(
                f"{self._path} fails on images of shape {tuple(images.shape)}: {error}"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes open the file anew."""
        return OnnxModel, (self._content, self._path)

    @property
    def identity(self) -> str:
        return hashlib.sha256(self._content).hexdigest()


def load_onnx(path: str) -> OnnxModel:
    """The model in a file."""
    return OnnxModel(read_model(path, "an ONNX model", "onnx"), path)


def _session(content: bytes, path: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("an ONNX model", "onnx", error) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
    known = onnxruntime.get_available_providers()
    try:
        return onnxruntime.InferenceSession(
            content, options, providers=[one for one in PROVIDERS if one in known]
        )
    except Exception as error:  # as above
        if "external data" in str(error).lower():
            raise InputError(
                f"{path} has weights in another file, which no digest would see: put them into one, {EXPORT}"
            ) from error
        raise InputError(f"{path} is no ONNX model that onnxruntime can run ({error})") from error


def _input(session: Any, path: str) -> tuple[str, tuple[int | str, ...]]:
    """Name and shape of the images; sizes that are open have names."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        kinds = ", ".join(f"{one.name}: {one.type}" for one in inputs)
        raise InputError(f"{path} must take one batch of images, tensor(float); it takes {kinds}")
    batch, *shape = inputs[0].shape or [0]
    if isinstance(batch, int):
        raise InputError(
            f"{path} takes {batch} images at a time, no more and no fewer: export it with a dynamic batch, {EXPORT}"
        )
    return inputs[0].name, tuple(shape)


def _output(session: Any, path: str) -> str:
    """The name of the logits."""
    tables = [one for one in session.get_outputs() if one.type == "tensor(float)" and len(one.shape) == 2]
    if len(tables) != 1:
        found = ", ".join(f"{one.name}: {one.type} {one.shape}" for one in session.get_outputs())
        raise InputError(f"{path} must give one table of logits (batch, classes); it gives {found}")
    return str(tables[0].name)


def _names(session: Any, path: str) -> tuple[str, ...]:
    """The names of the classes in the metadata; where words are given out but not listed there, a notice says so."""
    said = session.get_modelmeta().custom_metadata_map.get(NAMES)
    if said is None:
        if any(one.type == "tensor(string)" for one in session.get_outputs()):
            warnings.warn(
                RadiiWarning(
                    f"{path} gives its classes names that radii does not read: labels are positions among its outputs; "
                    f"to match names, list them in its metadata as {NAMES}, or give a class map"
                ),
                stacklevel=2,
            )
        return ()
    try:
        if fits(names := parse_json(said), list[str]):
            return tuple(names)
    except ValueError:
        pass
    raise InputError(
        f'the metadata {NAMES} of {path} must be a list of names in JSON, ["cat", "dog"]; got {said[:100]!r}'
    )
