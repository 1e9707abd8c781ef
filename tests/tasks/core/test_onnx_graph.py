"""A net of each family means the same to ONNX Runtime, for any number of images."""

import copy

import numpy as np
import onnx
import pytest
import torch

from tasks.core.onnx_graph import (
    WithEmbeddings,
    build_graph,
    find_needed,
    run_program,
    serialise,
    trace,
)
from tests.exported import (
    NETS,
    OPSET,
    PIXELS,
    ROWS,
    SHAPE,
    exported,
    new_classifier,
    run_graph,
)
from tests.nets import FAMILIES


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("num_images", [1, 7])
def test_onnx_runtime_agrees_with_the_net(name, num_images):
    one = exported(name)
    logits, embeddings = run_graph(one.graph, PIXELS[:num_images])
    assert np.allclose(logits, one.logits()[:num_images], atol=1e-4)
    assert np.allclose(embeddings, one.embeddings()[:num_images], atol=1e-4)
    # Images make a difference, or the comparison would say nothing.
    assert np.ptp(one.logits(), axis=0).min() > 1e-2


def test_a_program_of_torch_says_what_the_net_says():
    net = new_classifier(FAMILIES["residual"])
    program = trace(net, SHAPE)
    expected = exported("residual").logits()
    assert np.allclose(run_program(program, PIXELS, ROWS), expected, atol=1e-5)
    assert np.allclose(run_program(program, PIXELS, ROWS[:1]), expected[:1], atol=1e-5)


def test_embeddings_are_those_of_the_encoder():
    net = new_classifier(FAMILIES["plain"])
    logits, embeddings = WithEmbeddings(net)(torch.from_numpy(PIXELS))
    assert torch.equal(embeddings, net.encoder(torch.from_numpy(PIXELS)))
    assert torch.equal(logits, net(torch.from_numpy(PIXELS)))


def test_the_same_net_is_exported_in_the_same_bytes():
    first = exported("residual").graph
    again = build_graph(trace(new_classifier(FAMILIES["residual"]), SHAPE), OPSET)
    assert serialise(first, {"a": "b"}) == serialise(again, {"a": "b"})
    assert "/" not in "".join(node.doc_string for node in first.graph.node)


def test_properties_replace_those_that_tools_left():
    model = copy.deepcopy(exported("residual").graph)
    onnx.helper.set_model_props(model, {"left": "by a tool"})
    read = onnx.load_from_string(serialise(model, {"tilth": "{}"}))
    assert {one.key: one.value for one in read.metadata_props} == {"tilth": "{}"}
    assert {one.key for one in model.metadata_props} == {"left"}


def test_the_embedding_needs_all_but_the_head():
    graph = exported("residual").graph
    needed = find_needed(graph, "embeddings")
    left = [node.op_type for node in graph.graph.node if node.name not in needed]
    assert left == ["Gemm"]
