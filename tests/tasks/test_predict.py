"""Predictions read what ingest reads, refuse what validate refuses, and hold to what was asked."""

import io
import json
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks.gate_fuzz import find_faults
from tasks.artifacts.images import RawImage, raw_table
from tasks.core.errors import ArtifactError, SourceError, VerdictError
from tasks.core.gate import Limits
from tasks.core.metadata import strip_metadata
from tasks.core.onnx_model import DESCRIPTION_KEY
from tasks.decoding import measure_row_group
from tasks.pool import Piece
from tasks.predict import main, predict

CLASSES = ["dark", "light"]
LIMITS = Limits(max_file_bytes=50_000_000, max_pixels=25_000_000, max_frames=100, min_size=4)


def make_model(folder: Path, *expectations: dict[str, Any], **calibration: float) -> Path:
    """A net of one layer: `light` by the mean of all pixels, `dark` by its lack."""
    canonical = {"size": 8, "channels": 1, "resize": "squash", "limits": LIMITS.model_dump()}
    weights = np.stack([np.full(64, -1 / 64), np.full(64, 1 / 64)], axis=1).astype(np.float32)
    tensors = {
        "shape": np.array([-1, 64]),
        "weights": weights,
        "middle": np.array([127, -127], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["cast", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["sums"]),
        helper.make_node("Add", ["sums", "middle"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 8, 8, 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    described = {"classes": CLASSES, "canonical": canonical, "expectations": list(expectations)}
    described |= calibration
    helper.set_model_props(model, {DESCRIPTION_KEY: json.dumps(described)})
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / "classifier.onnx")
    return folder


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


def png(shade: int, side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side), shade).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for path, data in {"a.png": png(250), "in/b.png": png(3), "in/cut.png": png(3)[:40]}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def packed(folder: Path, file: Path) -> Path:
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            for path in folder.rglob("*.png"):
                archive.write(path, path.relative_to(folder))
        return file
    with tarfile.open(file, "w" if file.suffix == ".tar" else "w:gz") as archive:
        archive.add(folder, ".")
    return file


def test_probabilities_are_calibrated_and_what_is_not_sure_enough_is_marked(photos, tmp_path):
    (photos / "grey.png").write_bytes(png(129))
    raw = predict(photos, make_model(tmp_path / "raw"), 1)
    assert not raw["unsure"].any()
    calibrated = predict(
        photos, make_model(tmp_path / "model", temperature=4.0, abstention=0.95), 1
    ).set_index("path")
    # The two logits of grey are 2 and -2.
    assert calibrated.loc["grey.png", "confidence"] == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert calibrated["label"].fillna("").tolist() == raw["label"].fillna("").tolist()
    assert calibrated.index[calibrated["unsure"]].tolist() == ["grey.png"]


@pytest.mark.parametrize("name", ["p.zip", "p.tar", "p.tar.gz", "p.tgz", "P.ZIP"])
def test_an_archive_gives_what_its_folder_gives(photos, model, tmp_path, name):
    expected = predict(photos, model, 1)
    assert expected["label"].fillna("").tolist() == ["light", "dark", ""]
    file = packed(photos, tmp_path / name.lower())
    file = file.rename(tmp_path / name)
    pd.testing.assert_frame_equal(predict(file, model, 1), expected)
    inside = predict(file / "in", model, 1)
    assert inside["path"].tolist() == ["b.png", "cut.png"]


def test_an_archive_that_leads_out_is_refused_and_nothing_written(model, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("../a.png", png(3))
    with pytest.raises(SourceError, match="leads upwards"):
        predict(tmp_path / "p.zip", model, 1)
    out = tmp_path / "out.csv"
    asked = [str(tmp_path / "p.zip"), "--out", str(out), "--model", str(model)]
    assert main(asked) == 1 and not out.exists()
    assert "SourceError: " in capsys.readouterr().err


def chunk(kind: bytes, body: bytes, wrong: int = 0) -> bytes:
    checksum = zlib.crc32(kind + body) ^ wrong
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def odd_files() -> dict[str, bytes]:
    """Every fault that the gate is tried with, and what stands near its limits."""
    whole = png(9)
    at = whole.index(b"IDAT") - 4
    return {
        **{fault.name: fault.data for fault in find_faults() if len(fault.data) < 10**6},
        "small.png": png(9, side=3),
        "least.png": png(9, side=4),
        "note.png": whole[:at] + chunk(b"tEXt", b"a\0b", wrong=1) + whole[at:],
        "tail.png": whole + b"more" * 9,
        "good": png(77),
    }


def test_what_validate_refuses_is_refused_for_the_same_reason(model, tmp_path):
    files = odd_files()
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name if "." in name else f"{name}.png", data)
    predicted = predict(tmp_path / "p.zip", model, 1).set_index("path")["problem"].to_dict()
    rows = [RawImage(name, strip_metadata(data), name) for name, data in files.items()]
    pq.write_table(raw_table(rows), tmp_path / "shard.parquet")
    judged = measure_row_group(Piece(tmp_path / "shard.parquet", 0, True, None), LIMITS)
    expected = {one.image_id: f"{one.reason}: {one.detail}" for one in judged.rejected}
    assert len(expected) > 12 and {"small.png", "bomb.png", "sum.png"} <= set(expected)
    for name in files:
        shown = name if "." in name else f"{name}.png"
        assert predicted[shown] == expected.get(name, ""), name


SURE = {
    "type": "expectation",
    "name": "ExpectColumnValuesToBeBetween",
    "arguments": {"column": "confidence", "min_value": 0.99, "max_value": None},
    "severity": "critical",
}
LIGHT = {"type": "allowed_labels", "labels": ["light"], "severity": "warning"}


def test_what_was_asked_of_predictions_goes_with_the_model(photos, tmp_path, capsys):
    model = make_model(tmp_path / "model", SURE, LIGHT)
    assert len(predict(photos, model, 1)) == 3
    assert "warning: suite predictions: ExpectColumnValuesToBeInSet label" in (
        capsys.readouterr().err
    )
    (photos / "grey.png").write_bytes(png(127))
    with pytest.raises(VerdictError, match=r"suite predictions: Expect.* confidence: expected min"):
        predict(photos, model, 1)


def test_rules_that_cannot_be_read_are_told(photos, tmp_path):
    model = make_model(tmp_path / "model", {**SURE, "name": "ExpectNothing"})
    with pytest.raises(ArtifactError, match=r"classifier\.onnx: cannot be checked:\n.*no 'ExpectN"):
        predict(photos, model, 1)


def test_images_that_are_all_unusable_have_rows_and_no_rule(photos, tmp_path):
    model = make_model(tmp_path / "model", SURE)
    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    table = predict(photos, model, 1)
    assert table["problem"].str.startswith("empty: ").all() and table["label"].isna().all()
