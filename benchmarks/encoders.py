"""Encoders taught without labels, as the stage pretrain does it, and kept for others to use."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch

from benchmarks.cells import say
from benchmarks.record import commit
from benchmarks.workspace import temporary_folder
from tasks import pretrain
from tasks.artifacts.images import Images, save_pixels
from tasks.artifacts.weights import load_weights, save_weights
from tasks.core.architecture import Convolutional
from tasks.core.encoder import Encoder
from tasks.core.params import Run
from tasks.core.yardstick import Yardstick


def new_encoder(images_NHWC: np.ndarray, architecture: Convolutional, seed: int) -> Encoder:
    """With fresh weights, and the normalisation of these images."""
    torch.manual_seed(seed)
    levels = images_NHWC / np.float32(255)
    mean, std = levels.mean(axis=(0, 1, 2)), levels.std(axis=(0, 1, 2))
    return Encoder(architecture, mean.tolist(), std.tolist(), images_NHWC.shape[1])


def teach(
    encoder: Encoder, images_NHWC: np.ndarray, params: pretrain.Params, seed: int, precision: str
) -> None:
    """In place; labels are shown to nobody."""
    rows, few, nothing = np.arange(len(images_NHWC)), np.arange(64), np.zeros(64, dtype=int)
    # The yardstick wants some.
    yardstick = Yardstick(few, nothing, few, nothing)
    num_threads = torch.get_num_threads()
    run = Run.model_validate(
        {"seed": seed, "num_threads": num_threads, "precision": precision, "device": "cpu"}
    )
    with temporary_folder() as folder:
        save_pixels(images_NHWC, folder / "images.npy")
        training = pretrain.pretrain(encoder, Images(folder), rows, yardstick, params, run)
        training.run(lambda entry: say(f"{params.method.name}, seed {seed}: {entry}"))


def learnt_encoder(
    images_NHWC: np.ndarray, params: pretrain.Params, seed: int, precision: str, folder: Path
) -> Encoder:
    """Taught now, or when this state of the code was last asked for it: `folder` keeps encoders."""
    assert isinstance(params.architecture, Convolutional)
    encoder = new_encoder(images_NHWC, params.architecture, seed)
    # Code that differs from its commit has no name of its own, and is remembered by this process.
    state = f"{commit()} {os.getpid()}" if commit().endswith("-dirty") else commit()
    described = {
        "params": params.model_dump(mode="json"),
        "images": hashlib.sha256(images_NHWC.tobytes()).hexdigest(),
        "seed": seed,
        "precision": precision,
        "commit": state,
    }
    text = json.dumps(described, sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"
    if not path.is_file():
        teach(encoder, images_NHWC, params, seed, precision)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(encoder.state_dict(), described, path)
    encoder.load_state_dict(load_weights(path).tensors)
    return encoder
