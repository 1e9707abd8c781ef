"""Augmentation policies by name. A light touch for classes that are told apart by details, a heavy
one where images are few; `digits` for signs that must neither be turned nor mirrored."""

from typing import Any


def _jittered(by: float, hue: float) -> dict[str, Any]:
    """Brightness, contrast and saturation by a factor of 1 ± `by`."""
    factors = [round(1 - by, 6), round(1 + by, 6)]
    amounts = dict.fromkeys(("brightness", "contrast", "saturation"), factors)
    return {"name": "ColorJitter", "arguments": {**amounts, "hue": [-hue, hue], "p": 0.8}}


PRESETS: dict[str, list[dict[str, Any]]] = {
    "digits": [
        {
            "name": "Affine",
            "arguments": {
                "rotate": [-10, 10],
                "scale": [0.9, 1.1],
                "translate_percent": [-0.06, 0.06],
                "shear": [-8, 8],
                "p": 0.9,
            },
        },
        {
            "name": "RandomBrightnessContrast",
            "arguments": {"brightness_limit": 0.15, "contrast_limit": 0.15, "p": 0.5},
        },
    ],
    "light": [
        {"name": "RandomResizedCrop", "arguments": {"scale": [0.8, 1.0]}},
        {"name": "HorizontalFlip", "arguments": {"p": 0.5}},
    ],
    "standard": [
        {"name": "RandomResizedCrop", "arguments": {"scale": [0.6, 1.0]}},
        {"name": "HorizontalFlip", "arguments": {"p": 0.5}},
        _jittered(0.2, hue=0.05),
        # Cutout (DeVries and Taylor, Improved regularization of convolutional neural networks with
        # cutout, 2017).
        {
            "name": "CoarseDropout",
            "arguments": {
                "num_holes_range": [1, 1],
                "hole_height_range": [0.25, 0.25],
                "hole_width_range": [0.25, 0.25],
                "p": 0.5,
            },
        },
    ],
    "heavy": [
        {"name": "RandomResizedCrop", "arguments": {"scale": [0.35, 1.0]}},
        {"name": "HorizontalFlip", "arguments": {"p": 0.5}},
        {"name": "Affine", "arguments": {"rotate": [-15, 15], "shear": [-10, 10], "p": 0.5}},
        _jittered(0.4, hue=0.1),
        {"name": "GaussianBlur", "arguments": {"sigma_limit": [0.1, 1.0], "p": 0.2}},
        {
            "name": "CoarseDropout",
            "arguments": {
                "num_holes_range": [1, 2],
                "hole_height_range": [0.2, 0.4],
                "hole_width_range": [0.2, 0.4],
                "p": 0.5,
            },
        },
    ],
    # Two views of an image for contrastive learning (Chen et al., A simple framework for
    # contrastive learning, 2020, appendix A; without blur, as there for small images).
    "ssl": [
        {"name": "RandomResizedCrop", "arguments": {"scale": [0.2, 1.0]}},
        {"name": "HorizontalFlip", "arguments": {"p": 0.5}},
        _jittered(0.4, hue=0.1),
        {"name": "ToGray", "arguments": {"p": 0.2}},
    ],
}
