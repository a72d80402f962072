"""A model in an ONNX file, written by hand."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from given_models import plain

FLOAT = TensorProto.FLOAT


def linear(
    path: Path,
    shape=("batch", 64),
    logits=("batch", 10),
    kind=FLOAT,
    twice=False,
    outside=False,
    words=False,
    names=None,
) -> str:
    """The nearest mean as a file: flattened images in, logits out."""
    weight = numpy_helper.from_array(plain.layer.weight.detach().numpy().T.copy(), "weight")
    bias = numpy_helper.from_array(plain.layer.bias.detach().numpy(), "bias")
    nodes = [helper.make_node("Gemm", ["images", "weight", "bias"], ["logits"])]
    outputs = [helper.make_tensor_value_info("logits", FLOAT, logits)]
    if kind != FLOAT:
        nodes = [
            helper.make_node("Cast", ["images"], ["cast"], to=FLOAT),
            helper.make_node("Gemm", ["cast", "weight", "bias"], ["logits"]),
        ]
    if twice:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"]))
        outputs.append(helper.make_tensor_value_info("probabilities", FLOAT, logits))
    if words:
        nodes += [
            helper.make_node("ArgMax", ["logits"], ["winner"], axis=1, keepdims=0),
            helper.make_node("Cast", ["winner"], ["label"], to=TensorProto.STRING),
        ]
        outputs.append(helper.make_tensor_value_info("label", TensorProto.STRING, ("batch",)))
    graph = helper.make_graph(
        nodes, "linear", [helper.make_tensor_value_info("images", kind, shape)], outputs, [weight, bias]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if names is not None:
        helper.set_model_props(model, {"class_names": names})
    onnx.save(model, path, save_as_external_data=outside, size_threshold=0)
    return str(path)
