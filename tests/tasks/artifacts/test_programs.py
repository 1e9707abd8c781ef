"""A program on disk is the net's, and does not tell where it was made."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.artifacts.programs import load_program, save_program
from tasks.core.errors import ArtifactError
from tasks.core.onnx_graph import run_program, trace
from tests.exported import PIXELS, ROWS, SHAPE, exported, new_classifier
from tests.nets import FAMILIES

ROOT = Path(__file__).parents[3]
AGAIN = """
import sys
from pathlib import Path
from tasks.artifacts.programs import save_program
from tasks.core.onnx_graph import trace
from tests.exported import SHAPE, new_classifier
from tests.nets import FAMILIES
save_program(trace(new_classifier(FAMILIES["residual"]), SHAPE), Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "program.pt2"
    save_program(trace(new_classifier(FAMILIES["residual"]), SHAPE), path)
    return path


def test_what_is_loaded_says_what_the_net_says(saved):
    given = run_program(load_program(saved), PIXELS, ROWS)
    assert np.allclose(given, exported("residual").logits(), atol=1e-5)
    one = run_program(load_program(saved), PIXELS, ROWS[:1])
    assert np.allclose(one, given[:1], atol=1e-5)


def test_another_process_and_another_folder_give_the_same_bytes(tmp_path):
    """The code is linked into another folder, and hashes of strings are others there."""
    for name in ("tasks", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    for folder, name in ((ROOT, "first.pt2"), (tmp_path, "again.pt2")):
        subprocess.run([sys.executable, "-c", AGAIN, str(tmp_path / name)], cwd=folder, check=True)
    first = (tmp_path / "first.pt2").read_bytes()
    assert (tmp_path / "again.pt2").read_bytes() == first
    assert str(ROOT).encode() not in first


@pytest.mark.parametrize("data", [None, b"", b"PK\x03\x04 and no archive"])
def test_what_is_no_program_is_refused(tmp_path, data):
    if data is not None:
        (tmp_path / "program.pt2").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"program.pt2: is not a readable torch.export program"):
        load_program(tmp_path / "program.pt2")
