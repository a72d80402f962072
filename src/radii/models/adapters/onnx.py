"""A model in an ONNX file, run by onnxruntime: two to three times as fast as torch on a processor."""

import hashlib
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from radii.errors import InputError, RadiiWarning, missing_extra
from radii.models.adapters.preprocess import check_input_shape
from radii.models.digest import Identified
from radii.storage.documents import fits, parse_json
from radii.storage.kinds import read_model
from radii.storage.memory import is_out_of_memory

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""Execution providers by preference; of several GPUs, the first."""

NAMES = "class_names"
"""Key of the metadata under which a file may list its class names, as JSON."""

NO_FOLDER = "/dev/null/weights in other files are not read"
"""Folder for weights in other files: a path that cannot exist, so that onnxruntime finds none."""
EXPORT = "torch.onnx.export(model, (images,), FILE, dynamo=True, external_data=False, dynamic_shapes=({0: 'batch'},))"


class OnnxModel(Identified):
    """The classifier in an ONNX file of this `content`; `path` appears in messages.

    `class_names`: those in its metadata, empty without any.

    Guarantee: the SHA-256 of the file identifies the model, since weights in other files are rejected.
    """

    def __init__(self, content: bytes, path: str) -> None:
        self._content, self._path = content, path
        self._session = _session(content, path)
        try:
            self._input, self._shape = _input(self._session, path)
            self._output = _output(self._session, path)
            self.class_names = _names(self._session, path)
        # onnxruntime takes names of any bytes
        except UnicodeDecodeError as error:
            raise InputError(f"{path} has a name that is not UTF-8 ({error}): export it again") from error

    def __call__(self, images: Tensor) -> Tensor:
        """Compute logits `(batch, classes)` of images `(batch, *shape)`."""
        check_input_shape(self._path, self._shape, tuple(images.shape[1:]))
        # float32, the input type that `_input` requires; numpy has no bfloat16 either
        array = np.ascontiguousarray(images.float().cpu().numpy())
        try:
            return torch.from_numpy(self._session.run([self._output], {self._input: array})[0])
        except Exception as error:  # no public module has the types of onnxruntime's errors
            if is_out_of_memory(error) or "allocate memory" in str(error):
                raise MemoryError from error  # the sampler then splits the batch
            raise InputError(
                f"{self._path} fails on images of shape {tuple(images.shape)}: {error}"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        # a session cannot be pickled: other processes make one of the same content
        return OnnxModel, (self._content, self._path)

    @property
    def identity(self) -> str:
        return hashlib.sha256(self._content).hexdigest()


def load_onnx(path: str) -> OnnxModel:
    """Return the model in the file at `path`."""
    return OnnxModel(read_model(path, "an ONNX model", "onnx"), path)


def _session(content: bytes, path: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("an ONNX model", "onnx", error) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal only: errors are raised, and warnings about a graph help no user
    # as many threads as torch has: by default a session takes all cores, even if several processes share them
    options.intra_op_num_threads = torch.get_num_threads()
    # threads that wait for work while spinning would take the cores that draw the noise
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
    # onnxruntime warns of providers that it lacks
    available = onnxruntime.get_available_providers()
    providers = [provider for provider in PROVIDERS if provider in available]
    try:
        # without a GPU, a fallback would print the error, with words of the file, and try the same provider again
        fallback = int(len(providers) > 1)
        return onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=fallback)
    except Exception as error:  # as above
        if "external data" in str(error).lower():
            raise InputError(
                f"{path} has weights in another file, which the digest would not cover: put them into one, {EXPORT}"
            ) from error
        raise InputError(f"{path} is not an ONNX model that onnxruntime can run ({error})") from error


def _input(session: Any, path: str) -> tuple[str, tuple[int | str, ...]]:
    """Return name and shape of the input; dynamic sizes are names."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        kinds = ", ".join(f"{node.name}: {node.type}" for node in inputs)
        raise InputError(f"{path} must take one batch of images, tensor(float); it takes {kinds}")
    batch, *shape = inputs[0].shape or [0]
    # a name stands for any size; batches must be free, since the last one of a run is smaller than the others
    if isinstance(batch, int):
        raise InputError(
            f"{path} takes {batch} images at a time, no more and no fewer: export it with a dynamic batch, {EXPORT}"
        )
    return inputs[0].name, tuple(shape)


def _output(session: Any, path: str) -> str:
    """Return the name of the logits."""
    outputs = session.get_outputs()
    # converters of scikit-learn add the predicted labels as a second output, which is not a table of numbers
    tables = [node for node in outputs if node.type == "tensor(float)" and len(node.shape) == 2]
    if len(tables) != 1:
        kinds = ", ".join(f"{node.name}: {node.type} {node.shape}" for node in outputs)
        raise InputError(f"{path} must give one table of logits (batch, classes); it gives {kinds}")
    return str(tables[0].name)


def _names(session: Any, path: str) -> tuple[str, ...]:
    """Return the class names in the metadata; warn if the model returns names that are not listed there."""
    text = session.get_modelmeta().custom_metadata_map.get(NAMES)
    if text is None:
        if any(node.type == "tensor(string)" for node in session.get_outputs()):
            warnings.warn(
                RadiiWarning(
                    f"{path} gives its classes names that radii does not read: labels are positions among its outputs; "
                    f"to match names, list them in its metadata as {NAMES}, or give a class map"
                ),
                stacklevel=2,
            )
        return ()
    try:
        if fits(names := parse_json(text), list[str]):
            return tuple(names)
    except ValueError:
        pass
    raise InputError(
        f'the metadata {NAMES} of {path} must be a list of names in JSON, ["cat", "dog"]; got {text[:100]!r}'
    )
