"""Nets of every family and their ONNX graphs, which take seconds to make, so that tests share
them."""

from functools import cache
from typing import NamedTuple

import numpy as np
import onnx
import torch
import transformers

from tasks.artifacts.models import Description, new_encoder
from tasks.core.architecture import Built, Configured
from tasks.core.encoder import Classifier
from tasks.core.gate import Limits
from tasks.core.onnx_graph import build_graph, trace
from tasks.core.onnx_model import make_session
from tasks.core.pixels import Canonical
from tests.nets import FAMILIES

SIDE, OPSET = 12, 20
SHAPE = (SIDE, SIDE, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8)
ROWS = np.arange(len(PIXELS))


def resized_to(width: int) -> Configured:
    """A model that learnt at this size, so that images are resized within the net."""
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=width,
        patch_size=4,
    )
    return Configured(
        family="transformers", config=config.to_diff_dict(), image_width=width, embedding_width=16
    )


NETS: dict[str, Built] = {**FAMILIES, "enlarged": resized_to(16), "shrunk": resized_to(8)}


def describe(architecture: Built) -> Description:
    limits = Limits(max_file_bytes=1000, max_pixels=1000, max_frames=1, min_size=1)
    return Description(
        architecture=architecture,
        mean=[0.4, 0.5, 0.6],
        std=[0.2, 0.2, 0.3],
        canonical=Canonical(size=SIDE, channels=3, resize="pad", limits=limits),
        classes=["cat", "dog", "ü"],
        fingerprint={},
        adoption=None,
        temperature=1.7,
        abstention=0.6,
    )


def new_classifier(architecture: Built) -> Classifier:
    """With weights that are the same each time, and statistics of batch norm as if it had learnt:
    those of a fresh net are 0 and 1, which hides where they go."""
    torch.manual_seed(0)
    net = Classifier(new_encoder(describe(architecture)), 3, 0.1).train()
    with torch.no_grad():
        for _ in range(20):
            net(torch.from_numpy(PIXELS))
    return net.eval()


class Exported(NamedTuple):
    net: Classifier
    graph: onnx.ModelProto

    def logits(self) -> np.ndarray:
        return self._given(self.net)

    def embeddings(self) -> np.ndarray:
        return self._given(self.net.encoder)

    def _given(self, part: torch.nn.Module) -> np.ndarray:
        with torch.inference_mode():
            return part(torch.from_numpy(PIXELS)).numpy()


@cache
def exported(name: str) -> Exported:
    net = new_classifier(NETS[name])
    return Exported(net, build_graph(trace(net, SHAPE), OPSET))


def run_graph(graph: onnx.ModelProto, images: np.ndarray = PIXELS) -> tuple[np.ndarray, np.ndarray]:
    """Logits and embeddings."""
    session = make_session(graph.SerializeToString(), num_threads=1)
    logits, embeddings = session.run(["logits", "embeddings"], {"images": images})
    return np.asarray(logits), np.asarray(embeddings)
