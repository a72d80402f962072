"""The operators that a program of torch.export may call, with limits on their arguments and results.

torch does not check every argument of every operator: some write or read outside their tensors if an index or a size is
hostile. A program from a file is therefore limited to the operators of ordinary networks, those that survive
`tests/models/test_operators.py`, which calls each of them with hostile arguments.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses import FakeTensorMode
from torch.utils import _pytree as pytree

from radii.errors import InputError

NAMES = """
conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution linear addmm baddbmm bmm
cosine_similarity einsum matmul mm mv outer scaled_dot_product_attention

batch_norm group_norm instance_norm layer_norm rms_norm native_layer_norm native_group_norm _fused_rms_norm
_native_batch_norm_legit _native_batch_norm_legit_no_training dropout feature_dropout alpha_dropout dropout_
feature_dropout_ alpha_dropout_

avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d upsample_linear1d upsample_bilinear2d
upsample_trilinear3d upsample_bicubic2d upsample_nearest1d upsample_nearest2d upsample_nearest3d
_upsample_bilinear2d_aa _upsample_bicubic2d_aa affine_grid_generator grid_sampler grid_sampler_2d constant_pad_nd
pad reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d

celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_sigmoid_forward log_softmax
_log_softmax mish prelu _prelu_kernel relu relu6 selu sigmoid silu softmax _softmax softplus softshrink tanh
threshold celu_ elu_ hardsigmoid_ hardswish_ hardtanh_ leaky_relu_ mish_ relu_ relu6_ selu_ silu_

abs add addcmul bitwise_and bitwise_not bitwise_or ceil clamp clamp_max clamp_min cos div eq erf exp expm1 floor
floor_divide ge gt isinf isnan le lerp log log1p logical_and logical_not logical_or lt masked_fill maximum minimum
mul ne neg pow reciprocal remainder round rsqrt rsub sign sin sqrt square sub trunc where add_ clamp_ copy_ div_
fill_ masked_fill_ mul_ sub_ zero_

amax amin any argmax argmin cumsum linalg_vector_norm logsumexp max mean min norm prod std sum topk var var_mean

alias broadcast_to cat channel_shuffle chunk clone col2im contiguous copy detach detach_ expand expand_as flatten
flip im2col lift_fresh_copy mT meshgrid movedim narrow numpy_T permute pixel_shuffle pixel_unshuffle repeat reshape
reshape_as roll select select_scatter slice slice_scatter split split_with_sizes squeeze stack t tile transpose tril
triu unbind unflatten unfold unsqueeze view view_as _unsafe_view to _to_copy type_as

embedding gather index index_select

arange full full_like linspace new_full new_ones new_zeros ones ones_like scalar_tensor zeros zeros_like sym_size
sym_numel sym_stride _assert_tensor_metadata
"""
"""Convolutions and products; normalisations and dropout; pooling, resizing and padding; activations; elementwise;
reductions; shapes and types; look-ups, which check the bounds of an index themselves; constants and sizes.
"""

OPERATORS = frozenset(NAMES.split())
"""Operators of ATen that a program may call, without their overloads.

Those that write in place, with a trailing underscore, are elementwise: torch compares their shapes, and they cannot
change the size or the storage of a tensor. Others are not here: networks need none.
"""

ON_NUMBERS = {
    f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "mod", "neg")
} | {f"torch.{name}": getattr(torch, name) for name in ("sym_float", "sym_int", "sym_max", "sym_min")}
"""Functions of Python that compute sizes."""

LARGEST = 2**31 - 1
"""The largest integer argument of an operator."""

TO_THE_END = 2**63 - 1
"""The end of a slice without an end, as torch writes it."""

NAMED = ("ScalarType", "Layout", "MemoryFormat", "Device")
"""Kinds of arguments that are given by name, never by number."""

MOST_ELEMENTS = 2**26
"""Most elements of a tensor per image of a batch: 20 times those of the first layer of a ResNet on ImageNet."""

MOST_PARTS = 2**20
"""Longest dimension of a tensor that is split into a list of tensors, each of which takes memory of its own."""


def check_operator(name: str) -> None:
    """Raise `InputError` unless a program may call the operator with this name in its file."""
    if name == "_operator.getitem" or name in ON_NUMBERS:
        return
    *namespace, packet, overload = name.split(".")
    if namespace != ["torch", "ops", "aten"] or packet not in OPERATORS or overload not in overloads(packet):
        raise InputError(
            f"calls {name!r}, which is not among the operators of networks that are known to be safe: export a model "
            "without it, or trust the file to run any code (--trust-model, trust=True)"
        )


def overloads(packet: str) -> list[str]:
    """Return the overloads of an operator that return their results, on tensors, and do not name dimensions."""
    operators = getattr(torch.ops.aten, packet)
    return [name for name in operators.overloads() if _is_plain(getattr(operators, name)._schema, name)]


def _is_plain(schema: Any, overload: str) -> bool:
    kinds = [str(one.type) for one in (*schema.arguments, *schema.returns)]
    # functions of TorchScript on numbers and lists, where a type is a number, are among the overloads
    script = overload.startswith("prim") or (not schema.returns and "List[Tensor]" in kinds)
    out = any(argument.is_out for argument in schema.arguments)
    return "Tensor" in " ".join(kinds) and not script and not out and "Dimname" not in " ".join(kinds)


def check_arguments(target: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise `InputError` for arguments that `target` may not be called with; of tensors, only sizes matter."""
    values = pytree.tree_leaves((args, kwargs))
    if target in ON_NUMBERS.values() and not all(isinstance(value, int | float) for value in values):
        raise InputError(f"computes {target.__name__} of things that are not numbers")
    ends = (TO_THE_END,) if isinstance(target, torch._ops.OpOverload) and "slice" in target.name() else ()
    for value in values:
        if isinstance(value, int) and abs(value) > LARGEST and value not in ends:
            raise InputError(f"calls {_name(target)} with the number {value}, but the most is {LARGEST}")
        if isinstance(value, torch.layout) and value != torch.strided:
            raise InputError(
                f"calls {_name(target)} for {value} tensors, but only dense ones are known to be safe"
            )
    if isinstance(target, torch._ops.OpOverload):
        _check_arguments_of_operator(target, args, kwargs)


def _check_arguments_of_operator(
    target: torch._ops.OpOverload, args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    """Check what the operator itself does not check."""
    schema = target._schema
    given = dict(zip((argument.name for argument in schema.arguments), args, strict=False)) | kwargs
    for argument in schema.arguments:
        # torch also takes types and layouts as numbers, and reads tables at these places
        if isinstance(given.get(argument.name), int) and any(
            kind in str(argument.real_type) for kind in NAMED
        ):
            raise InputError(f"calls {target} with a number as {argument.name}")
    first = given.get(schema.arguments[0].name) if schema.arguments else None
    shape = tuple(first.shape) if isinstance(first, Tensor) else ()
    lists = any("List" in str(result.type) for result in schema.returns)
    if lists and max(shape, default=0) > MOST_PARTS:
        raise InputError(f"splits a dimension of {max(shape)} with {target}, but the most is {MOST_PARTS}")
    if "batch_norm" in schema.name:
        _check_statistics(target, shape[1:2], given)
    if "scaled_dot_product" in schema.name:
        _check_attention(target, given)


def _check_statistics(
    target: torch._ops.OpOverload, channels: tuple[int, ...], given: dict[str, Any]
) -> None:
    """Check the vectors of a batch normalisation, which reads one number per channel from each."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = given.get(name)
        if value is not None and (not channels or tuple(value.shape) != channels):
            raise InputError(
                f"calls {target} with {name} of another size than the {channels} of its channels"
            )
    trained = given.get("training") is False or "no_training" in str(target)
    if trained and (given.get("running_mean") is None or given.get("running_var") is None):
        raise InputError(f"calls {target} without the statistics of its training")


def _check_attention(target: torch._ops.OpOverload, given: dict[str, Any]) -> None:
    """Check that there are as many keys as values: attention on a processor reads a key for each value."""
    shapes = [tuple(value.shape[:-1]) for name in ("key", "value") if (value := given.get(name)) is not None]
    if len(set(shapes)) > 1:
        raise InputError(f"calls {target} with keys {shapes[0]} for values {shapes[1]}")


def _name(target: Callable[..., Any]) -> str:
    return str(target) if isinstance(target, torch._ops.OpOverload) else target.__name__


def check_run(program: fx.GraphModule, images: Tensor) -> None:
    """Raise `InputError` if a program would leave the limits on a batch; nothing is computed but shapes.

    Guarantee: whatever the numbers of images and weights, all operators are called with integers that
    `check_arguments` accepts, and no tensor has more elements than the largest weight, and than `MOST_ELEMENTS` per
    image. A program in which a shape depends on numbers is rejected, since these are not computed.
    """
    sizes = (value.numel() for value in program.state_dict().values())
    most = max(MOST_ELEMENTS * len(images), *sizes, 0)
    with FakeTensorMode() as mode:
        _Shapes(program, mode, most, images.device).run(mode.from_tensor(images))


class _Shapes(fx.Interpreter):
    """A run of a program on tensors without numbers."""

    def __init__(
        self, program: fx.GraphModule, mode: FakeTensorMode, most: int, device: torch.device
    ) -> None:
        super().__init__(program)
        self._mode, self._most = mode, most
        self._devices = ("cpu", device.type)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._mode.from_tensor(super().get_attr(target, args, kwargs))

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        check_arguments(target, args, kwargs)
        result = super().call_function(target, args, kwargs)
        for tensor in tensors(result):
            if tensor.numel() > self._most:
                raise InputError(
                    f"makes a tensor of {tensor.numel():.1e} elements with {_name(target)}, but the most for this "
                    f"batch is {self._most:.1e}"
                )
            if (
                tensor.layout != torch.strided
                or tensor.is_quantized
                or tensor.device.type not in self._devices
            ):
                raise InputError(f"makes a tensor that is not dense and in memory with {_name(target)}")
        return result


def tensors(result: Any) -> Iterator[Tensor]:
    """Return the tensors among the results of an operator."""
    return (value for value in pytree.tree_leaves(result) if isinstance(value, Tensor))
