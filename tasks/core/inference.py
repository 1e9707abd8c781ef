"""Running a net over images without learning from them.

N images, D width of the output
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from tasks.core.errors import ParamsError

_BATCH_SIZE = 512


class Place(NamedTuple):
    """What nets are run on, and in which precision (that of `run.precision`)."""

    device: torch.device
    precision: str


class ImageRows(Protocol):
    """Canonical images by row: uint8 (n, H, W, C)."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


def chosen_device(name: str) -> torch.device:
    """Raises ParamsError if this machine lacks it."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ParamsError("params.yaml: run.device is cuda, but torch finds no CUDA device here")
    return torch.device(name)


@contextmanager
def at_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Convolutions and matrix products are computed in 16 bits, unless it is `float32`."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    with torch.autocast(device.type, dtype=dtype, enabled=precision != "float32"):
        yield


def run_net(
    net: nn.Module, images: ImageRows, rows: np.ndarray, device: torch.device, precision: str
) -> np.ndarray:
    """What the net gives for the images at `rows`, in evaluation mode: float32 (N, D)."""
    was_training = net.training
    net.eval()
    outputs = []
    with torch.inference_mode(), at_precision(precision, device):
        for start in range(0, len(rows), _BATCH_SIZE):
            images_NHWC = torch.from_numpy(images[rows[start : start + _BATCH_SIZE]]).to(device)
            outputs.append(net(images_NHWC).float().cpu().numpy())
    net.train(was_training)
    return np.concatenate(outputs)


def softmax(logits_NK: np.ndarray) -> np.ndarray:
    """Probabilities that sum to 1 in each row."""
    exponentials = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
