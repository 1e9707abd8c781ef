"""What an exported classifier gives, made fit for people.

N images, K classes, D width of the embedding
"""

from typing import NamedTuple

import numpy as np
import onnxruntime
from scipy.special import softmax

from tasks.core.onnx_model import Described


class Outputs(NamedTuple):
    """`probabilities_NK`: calibrated. `embeddings_ND`: None where the model gives none."""

    probabilities_NK: np.ndarray
    embeddings_ND: np.ndarray | None


def run_model(
    session: onnxruntime.InferenceSession, described: Described, images_NHWC: np.ndarray
) -> Outputs:
    """Outputs of canonical images, uint8, all at once."""
    names = [output.name for output in session.get_outputs()]
    asked = ["logits", *(name for name in names if name == "embeddings")]
    logits_NK, *more = (np.asarray(one) for one in session.run(asked, {"images": images_NHWC}))
    probabilities_NK = softmax(logits_NK.astype(np.float64) / described.temperature, axis=1)
    return Outputs(probabilities_NK, more[0] if more else None)
