"""Weights in safetensors, with a description of the model in the header."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tasks.artifacts.atomic import replacing
from tasks.core.errors import ArtifactError

# One key only: safetensors writes several keys in no fixed order.
_KEY = "tilth"


class Weights(NamedTuple):
    tensors: dict[str, torch.Tensor]
    description: dict[str, Any]


def save_weights(tensors: dict[str, torch.Tensor], description: dict, path: Path) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {_KEY: json.dumps(description, sort_keys=True, allow_nan=False)}
    with replacing(path) as temporary:
        temporary.write_bytes(save(contiguous, metadata=header))


def load_weights(path: Path) -> Weights:
    """Raises ArtifactError for a missing, corrupt or foreign file, and for weights not finite."""
    if not path.is_file():
        raise ArtifactError(f"{path}: does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: is not a readable safetensors file: {error}") from error
    if _KEY not in header:
        raise ArtifactError(f"{path}: its header lacks the key {_KEY!r}; it was not written here")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ArtifactError(f"{path}: tensor {name!r} holds values that are not finite")
    try:
        return Weights(tensors, json.loads(header[_KEY]))
    except ValueError as error:
        raise ArtifactError(f"{path}: its description is not valid JSON: {error}") from error
