"""The published model, as the registry names it: no other file is served."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from tasks.artifacts.registry import load_registry
from tasks.core.errors import ArtifactError
from tasks.core.onnx_model import Described, describe_session, make_session
from tasks.core.outputs import run_model

MODEL = "classifier.onnx"


class Champion(NamedTuple):
    """`entry`: what the registry says of it."""

    session: onnxruntime.InferenceSession
    described: Described
    sha256: str
    entry: dict[str, Any]


def load_champion(folder: Path, registry: Path, num_threads: int) -> Champion:
    """The model in the folder, if it is the one that the registry names, tried on a black image.

    Raises ArtifactError if there is none, it is another one, or it cannot be run.
    """
    entry = find_entry(registry)
    path = folder / MODEL
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; `python -m tasks.publish`") from None
    digest = sha256(data).hexdigest()
    if digest != entry.get("onnx_sha256"):
        raise ArtifactError(
            f"{path}: its sha256 is {digest}; {registry} gives that of the champion, version "
            f"{entry['version']}, as {entry.get('onnx_sha256')}"
        )
    try:
        session = make_session(data, num_threads)
        described = describe_session(session)
        _try(session, described)
    except (ArtifactError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path}: {error}") from error
    return Champion(session, described, digest, entry)


def find_entry(registry: Path) -> dict[str, Any]:
    """The champion's version in the registry. Raises ArtifactError if it names none."""
    champion = load_registry(registry).champion
    if champion is None:
        raise ArtifactError(f"{registry}: names no champion; `python -m tasks.publish`")
    return champion.model_dump()


def _try(session: onnxruntime.InferenceSession, described: Described) -> None:
    canonical = described.canonical
    black = np.zeros((1, canonical.size, canonical.size, canonical.channels), np.uint8)
    try:
        probabilities_NK = run_model(session, described, black).probabilities_NK
    except Exception as error:
        # ONNX Runtime raises errors of its own kinds; whichever it is, the model is of no use.
        raise ArtifactError(f"cannot be run: {error}") from error
    expected = (1, len(described.classes))
    if probabilities_NK.shape != expected or not np.isfinite(probabilities_NK).all():
        raise ArtifactError(
            f"gives logits of shape {probabilities_NK.shape}, expected {expected}, all finite"
        )


def seen_state(folder: Path, registry: Path) -> tuple[Any, ...]:
    """Something else whenever one of the files is another one."""
    states: list[Any] = []
    for path in (folder / MODEL, registry):
        try:
            status = path.stat()
            states.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            states.append(None)
    return tuple(states)
