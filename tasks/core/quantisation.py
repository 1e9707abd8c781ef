"""An ONNX graph in fewer bits: float16, or int8 where it multiplies by weights.

N images, H height, W width, C channels
"""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper
from onnxruntime.quantization import (
    CalibrationMethod,
    QDQQuantizer,
    QuantType,
    TensorData,
    TensorsData,
)
from onnxruntime.quantization.quant_utils import add_infer_metadata
from onnxruntime.transformers.float16 import convert_float_to_float16

from tasks.core.onnx_graph import WEIGHTED, find_needed
from tasks.core.onnx_model import make_session

# What is computed in int8 where it follows a convolution.
_FOLLOWING = ("Add", "Relu", "MaxPool")


def in_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and what is between them in half the bytes; inputs and outputs as they were.

    A weight that float16 cannot hold becomes the nearest that it can.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return convert_float_to_float16(copy, keep_io_types=True)


def in_int8(
    model: onnx.ModelProto, batches: Iterable[np.ndarray], num_threads: int
) -> onnx.ModelProto:
    """Weights in int8 per channel, activations in uint8 within the range that they have over the
    images of `batches`, uint8 (n, H, W, C).

    What prepares the images stays in float32, so that no pixel is rounded before the net sees it,
    and so does what follows the embedding: rounded logits would tie.

    Weights use seven of their eight bits: the sums of processors without VNNI would overflow with
    all eight, and the same file would say something else there.
    """
    nodes = find_quantised(model)
    inferred = onnx.shape_inference.infer_shapes(model)
    # So that it does not infer them itself, by way of files.
    add_infer_metadata(inferred)
    quantizer = QDQQuantizer(
        inferred,
        per_channel=True,
        reduce_range=True,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=measure_ranges(model, nodes, batches, num_threads),
        nodes_to_quantize=[node.name for node in nodes],
        nodes_to_exclude=[],
        op_types_to_quantize=[*WEIGHTED, *_FOLLOWING],
        extra_options={},
    )
    quantizer.quantize_model()
    return quantizer.model.model


def find_quantised(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes before the embedding that multiply by weights, and what follows a convolution at
    once or after others of its kind: sums in a transformer have outliers that eight bits would
    not hold."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inner = find_needed(model, "embeddings")
    convolved: set[str] = set()
    nodes = []
    for node in model.graph.node:
        is_weighted = node.op_type in WEIGHTED and node.input[1] in weights
        follows = node.op_type in _FOLLOWING and bool(convolved.intersection(node.input))
        if node.name in inner and (is_weighted or follows):
            nodes.append(node)
            if node.op_type == "Conv" or follows:
                convolved.update(node.output)
    return nodes


def measure_ranges(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    batches: Iterable[np.ndarray],
    num_threads: int,
) -> TensorsData:
    """The least and the greatest value, float32, of each tensor that the nodes take and give,
    but for weights."""
    constants = {tensor.name for tensor in model.graph.initializer}
    tensors = [name for node in nodes for name in (*node.input, *node.output)]
    names = [name for name in dict.fromkeys(tensors) if name and name not in constants]
    session = make_session(_with_extremes(model, names).SerializeToString(), num_threads)
    wanted = [f"{name}:{end}" for name in names for end in ("least", "greatest")]
    drawn = [session.run(wanted, {"images": images_NHWC}) for images_NHWC in batches]
    extremes = np.array(drawn, dtype=np.float32).reshape(len(drawn), len(names), 2)
    least, greatest = extremes[:, :, 0].min(axis=0), extremes[:, :, 1].max(axis=0)
    ranges: dict[str, TensorData | tuple] = {
        name: TensorData(lowest=np.array(low), highest=np.array(high))
        for name, low, high in zip(names, least, greatest, strict=True)
    }
    return TensorsData(CalibrationMethod.MinMax, ranges)


def _with_extremes(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The model with the extremes of tensors as outputs: whole tensors would fill the memory."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in names:
        for kind, end in (("ReduceMin", "least"), ("ReduceMax", "greatest")):
            output = f"{name}:{end}"
            watched.graph.node.append(helper.make_node(kind, [name], [output], keepdims=0))
            watched.graph.output.append(
                helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [])
            )
    return watched
