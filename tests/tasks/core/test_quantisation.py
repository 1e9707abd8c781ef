"""Fewer bits: every family, what stays in float32, and ranges that are the activations' own."""

from functools import cache

import numpy as np
import onnx
import pytest
import torch

from tasks.core.onnx_graph import WEIGHTED, serialise
from tasks.core.quantisation import in_float16, in_int8, measure_ranges
from tests.exported import NETS, PIXELS, exported, run_graph

# Errors of eight bits add up over layers; those of fresh weights hardly forget them.
DEEP = {"resnet18": 0.2, "resnet50": 0.8}


def batches() -> list[np.ndarray]:
    return [PIXELS[:20], PIXELS[20:]]


@cache
def quantised(name: str) -> onnx.ModelProto:
    return in_int8(exported(name).graph, batches(), num_threads=1)


def distance(given: np.ndarray, expected: np.ndarray) -> float:
    """The root of the mean square of the difference, in standard deviations of what is expected."""
    return float(np.sqrt(((given - expected) ** 2).mean()) / expected.std())


@pytest.mark.parametrize("name", NETS)
def test_float16_is_near_the_net(name):
    one = exported(name)
    graph = in_float16(one.graph)
    logits, embeddings = run_graph(graph)
    assert logits.dtype == embeddings.dtype == np.float32
    assert distance(logits, one.logits()) < 0.02
    assert distance(embeddings, one.embeddings()) < 0.02
    weights = [t for t in graph.graph.initializer if t.name.startswith("classifier.head.weight")]
    assert [t.data_type for t in weights] == [onnx.TensorProto.FLOAT16]


@pytest.mark.parametrize("name", NETS)
def test_int8_is_near_the_net(name):
    one = exported(name)
    logits, embeddings = run_graph(quantised(name))
    assert distance(embeddings, one.embeddings()) < DEEP.get(name, 0.1)
    assert distance(logits, one.logits()) < DEEP.get(name, 0.1)
    kinds = [tensor.data_type for tensor in quantised(name).graph.initializer]
    assert onnx.TensorProto.INT8 in kinds


@pytest.mark.parametrize("name", ["residual", "vit"])
def test_what_comes_before_the_net_and_after_the_embedding_stays_as_it_is(name):
    graph = quantised(name).graph
    made_by = {output: node for node in graph.node for output in node.output}
    (head,) = [node for node in graph.node if "logits" in node.output]
    assert head.op_type in WEIGHTED
    weights = {t.name: t for t in graph.initializer}
    assert weights[head.input[1]].data_type == onnx.TensorProto.FLOAT
    # From the images on, the first thing in 8 bits is what a weight is multiplied with.
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
    above = made_by[first.input[0]]
    while above.op_type not in ("Transpose", "Cast"):
        assert above.op_type in ("Div", "Sub", "Reshape", "Resize")
        above = made_by[above.input[0]]


def test_weights_leave_a_bit_for_processors_that_would_overflow():
    for tensor in quantised("residual").graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8:
            values = onnx.numpy_helper.to_array(tensor)
            assert values.min() >= -64 and values.max() <= 64


def test_ranges_are_the_extremes_of_what_the_net_computes():
    one = exported("residual")
    convs = [node for node in one.graph.graph.node if node.op_type == "Conv"]
    ranges = measure_ranges(one.graph, convs, batches(), num_threads=1)
    prepared = (torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255 - one.net.encoder.mean) / (
        one.net.encoder.std
    )
    low, high = ranges[convs[0].input[0]].range_value
    assert low.dtype == high.dtype == np.float32
    assert np.allclose([low, high], [prepared.min(), prepared.max()], atol=1e-5)
    seen: list[torch.Tensor] = []
    stem = one.net.encoder.net.stem  # type: ignore[union-attr]
    stem[1].register_forward_hook(lambda *given: seen.append(given[2]))  # type: ignore[index]
    one.logits()
    assert np.allclose(
        np.array(ranges[convs[0].output[0]].range_value), [seen[0].min(), seen[0].max()], atol=1e-4
    )


def test_the_same_images_give_the_same_bytes_and_others_do_not():
    again = in_int8(exported("residual").graph, batches(), num_threads=1)
    assert serialise(again, {}) == serialise(quantised("residual"), {})
    assert serialise(in_float16(exported("residual").graph), {}) == serialise(
        in_float16(exported("residual").graph), {}
    )
    other = in_int8(exported("residual").graph, [PIXELS[:1] // 2], num_threads=1)
    assert serialise(other, {}) != serialise(quantised("residual"), {})


def test_fewer_bits_are_fewer_bytes():
    whole, half, quarter = (
        len(serialise(graph, {}))
        for graph in (
            exported("resnet18").graph,
            in_float16(exported("resnet18").graph),
            quantised("resnet18"),
        )
    )
    assert quarter < half < whole
