"""Nets of the transformers library: their configuration, and what their embedding is.

N images, C channels, H height, W width, T tokens, D width of the embedding
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.core.architecture import Configured, ConvNeXtV2, VisionTransformer

_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")


def vit_config(
    architecture: VisionTransformer, num_channels: int, image_size: int
) -> dict[str, Any]:
    """Dosovitskiy et al., An image is worth 16x16 words, 2021."""
    return {
        "model_type": "vit",
        "image_size": image_size,
        "num_channels": num_channels,
        "patch_size": architecture.patch_width,
        "hidden_size": architecture.hidden_width,
        "intermediate_size": 4 * architecture.hidden_width,
        "num_hidden_layers": architecture.depth,
        "num_attention_heads": architecture.num_heads,
        "hidden_dropout_prob": architecture.dropout,
        "attention_probs_dropout_prob": architecture.dropout,
    }


def convnextv2_config(architecture: ConvNeXtV2, num_channels: int) -> dict[str, Any]:
    """Woo et al., ConvNeXt V2, 2023."""
    return {
        "model_type": "convnextv2",
        "num_channels": num_channels,
        "patch_size": architecture.patch_width,
        "num_stages": len(architecture.widths),
        "hidden_sizes": architecture.widths,
        "depths": architecture.depths,
        "drop_path_rate": architecture.drop_path,
    }


def make_model(config: dict[str, Any]) -> nn.Module:
    """A model with fresh weights; `config` is what its configuration says of itself.

    Raises ValueError for a kind that the library does not know.
    """
    # Imported late: it takes seconds, and most nets are none of its.
    from transformers import AutoConfig, AutoModel

    values = {name: value for name, value in config.items() if name != "model_type"}
    return without_dense_pooler(
        AutoModel.from_config(AutoConfig.for_model(config["model_type"], **values))
    )


def without_dense_pooler(model: nn.Module) -> nn.Module:
    """The dense layer behind the class token of ViT and its kin served a task of another time;
    weights of image models mostly lack it, and it would be drawn by lot."""
    if hasattr(getattr(model, "pooler", None), "dense"):
        model.pooler = None  # type: ignore[assignment]
    return model


class TransformersNet(nn.Module):
    """A model of the library, from pixels to one embedding per image.

    The embedding is what the model pools itself (ConvNeXt and ResNet: the mean over all places;
    DINOv2: the class token; SigLIP: its attention head), or else the class token (ViT, DeiT), or
    else the mean of what comes out. Images of another size than `image_width` are resized to it:
    a model learnt its positions and scales at one size.

    Float (N, C, H, W) → (N, D).
    """

    def __init__(self, model: nn.Module, image_width: int | None):
        super().__init__()
        self.model = model
        self.image_width = image_width
        names = [name.rsplit(".", 1)[-1] for name, _ in model.named_parameters()]
        self.has_class_token = any(name in _CLASS_TOKENS for name in names)
        _keep_mask_tokens(model)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.image_width is not None and x_NCHW.shape[2:] != 2 * (self.image_width,):
            x_NCHW = resized(x_NCHW, self.image_width)
        outputs = self.model(pixel_values=x_NCHW)
        pooled = getattr(outputs, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        hidden = outputs.last_hidden_state
        if hidden.ndim == 4:
            return hidden.mean(dim=(2, 3))
        return hidden[:, 0] if self.has_class_token else hidden.mean(dim=1)


def _keep_mask_tokens(model: nn.Module) -> None:
    """What stood for hidden patches when DINOv2 and its kin were taught is kept as it is: here
    nothing is hidden, and several processes need a gradient of every weight that learns."""
    for module in model.modules():
        token = getattr(module, "mask_token", None)
        if isinstance(token, nn.Parameter):
            del module.mask_token
            module.register_buffer("mask_token", token.detach())


def resized(x_NCHW: Tensor, width: int) -> Tensor:
    """Bilinear, smoothed where it shrinks."""
    shrinks = max(x_NCHW.shape[2:]) > width
    return F.interpolate(x_NCHW, (width, width), mode="bilinear", antialias=shrinks)


def configured_net(architecture: Configured) -> TransformersNet:
    return TransformersNet(make_model(architecture.config), architecture.image_width)


@torch.no_grad()
def measure_embedding(net: nn.Module, num_channels: int, image_width: int) -> int:
    """The width of the embedding of images of `image_width` pixels a side.

    Raises ValueError for a net that gives none, or another one each time, as those that mask
    their input by lot.
    """
    shape = (1, num_channels, image_width, image_width)
    image_NCHW = torch.linspace(-1, 1, math.prod(shape)).view(shape)
    was_training = net.training
    net.eval()
    first, again = net(image_NCHW), net(image_NCHW)
    net.train(was_training)
    if first.ndim != 2:
        raise ValueError(f"it gives a tensor of shape {tuple(first.shape)} instead of an embedding")
    if not first.isfinite().all():
        raise ValueError("it gives numbers that are not finite")
    if not torch.equal(first, again):
        raise ValueError("it gives another embedding of the same image each time")
    return first.shape[1]
