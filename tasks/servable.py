"""Whether an exported model can be served: it is loaded in a process of its own, and asked.

    python -m tasks.servable models/classifier.onnx

Prints what was observed, as JSON. Real images must be answered as `evaluate` was answered (each
alone as among others), and requests that make no sense refused or answered by nothing, without any
harm to the next one.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tasks.artifacts.images import Images
from tasks.artifacts.tables import load_rows, load_table
from tasks.core.errors import ArtifactError, TilthError, VerdictError
from tasks.core.inference import softmax
from tasks.core.onnx_model import describe_session, make_session

IMAGES, TEST = Path("data/clean/images"), Path("data/rows/test.npy")
LABELS, REFERENCE = Path("data/labels.parquet"), Path("models/reference.parquet")
_NUM_IMAGES, _NUM_TIMED = 64, 200
# What int8 and other processors may change, on average over classes and images.
_MOST_DIFFERENT = 0.05


def try_model(model: Path, timeout_seconds: float) -> dict[str, Any]:
    """What was observed of it in a fresh process.

    Raises VerdictError if it cannot be loaded, answers wrongly, crashes, or takes too long.
    """
    command = [sys.executable, "-m", "tasks.servable", str(model)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        raise VerdictError(
            f"{model}: its trial took longer than promote.servable.timeout_seconds allows, "
            f"{timeout_seconds}"
        ) from None
    if done.returncode:
        said = done.stderr.strip() or f"the process ended with status {done.returncode}"
        raise VerdictError(f"{model}: cannot be served: {said.splitlines()[-1]}")
    return json.loads(done.stdout)


def main(argv: list[str]) -> int:
    """Exit status: 0 it can be served, 1 it cannot."""
    try:
        print(json.dumps(observe(Path(argv[0]).read_bytes())))
    except (TilthError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def observe(model: bytes) -> dict[str, Any]:
    """Raises ArtifactError if it is no model of ours, VerdictError if it answers wrongly."""
    session = make_session(model, 1)
    described = describe_session(session)
    images_NHWC, expected_NK = load_examples()
    if expected_NK.shape[1] != len(described.classes):
        raise VerdictError(
            f"it knows {len(described.classes)} classes, evaluate {expected_NK.shape[1]}"
        )
    logits_NK = ask(session, images_NHWC)
    given_NK = softmax(logits_NK / described.temperature)
    difference = float(np.abs(given_NK - expected_NK).mean())
    if not difference <= _MOST_DIFFERENT:
        raise VerdictError(f"probabilities differ by {difference:.3f} from those of evaluate")
    alone_NK = np.concatenate([ask(session, image[None]) for image in images_NHWC])
    if not np.allclose(alone_NK, logits_NK, atol=1e-3, rtol=1e-3):
        raise VerdictError("an image alone is answered otherwise than among others")
    for name, hostile in hostile_requests(images_NHWC).items():
        refuse(session, name, hostile)
    if not np.array_equal(ask(session, images_NHWC), logits_NK):
        raise VerdictError("after requests that make no sense it answers otherwise")
    milliseconds = time_single(session, images_NHWC)
    p50, p95 = (float(np.quantile(milliseconds, q)) for q in (0.5, 0.95))
    return {"num_images": len(images_NHWC), "p50_ms": round(p50, 3), "p95_ms": round(p95, 3)}


def load_examples() -> tuple[np.ndarray, np.ndarray]:
    """Test images (N, H, W, C), and the probabilities (N, K) that `evaluate` had of them."""
    reference = load_table(REFERENCE, ["image_id", "probabilities"]).head(_NUM_IMAGES)
    table, rows = load_table(LABELS, ["image_id"]), load_rows(TEST)
    places = dict(zip(table["image_id"].iloc[rows], rows, strict=True))
    missing = [image_id for image_id in reference["image_id"] if image_id not in places]
    if missing or not len(reference):
        raise ArtifactError(f"{REFERENCE}: is not of these test rows; `dvc repro evaluate`")
    found = np.array([places[image_id] for image_id in reference["image_id"]])
    return Images(IMAGES)[found], np.stack(reference["probabilities"].to_list())


def ask(session: onnxruntime.InferenceSession, images_NHWC: np.ndarray) -> np.ndarray:
    """Logits (N, K). Raises VerdictError if any is not finite."""
    logits_NK = np.asarray(session.run(["logits"], {"images": images_NHWC})[0], dtype=np.float64)
    if len(logits_NK) != len(images_NHWC) or not np.isfinite(logits_NK).all():
        raise VerdictError(f"{len(images_NHWC)} images are not answered by as many finite rows")
    return logits_NK


def hostile_requests(images_NHWC: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs of a wrong shape or type, and none at all."""
    return {
        "images of another size": np.pad(images_NHWC[:2], ((0, 0), (0, 3), (0, 5), (0, 0))),
        "images of more channels": np.repeat(images_NHWC[:2], 3, axis=3),
        "an image without a batch": images_NHWC[0],
        "floats": images_NHWC[:2].astype(np.float32),
        "texts": np.array([["a"]], dtype=object),
        "an empty batch": images_NHWC[:0],
    }


def refuse(session: onnxruntime.InferenceSession, name: str, hostile: np.ndarray) -> None:
    """Raises VerdictError if something is answered where nothing was asked."""
    try:
        answer = np.asarray(session.run(["logits"], {"images": hostile})[0])
    except Exception:
        # ONNX Runtime raises errors of its own kinds; any will do.
        return
    if len(answer):
        raise VerdictError(f"{name} are answered, expected an error")


def time_single(session: onnxruntime.InferenceSession, images_NHWC: np.ndarray) -> np.ndarray:
    """Milliseconds that single images took, the first few (which warm up) left out."""
    taken = []
    for number in range(_NUM_TIMED + 10):
        image = images_NHWC[number % len(images_NHWC)][None]
        started = time.perf_counter()
        session.run(["logits"], {"images": image})
        taken.append(1000 * (time.perf_counter() - started))
    return np.array(taken[10:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
