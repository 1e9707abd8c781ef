"""A project in which a model is published, and stores of either kind."""

import hashlib
import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.postgresql import running_postgresql
from monitoring.store import Store, parse_store
from tasks.artifacts.tables import save_table
from tasks.core.onnx_model import DESCRIPTION_KEY
from tasks.core.yaml_edits import edit_values
from tests.monitoring.planted import CLASSES, ROOT, a_reference, a_window

LIMITS = {"max_file_bytes": 1000, "max_pixels": 1000, "max_frames": 1, "min_size": 4}
CANONICAL = {"size": 8, "channels": 1, "resize": "squash", "limits": LIMITS}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published model, of which only its description is looked at, and two windows."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    fewer = edit_values(text, {"monitoring.num_permutations": 499, "run.num_threads": 1})
    (tmp_path / "params.yaml").write_text(fewer)
    shape = ["N", 8, 8, 1]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["logits"])],
        "nothing",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.UINT8, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    described = {"classes": CLASSES, "canonical": CANONICAL, "expectations": [],
                 "temperature": 1.0, "abstention": 0.0}  # fmt: skip
    helper.set_model_props(model, {DESCRIPTION_KEY: json.dumps(described)})
    onnx.save(model, "classifier.onnx")
    sha256 = hashlib.sha256(Path("classifier.onnx").read_bytes()).hexdigest()
    save_table(a_reference(), Path("reference.parquet"))
    for number, shift in enumerate((0.0, 0.9)):
        window = a_window(300, seed=number + 1, shift=shift).assign(model_sha256=sha256)
        save_table(window, Path(f"window{number}.parquet"))
    return tmp_path


@pytest.fixture(scope="module")
def postgresql():
    with running_postgresql() as server:
        yield server


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]
)
def address(request, tmp_path):
    """Of no store yet, for tests to which either database must say the same."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a/store.sqlite"
    server = request.getfixturevalue("postgresql")
    return server.make_database(f"store_{abs(hash(request.node.name))}")


@pytest.fixture
def store(address):
    store = Store(parse_store(address))
    yield store
    store.close()
