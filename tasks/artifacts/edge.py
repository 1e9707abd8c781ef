"""The folder that a device takes: a model, what its outputs are called, and a script to run it."""

from collections.abc import Sequence
from pathlib import Path

from tasks.artifacts import edge_run
from tasks.artifacts.atomic import replacing_folder
from tasks.artifacts.documents import save_json


def save_bundle(model: bytes, classes: Sequence[str], temperature: float, path: Path) -> None:
    """model.onnx, labels.json and run.py, which says how it is used."""
    with replacing_folder(path) as folder:
        (folder / "model.onnx").write_bytes(model)
        save_json({"labels": list(classes), "temperature": temperature}, folder / "labels.json")
        (folder / "run.py").write_bytes(Path(edge_run.__file__).read_bytes())
