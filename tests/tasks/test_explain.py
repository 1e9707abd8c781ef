"""The stage explains what a classifier goes by, on a page of its own, and knows a shortcut."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from tasks.artifacts.images import save_pixels
from tasks.artifacts.models import Description, new_encoder, save_classifier
from tasks.artifacts.tables import save_table
from tasks.core.encoder import Classifier
from tasks.core.errors import ArtifactError
from tasks.core.inference import run_net, softmax
from tasks.explain import Params, main
from tests.nets import tiny

METHODS: list[dict[str, Any]] = [
    {"name": "integrated_gradients", "num_steps": 8},
    {"name": "smooth_gradients", "num_noisy": 4, "noise_fraction": 0.1},
    {"name": "grad_cam"},
    {"name": "occlusion", "width_fraction": 0.25},
    {"name": "kernel_shap", "superpixels_across": 3, "num_coalitions": 32},
    {"name": "lime", "superpixels_across": 3, "num_samples": 32},
]
SECTION: dict[str, Any] = {
    "methods": METHODS,
    "num_mistakes": 3,
    "num_uncertain": 3,
    "num_per_class": 1,
    "checks": {
        "num_images": 24,
        "cells_across": 4,
        "num_steps": 8,
        "num_random": 4,
        "num_broken": 8,
        "num_levels": 2,
        "most_correlation": 0.5,
    },
    "imitation": {"num_rows": 100, "tree_depth": 2, "num_rules": 3, "least_rows": 5},
}
LIMITS = {"max_file_bytes": 999, "max_pixels": 9999, "max_frames": 1, "min_size": 1}
PATCH = np.s_[1:4, 1:4]


def params(**changed: Any) -> Params:
    return Params.model_validate({**SECTION, **changed})


def teach(net: Classifier, images: np.ndarray, codes: np.ndarray) -> None:
    x_NHWC, codes_N = torch.from_numpy(images), torch.from_numpy(codes)
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    net.train()
    for _ in range(60):
        optimiser.zero_grad()
        F.cross_entropy(net(x_NHWC), codes_N).backward()
        optimiser.step()
    net.eval()


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Noise of two classes, of which one alone has a bright patch; the net is taught it."""
    folder = tmp_path_factory.mktemp("project")
    rng = np.random.default_rng(0)
    images = rng.integers(40, 120, (80, 12, 12, 1), dtype=np.uint8)
    codes = np.arange(80) % 2
    images[codes == 1, PATCH[0], PATCH[1]] = 255
    (folder / "images").mkdir()
    save_pixels(images, folder / "images/0.npy")
    names = [f"image {number}" for number in range(80)]
    classes = ["plain", "patched"]
    labels = np.array(classes)[codes]
    given = np.where(np.arange(80) == 6, "patched", labels)
    manifest = pd.DataFrame({"image_id": names, "path": names, "label": given, "brightness": 0.5})
    save_table(manifest, folder / "manifest.parquet")
    brightness = images.mean(axis=(1, 2, 3)) / 255
    measures = pd.DataFrame({"image_id": names[::-1], "brightness": brightness[::-1]})
    save_table(measures.assign(contrast=rng.random(80)), folder / "measures.parquet")
    description = Description.model_validate(
        {
            "architecture": tiny(width=8),
            "mean": [images.mean() / 255],
            "std": [0.2],
            "canonical": {"size": 12, "channels": 1, "resize": "crop", "limits": LIMITS},
            "classes": classes,
            "fingerprint": {},
            "adoption": None,
        }
    )
    torch.manual_seed(0)
    net = Classifier(new_encoder(description), 2, 0.0)
    teach(net, images, codes)
    save_classifier(net, description, folder / "classifier.safetensors")
    logits = run_net(net, images, np.arange(80), torch.device("cpu"), "float32")
    rows = rng.permutation(80)[:60]
    rows[0] = 6 if 6 not in rows else rows[0]
    reference = pd.DataFrame(
        {
            "image_id": np.array(names)[rows],
            "label": given[rows],
            "probabilities": list(softmax(logits)[rows]),
        }
    )
    save_table(reference, folder / "reference.parquet")
    return folder


def run(project: Path, out: Path, asked: Params | None = None, **other: Path) -> dict[str, Any]:
    paths = {
        "images": project / "images",
        "manifest": project / "manifest.parquet",
        "measures": project / "measures.parquet",
        "classifier": project / "classifier.safetensors",
        "reference": project / "reference.parquet",
        "out_page": out / "explain.html",
        "out_metrics": out / "explain.json",
    }
    main(**paths | other, params=asked or params(), seed=0, num_threads=1, device="cpu")
    return json.loads((out / "explain.json").read_text())


def test_a_net_that_goes_by_a_patch_is_seen_through(project, tmp_path):
    told = run(project, tmp_path)
    assert (told["num_rows"], told["num_mistakes"]) == (60, 1)
    passed = {name for name, one in told["methods"].items() if one["passed"]}
    assert {"occlusion", "kernel_shap", "integrated_gradients"} <= passed, told["methods"]
    imitation = told["imitation"]
    assert imitation["said"]["fidelity"] > 0.9
    assert next(iter(imitation["said"]["importance"])) == "brightness"
    assert imitation["tree"]["fidelity"] > 0.9 and imitation["list"]["fidelity"] > 0.9
    assert "brightness" in imitation["list"]["rules"][0]["rule"]
    page = (tmp_path / "explain.html").read_text()
    assert "is patched" in page and "said plain (" in page
    # Two originals and six maps for the one mistake alone.
    assert page.count("<img") == 1 + 7 * (1 + 3 + 2)
    assert len(page.encode()) < 4e6


def test_the_same_bytes_come_twice(project, tmp_path):
    (tmp_path / "again").mkdir()
    few = params(methods=METHODS[:5])
    run(project, tmp_path, few)
    run(project, tmp_path / "again", few)
    for name in ("explain.html", "explain.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_nothing_shown_and_little_to_imitate_is_a_page_all_the_same(project, tmp_path):
    reference = pd.read_parquet(project / "reference.parquet").iloc[1:11]
    save_table(reference, tmp_path / "few.parquet")
    quiet = params(methods=METHODS[3:4], num_mistakes=0, num_uncertain=0, num_per_class=0)
    told = run(project, tmp_path, quiet, reference=tmp_path / "few.parquet")
    assert told["imitation"] == {} and told["num_images"] == 10
    assert "None were asked for." in (tmp_path / "explain.html").read_text()


def test_a_reference_of_other_data_is_refused(project, tmp_path):
    reference = pd.read_parquet(project / "reference.parquet")
    reference.loc[3, "image_id"] = "stranger"
    save_table(reference, tmp_path / "other.parquet")
    with pytest.raises(ArtifactError, match=r"1 of its images are not in the manifest.*'stranger'"):
        run(project, tmp_path, reference=tmp_path / "other.parquet")


@pytest.mark.parametrize(
    "wrong", [{"methods": []}, {"methods": METHODS[:1] * 2}, {"num_mistakes": -1}]
)
def test_other_params_are_refused(wrong):
    with pytest.raises(ValidationError):
        params(**wrong)
