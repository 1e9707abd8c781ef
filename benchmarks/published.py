"""A model of digits, trained in no time, and published where a server looks for it."""

import shutil
from hashlib import sha256
from pathlib import Path

from benchmarks.cells import Setting, say
from benchmarks.workspace import repro, set_params
from tasks.artifacts.documents import save_json
from tasks.artifacts.images import load_row_group
from tasks.core.incoming import Incoming, take_in
from tasks.core.onnx_model import describe_session, make_session
from tasks.core.outputs import run_model

# Enough to tell digits apart: how well is measured elsewhere.
FEW_EPOCHS = {"pretrain.epochs": 4, "finetune.epochs": 5}
_TRAINED: dict[int, Path] = {}


def trained(setting: Setting) -> Path:
    """A clone with a model, shared by all cells."""
    key = id(setting.clones)
    if key not in _TRAINED:
        clone = setting.clones.new()
        set_params(clone, FEW_EPOCHS)
        say("training on digits")
        repro(clone, "export")
        _TRAINED[key] = clone
    return _TRAINED[key]


def publish_from(clone: Path, folder: Path) -> bytes:
    """Has the clone's model in the folder as its champion, as the registry would name it; an image
    that was never cleaned, and that the model does not abstain from."""
    champion = folder / "models/champion"
    champion.mkdir(parents=True)
    shutil.copyfile(clone / "models/classifier.onnx", champion / "classifier.onnx")
    digest = sha256((champion / "classifier.onnx").read_bytes()).hexdigest()
    version = {"version": 1, "sha256": "", "onnx_sha256": digest, "classes": [], "metrics": {}}
    save_json({"aliases": {"champion": 1}, "versions": [version]}, folder / "models/registry.json")
    shard = sorted((clone / "data/raw/shards").iterdir())[0]
    session = make_session((champion / "classifier.onnx").read_bytes(), 1)
    described = describe_session(session)
    for raw in load_row_group(shard, 0):
        (taken,) = take_in([(raw.data, "a.png")], described.canonical)
        if isinstance(taken, Incoming):
            outputs = run_model(session, described, taken.pixels[None])
            if outputs.probabilities_NK.max() > described.abstention:
                return raw.data
    raise RuntimeError(f"{shard}: the model abstains from every image")
