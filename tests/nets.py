"""Nets that cost next to nothing, one of each family."""

from tasks.core.architecture import ConvNeXtV2, Convolutional, ResNet, VisionTransformer
from tasks.core.encoder import Classifier, Encoder

TINY = {
    "family": "convolutional",
    "width": 4,
    "depth": 1,
    "num_stages": 2,
    "activation": "relu",
    "connectivity": "residual",
    "attention": "none",
    "normalisation": "batch",
    "dropout": 0.0,
}


def tiny(**changed) -> Convolutional:
    return Convolutional.model_validate({**TINY, **changed})


def tiny_vit(**changed) -> VisionTransformer:
    values = {"patch_width": 4, "hidden_width": 16, "depth": 2, "num_heads": 2, "dropout": 0.0}
    return VisionTransformer.model_validate({"family": "vit", **values, **changed})


def tiny_convnext(**changed) -> ConvNeXtV2:
    values = {"patch_width": 2, "widths": [8, 16], "depths": [1, 2], "drop_path": 0.0}
    return ConvNeXtV2.model_validate({"family": "convnextv2", **values, **changed})


def tiny_resnet(**changed) -> ResNet:
    values = {"depth": 18, "stem": "small", "width": 4}
    return ResNet.model_validate({"family": "resnet", **values, **changed})


FAMILIES = {
    "plain": tiny(connectivity="plain", normalisation="none", attention="squeeze_excitation"),
    "residual": tiny(),
    "dense": tiny(connectivity="dense", normalisation="group", attention="self_attention"),
    "resnet18": tiny_resnet(stem="large"),
    "resnet50": tiny_resnet(depth=50),
    "vit": tiny_vit(),
    "convnextv2": tiny_convnext(),
}


def small_classifier(num_classes: int = 3) -> Classifier:
    """Of grey images of 8 × 8 pixels, with fresh weights drawn from torch's generator."""
    return Classifier(Encoder(tiny(), [0.5], [0.25], 8), num_classes, 0.0)
