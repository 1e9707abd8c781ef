"""Our sizes make the published nets, and an embedding is what its kind of model means by it."""

import pytest
import torch

from tasks.core.encoder import make_net
from tasks.core.transformers_net import (
    TransformersNet,
    make_model,
    measure_embedding,
    resized,
    vit_config,
)
from tests.nets import tiny_convnext, tiny_vit


@pytest.mark.parametrize(
    ("architecture", "side", "millions"),
    [
        # ViT-B/16 of torchvision without its head of 769,000.
        (
            tiny_vit(patch_width=16, hidden_width=768, depth=12, num_heads=12),
            224,
            86.567656 - 0.769,
        ),
        # ConvNeXt V2 atto and tiny as published, to two places, without heads for 1000 classes.
        (
            tiny_convnext(patch_width=4, widths=[40, 80, 160, 320], depths=[2, 2, 6, 2]),
            224,
            3.71 - 0.321,
        ),
        (
            tiny_convnext(patch_width=4, widths=[96, 192, 384, 768], depths=[3, 3, 9, 3]),
            224,
            28.64 - 0.769,
        ),
    ],
)
def test_nets_are_of_the_published_size(architecture, side, millions):
    with torch.device("meta"):
        net = make_net(architecture, 3, side)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_the_vision_transformer_embeds_by_its_class_token():
    torch.manual_seed(0)
    net = make_net(tiny_vit(), 1, 8).eval()
    x_NCHW = torch.randn(3, 1, 8, 8)
    expected = net.model(pixel_values=x_NCHW).last_hidden_state[:, 0]  # type: ignore[operator]
    assert torch.equal(net(x_NCHW), expected)


def test_convnext_embeds_by_the_mean_of_its_places():
    torch.manual_seed(0)
    net = make_net(tiny_convnext(), 1, 16).eval()
    x_NCHW = torch.randn(3, 1, 16, 16)
    places = net.model(pixel_values=x_NCHW).last_hidden_state  # type: ignore[operator]
    expected = net.model.layernorm(places.mean(dim=(2, 3)))  # type: ignore[operator, union-attr]
    assert torch.allclose(net(x_NCHW), expected, atol=1e-6)


TRANSFORMER = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 16,
    "patch_size": 8,
}
STAGES = {"depths": [1, 1], "hidden_sizes": [8, 16], "embedding_size": 8, "num_stages": 2}


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "vit", **TRANSFORMER},
        {"model_type": "deit", **TRANSFORMER},
        {"model_type": "beit", **TRANSFORMER},
        {"model_type": "dinov2", **TRANSFORMER},
        {"model_type": "dinov2_with_registers", **TRANSFORMER},
        {"model_type": "siglip_vision_model", **TRANSFORMER},
        {"model_type": "clip_vision_model", **TRANSFORMER},
        {"model_type": "swin", "image_size": 16, "patch_size": 4, "embed_dim": 8, "window_size": 2,
         "depths": [1, 1], "num_heads": [1, 2]},
        {"model_type": "convnextv2", "depths": [1, 1], "hidden_sizes": [8, 16], "num_stages": 2},
        {"model_type": "resnet", "layer_type": "basic", **STAGES},
    ],
    ids=lambda config: config["model_type"],
)  # fmt: skip
def test_every_parameter_learns(config):
    """Several processes wait for the gradients of all."""
    torch.manual_seed(0)
    model = make_model(config)
    names = list(model.state_dict())
    net = TransformersNet(model, 16)
    assert sorted(model.state_dict()) == sorted(names)
    net(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert [name for name, one in net.named_parameters() if one.grad is None] == []


@pytest.mark.parametrize("architecture", [tiny_vit(dropout=0.5), tiny_convnext(drop_path=0.5)])
def test_dropout_acts_while_learning_alone(architecture):
    torch.manual_seed(0)
    net = make_net(architecture, 1, 16).train()
    x_NCHW = torch.randn(8, 1, 16, 16)
    assert not torch.allclose(net(x_NCHW), net(x_NCHW))
    net.eval()
    assert torch.equal(net(x_NCHW), net(x_NCHW))


def test_an_image_of_one_level_stays_so_at_any_size():
    for side in (3, 16, 50):
        assert torch.allclose(resized(torch.full((1, 2, side, side), 0.7), 16), torch.tensor(0.7))


def test_shrinking_looks_at_every_pixel():
    x_NCHW = torch.zeros(1, 1, 32, 32, requires_grad=True)
    resized(x_NCHW, 4).sum().backward()
    assert x_NCHW.grad is not None
    assert (x_NCHW.grad > 0).all()


def test_the_width_of_an_embedding_is_measured():
    config = vit_config(tiny_vit(hidden_width=24), num_channels=3, image_size=8)
    assert measure_embedding(TransformersNet(make_model(config), 8), 3, 8) == 24


def test_a_model_that_the_library_does_not_know_is_refused():
    with pytest.raises(ValueError, match="no_such_model"):
        make_model({"model_type": "no_such_model"})
