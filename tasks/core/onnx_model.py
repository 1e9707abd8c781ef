"""Running an exported classifier with ONNX Runtime alone.

N images, K classes
"""

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnxruntime

from tasks.core.errors import ArtifactError
from tasks.core.pixels import Canonical

if TYPE_CHECKING:  # Its module imports torch, and what serves can do without.
    from tasks.core.inference import ImageRows

DESCRIPTION_KEY = "tilth"
# What a model that nobody calibrated does without.
_CALIBRATION = ("temperature", "abstention")
_BATCH_SIZE = 256


class Described(NamedTuple):
    """What the file says of itself. `expectations`: what is expected of its predictions, as in
    params.yaml. `temperature` and `abstention`: of the net that it was exported from."""

    classes: list[str]
    canonical: Canonical
    expectations: list[dict[str, Any]]
    temperature: float = 1.0
    abstention: float = 0.0


def make_session(model: bytes, num_threads: int) -> onnxruntime.InferenceSession:
    """Raises ArtifactError if the bytes are no ONNX model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ArtifactError(f"not a readable ONNX model: {error}") from error


def describe_session(session: onnxruntime.InferenceSession) -> Described:
    """Raises ArtifactError if the model was not exported here."""
    text = session.get_modelmeta().custom_metadata_map.get(DESCRIPTION_KEY)
    if text is None:
        raise ArtifactError(f"the ONNX model lacks the property {DESCRIPTION_KEY!r}")
    document = json.loads(text)
    canonical = Canonical.model_validate(document["canonical"])
    calibration = {name: document[name] for name in _CALIBRATION if name in document}
    return Described(document["classes"], canonical, document["expectations"], **calibration)


def run_session(
    session: onnxruntime.InferenceSession, images: "ImageRows", rows: np.ndarray
) -> np.ndarray:
    """Logits (N, K) of the images at `rows`."""
    logits = [
        np.asarray(
            session.run(["logits"], {"images": images[rows[start : start + _BATCH_SIZE]]})[0]
        )
        for start in range(0, len(rows), _BATCH_SIZE)
    ]
    return np.concatenate(logits)
