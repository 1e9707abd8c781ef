"""What most people would write: FastAPI, Pillow, ONNX Runtime. No gate, no limits, no batches, no
record. `python -m benchmarks.bare_handler` in a folder with models/champion."""

import asyncio
import io
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(Path("models/champion/classifier.onnx"), options)
described = json.loads(session.get_modelmeta().custom_metadata_map["tilth"])
canonical = described["canonical"]


@app.post("/predict")
async def predict(image: UploadFile) -> dict:
    kind = "L" if canonical["channels"] == 1 else "RGB"
    side = canonical["size"]
    picture = Image.open(io.BytesIO(await image.read())).convert(kind).resize((side, side))
    pixels = np.asarray(picture).reshape(1, side, side, canonical["channels"])
    logits = np.asarray(session.run(["logits"], {"images": pixels})[0])[0]
    exponentials = np.exp(logits - logits.max())
    shares = exponentials / exponentials.sum()
    best = int(shares.argmax())
    return {
        "label": described["classes"][best],
        "probabilities": dict(zip(described["classes"], shares.tolist(), strict=True)),
    }


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, port=0, access_log=False, log_level="warning"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"running on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    await task


if __name__ == "__main__":
    asyncio.run(main())
