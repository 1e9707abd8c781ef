"""A net of each family means the same to ONNX Runtime, for any number of images."""

import numpy as np
import pytest
import torch
import transformers

from tasks.artifacts.models import Description, new_encoder
from tasks.core.architecture import Built, Configured
from tasks.core.encoder import Classifier
from tasks.core.gate import Limits
from tasks.core.onnx_model import describe_session, make_session, run_session
from tasks.core.pixels import Canonical
from tasks.export import Params, export_onnx
from tests.nets import FAMILIES

PARAMS = Params(opset=20, max_difference=1e-4, expectations=[])
SIDE = 12


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


# The rest is built of the same parts; an export takes seconds.
NETS = {
    **{name: FAMILIES[name] for name in ("dense", "resnet18", "vit", "convnextv2")},
    "enlarged": resized_to(16),
    "shrunk": resized_to(8),
}


def classifier_of(architecture: Built) -> tuple[Classifier, Description]:
    limits = Limits(max_file_bytes=1000, max_pixels=1000, max_frames=1, min_size=1)
    description = Description(
        architecture=architecture,
        mean=[0.4, 0.5, 0.6],
        std=[0.2, 0.2, 0.3],
        canonical=Canonical(size=SIDE, channels=3, resize="pad", limits=limits),
        classes=["cat", "dog"],
        fingerprint={},
        adoption=None,
        temperature=1.7,
        abstention=0.6,
    )
    torch.manual_seed(0)
    encoder = new_encoder(description)
    return Classifier(encoder, 2, 0.1).eval(), description


@pytest.mark.parametrize("name", NETS)
def test_onnx_runtime_agrees_with_the_net(name):
    net, description = classifier_of(NETS[name])
    data = export_onnx(net, description, (SIDE, SIDE, 3), PARAMS)
    session = make_session(data, num_threads=1)
    described = describe_session(session)
    assert described.classes == ["cat", "dog"]
    assert (described.temperature, described.abstention) == (1.7, 0.6)
    pixels = np.random.default_rng(0).integers(0, 256, (7, SIDE, SIDE, 3), dtype=np.uint8)
    for rows in (np.arange(7), np.array([3])):
        with torch.inference_mode():
            expected = net(torch.from_numpy(pixels[rows])).numpy()
        assert np.allclose(run_session(session, pixels, rows), expected, atol=1e-4)


def test_the_same_net_is_exported_in_the_same_bytes():
    classifier = classifier_of(FAMILIES["residual"])
    first, again = (export_onnx(*classifier, (SIDE, SIDE, 3), PARAMS) for _ in range(2))
    assert first == again
