"""Says what images show: `python run.py image.npy … photo.png …`; needs numpy and onnxruntime.

An array is uint8 (height, width, channels) of the size that the model takes. Other files are read
by Pillow, where it is installed; they too must have that size.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def load(path, shape):
    if path.endswith(".npy"):
        image = np.load(path, allow_pickle=False)
    else:
        from PIL import Image

        image = np.asarray(Image.open(path).convert("L" if shape[2] == 1 else "RGB"))
    if image.reshape(*image.shape[:2], -1).shape != shape or image.dtype != np.uint8:
        sys.exit(f"{path}: {image.dtype} {image.shape}; the model takes uint8 {shape}")
    return image.reshape(1, *shape)


def main(folder, paths):
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    said = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    for path in paths:
        images = load(path, tuple(session.get_inputs()[0].shape[1:]))
        logits = np.asarray(session.run(["logits"], {"images": images})[0])[0] / said["temperature"]
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        print(f"{path}\t{said['labels'][shares.argmax()]}\t{shares.max():.4f}")


if __name__ == "__main__":
    main(Path(__file__).resolve().parent, sys.argv[1:] or sys.exit(__doc__))
