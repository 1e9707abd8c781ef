"""The bundle says what the model says, where there is nothing but numpy and ONNX Runtime."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.artifacts.edge import save_bundle
from tasks.core.inference import softmax
from tests.exported import PIXELS, SHAPE, exported

CLASSES, TEMPERATURE = ["cat", "dog", "ü"], 2.0
# Isolated, without site-packages, but for the folder that is named.
START = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("device") / "edge"
    save_bundle(exported("residual").graph.SerializeToString(), CLASSES, TEMPERATURE, path)
    return path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which numpy and ONNX Runtime are, and nothing else."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("numpy", "onnxruntime"):
        found = importlib.util.find_spec(name)
        assert found and found.origin
        place = Path(found.origin).parent
        (folder / name).symlink_to(place)
        # Where wheels keep the libraries that they bring.
        if (libraries := place.with_name(f"{name}.libs")).is_dir():
            (folder / libraries.name).symlink_to(libraries)
    return folder


def run(bundle: Path, packages: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", START, str(packages), str(bundle / "run.py"), *paths],
        cwd=packages,
        env={"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def test_it_is_a_short_script_beside_the_model_and_its_labels(bundle):
    assert {path.name for path in bundle.iterdir()} == {"model.onnx", "labels.json", "run.py"}
    assert len((bundle / "run.py").read_text(encoding="utf-8").splitlines()) < 40
    said = json.loads((bundle / "labels.json").read_text(encoding="utf-8"))
    assert said == {"labels": CLASSES, "temperature": TEMPERATURE}


def test_a_bare_python_says_what_the_net_says(bundle, packages, tmp_path):
    paths = [tmp_path / f"{number}.npy" for number in range(5)]
    for path, image in zip(paths, PIXELS, strict=False):
        np.save(path, image)
    ended = run(bundle, packages, *paths)
    assert ended.returncode == 0, ended.stderr
    probabilities = softmax(exported("residual").logits()[:5] / TEMPERATURE)
    lines = [line.split("\t") for line in ended.stdout.splitlines()]
    assert [path for path, *_ in lines] == [str(path) for path in paths]
    assert [label for _, label, _ in lines] == [CLASSES[k] for k in probabilities.argmax(axis=1)]
    shares = [float(share) for *_, share in lines]
    assert np.allclose(shares, probabilities.max(axis=1), atol=1e-4)


def test_nothing_else_is_within_reach(packages):
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(packages)!r})\n"
         "import numpy, onnxruntime\nimport torch"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "No module named 'torch'" in ended.stderr


def test_pictures_are_read_where_pillow_is(bundle, tmp_path):
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    ended = subprocess.run(
        [sys.executable, bundle / "run.py", tmp_path / "a.png"], capture_output=True, text=True
    )
    expected = CLASSES[int(exported("residual").logits()[0].argmax())]
    assert ended.stdout.split("\t")[1] == expected


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((SHAPE[0], SHAPE[1] + 1, SHAPE[2]), np.uint8),
        np.zeros(SHAPE, np.float32),
        np.zeros(SHAPE[:2], np.uint8),
    ],
)
def test_what_the_model_cannot_take_is_refused_in_a_line(bundle, packages, tmp_path, image):
    np.save(tmp_path / "a.npy", image)
    ended = run(bundle, packages, tmp_path / "a.npy")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{tmp_path / 'a.npy'}: {image.dtype} {image.shape}; the model")
    assert "Traceback" not in ended.stderr


def test_without_arguments_it_says_how_it_is_used(bundle, packages):
    ended = run(bundle, packages)
    assert ended.returncode == 1 and "python run.py image.npy" in ended.stderr
