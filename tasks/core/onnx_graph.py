"""The net as a program of torch, and as an ONNX graph.

N images, H height, W width, C channels, D width of the embedding, K classes
"""

import logging
import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tasks.core.encoder import Classifier
from tasks.core.inference import ImageRows

# What a net computes with weights.
WEIGHTED = ("Conv", "Gemm", "MatMul")
_BATCH_SIZE = 256


class WithEmbeddings(nn.Module):
    """A classifier that also says what its encoder made of the images."""

    def __init__(self, classifier: Classifier):
        super().__init__()
        self.classifier = classifier

    def forward(self, images_NHWC: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, C) → logits (N, K), embeddings (N, D)."""
        embeddings_ND = self.classifier.encoder(images_NHWC)
        return self.classifier.head(embeddings_ND), embeddings_ND


def trace(classifier: Classifier, image_shape: tuple[int, int, int]) -> ExportedProgram:
    """The program of a classifier in evaluation mode, for any number of images."""
    example = torch.zeros((2, *image_shape), dtype=torch.uint8)
    net = WithEmbeddings(classifier).eval()
    return torch.export.export(net, (example,), dynamic_shapes=({0: Dim("N")},))


def run_program(program: ExportedProgram, images: ImageRows, rows: np.ndarray) -> np.ndarray:
    """Logits (N, K) of the images at `rows`."""
    module, logits = program.module(), []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH_SIZE):
            images_NHWC = torch.from_numpy(images[rows[start : start + _BATCH_SIZE]])
            logits.append(module(images_NHWC)[0].numpy())
    return np.concatenate(logits)


def build_graph(program: ExportedProgram, opset: int) -> onnx.ModelProto:
    """`images` uint8 (N, H, W, C) → `logits` (N, K), `embeddings` (N, D), for any N."""
    # It warns of torchvision's operations, which no net here has, and of its own internals.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=["images"],
            output_names=["logits", "embeddings"],
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    _strip_traces(model)
    _name_nodes(model)
    return model


def serialise(model: onnx.ModelProto, properties: Mapping[str, str]) -> bytes:
    """The file's bytes, with `properties` in place of whatever the tools left there."""
    described = onnx.ModelProto()
    described.CopyFrom(model)
    onnx.helper.set_model_props(described, dict(properties))
    return described.SerializeToString(deterministic=True)


def find_needed(model: onnx.ModelProto, output: str) -> set[str]:
    """Names of the nodes that a tensor is made by."""
    wanted, needed = {output}, set()
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            needed.add(node.name)
    return needed


def _strip_traces(model: onnx.ModelProto) -> None:
    # The exporter records where in whose checkout each operation was called: other bytes in
    # another folder.
    graph = model.graph
    for part in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for function in model.functions:
        for part in [function, *function.node]:
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")


def _name_nodes(model: onnx.ModelProto) -> None:
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
