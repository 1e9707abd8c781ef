"""Every method runs and learns as a stage, from train and unlabelled rows alone; a collapse is
said; what the encoder is worth goes with it."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from safetensors.torch import load_file

from tasks import pretrain
from tasks.artifacts.documents import save_json
from tasks.artifacts.images import save_pixels
from tasks.artifacts.models import load_encoder
from tasks.artifacts.tables import save_rows, save_table
from tasks.core.errors import ParamsError
from tasks.core.methods import Method
from tasks.core.params import Run
from tests.nets import tiny, tiny_vit

ROOT = Path(__file__).parents[2]
RUN = Run(seed=0, num_threads=1, precision="float32", device="cpu")
WIDTHS = {"projector_width": 16, "projection_width": 8}
METHODS: dict[str, dict[str, Any]] = {
    "simclr": {"temperature": 0.2, **WIDTHS},
    "moco": {"temperature": 0.2, "queue_length": 64, "momentum": 0.9, **WIDTHS},
    "byol": {"predictor_width": 16, "momentum": 0.9, **WIDTHS},
    "simsiam": {"predictor_width": 8, **WIDTHS},
    "barlow_twins": {"redundancy_weight": 0.005, **WIDTHS},
    "vicreg": {
        "invariance_weight": 25.0,
        "variance_weight": 25.0,
        "covariance_weight": 1.0,
        **WIDTHS,
    },
    "masked": {
        "masked_fraction": 0.5,
        "decoder_width": 16,
        "decoder_depth": 1,
        "decoder_heads": 2,
    },
}
# Of what a method takes that cannot teach every net.
ARCHITECTURES = {"masked": tiny_vit(patch_width=2, depth=1)}
ADAMW: dict[str, Any] = {
    "name": "adamw",
    "learning_rate": 0.01,
    "weight_decay": 0.0001,
    "betas": [0.9, 0.999],
    "epsilon": 1e-8,
    "l1_penalty": 0.0,
    "clip_norm": 0.0,
    "ema_decay": 0.0,
}
LARS: dict[str, Any] = {
    "name": "lars",
    "learning_rate": 0.5,
    "momentum": 0.9,
    "weight_decay": 0.0001,
    "trust": 0.02,
    "l1_penalty": 0.0,
    "clip_norm": 0.0,
    "ema_decay": 0.0,
}
SECTION = {
    "views": [{"name": "GaussNoise", "arguments": {"std_range": [0.02, 0.1], "p": 1.0}}],
    "epochs": 3,
    "batch_size": 32,
    "optimiser": ADAMW,
    "schedule": {"name": "cosine", "warmup_epochs": 0},
    "num_fresh_nets": 2,
    "num_accumulated": 1,
    "num_processes": 1,
    "compiled": False,
    "augmentation": "host",
}
TRAIN, UNLABELLED, VAL, TEST = (
    np.arange(*ends) for ends in ((0, 120), (120, 160), (160, 220), (220, 240))
)


def make_data(folder: Path, scrambled: np.ndarray | None = None) -> Path:
    """240 images of four looks; the `scrambled` rows have other pixels and labels."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    looks = rng.integers(40, 216, (4, 8, 8, 1))
    codes = np.arange(240) % 4
    pixels = looks[codes] + rng.integers(-30, 30, (240, 8, 8, 1))
    if scrambled is not None:
        pixels[scrambled] = rng.integers(0, 256, (len(scrambled), 8, 8, 1))
        codes[scrambled] = (codes[scrambled] + 1) % 4
    save_pixels(pixels.astype(np.uint8), folder / "images/0.npy")
    labels = pd.Series(codes.astype(str), dtype="string")
    labels[UNLABELLED] = pd.NA
    save_table(pd.DataFrame({"label": labels}), folder / "manifest.parquet")
    for name, rows in (("train", TRAIN), ("unlabelled", UNLABELLED), ("val", VAL)):
        save_rows(rows, folder / f"{name}.npy")
    save_json({"mean": [0.5], "std": [0.25]}, folder / "statistics.json")
    limits = {"max_file_bytes": 10**6, "max_pixels": 10**6, "max_frames": 1, "min_size": 1}
    canonical = {"size": 8, "channels": 1, "resize": "crop", "limits": limits}
    save_json(canonical, folder / "canonical.json")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("data") / "d")


def section_of(name: str) -> dict[str, Any]:
    architecture = ARCHITECTURES.get(name, tiny()).model_dump()
    return {**SECTION, "architecture": architecture, "method": {"name": name, **METHODS[name]}}


def run_stage(
    data: Path, out: Path, name: str, checkpoints: Path | None = None, **changed
) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    section = section_of(name) | changed
    pretrain.main(
        images=data / "images",
        manifest=data / "manifest.parquet",
        train=data / "train.npy",
        unlabelled=data / "unlabelled.npy",
        val=data / "val.npy",
        statistics=data / "statistics.json",
        canonical=data / "canonical.json",
        out_encoder=out / "encoder.safetensors",
        out_metrics=out / "metrics.json",
        out_epochs=out / "epochs.csv",
        params=pretrain.Params.model_validate(section),
        run=RUN,
        checkpoints=checkpoints,
    )
    return json.loads((out / "metrics.json").read_text())


@pytest.fixture(autouse=True)
def a_project_without_data(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint hashes what the project's graph names."""
    (tmp_path / "dvc.yaml").write_text("stages: {pretrain: {deps: [dvc.yaml]}}\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns_and_leaves_the_same_bytes_twice(data, tmp_path, method):
    torch.manual_seed(7)
    metrics = run_stage(data, tmp_path / "a", method, epochs=4)
    torch.manual_seed(8)
    assert run_stage(data, tmp_path / "b", method, epochs=4) == metrics
    for name in ("encoder.safetensors", "metrics.json", "epochs.csv"):
        first, second = ((tmp_path / run / name).read_bytes() for run in "ab")
        assert first == second, name
    history = pd.read_csv(tmp_path / "a/epochs.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    # The random vectors that a queue begins with are easily told from keys.
    begun = 1 if method == "moco" else 0
    assert history["loss"].iloc[-1] < history["loss"].iloc[begun]
    assert metrics["method"] == method and metrics["num_images"] == 160
    assert history.iloc[-1]["effective_rank"] == metrics["effective_rank"]


def test_lars_teaches_too(data, tmp_path):
    """Nothing but the optimiser differs, and so what is learnt."""
    metrics = run_stage(data, tmp_path / "a", "simclr", optimiser=LARS)
    history = pd.read_csv(tmp_path / "a/epochs.csv")
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] - 0.1
    assert metrics["knn_accuracy"] > 0.9 and metrics["collapsed"] is False


def test_val_and_test_rows_teach_nothing(data, tmp_path):
    run_stage(data, tmp_path / "a", "simclr")
    other = make_data(tmp_path / "other", scrambled=np.concatenate([VAL, TEST]))
    run_stage(other, tmp_path / "b", "simclr")
    first, second = (load_file(tmp_path / run / "encoder.safetensors") for run in "ab")
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    changed = make_data(tmp_path / "changed", scrambled=UNLABELLED)
    run_stage(changed, tmp_path / "c", "simclr")
    third = load_file(tmp_path / "c/encoder.safetensors")
    assert not all(torch.equal(value, third[name]) for name, value in first.items())


def test_what_the_encoder_is_worth_goes_with_it(data, tmp_path):
    metrics = run_stage(data, tmp_path / "a", "simclr")
    _, description = load_encoder(tmp_path / "a/encoder.safetensors")
    assert description.adoption is not None
    assert description.adoption.model_dump() == metrics["adoption"]


def test_what_was_killed_before_it_was_saved_is_worth_the_same(data, tmp_path):
    whole = run_stage(data, tmp_path / "a", "simclr")
    (tmp_path / "b/encoder.safetensors").mkdir(parents=True)
    with pytest.raises(OSError, match="encoder"):
        run_stage(data, tmp_path / "b", "simclr", tmp_path / "checkpoints")
    (tmp_path / "b/encoder.safetensors").rmdir()
    assert run_stage(data, tmp_path / "b", "simclr", tmp_path / "checkpoints") == whole
    first, second = (tmp_path / run / "encoder.safetensors" for run in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_one_that_learnt_nothing_is_not_adopted(data, tmp_path):
    metrics = run_stage(data, tmp_path / "a", "simclr", epochs=0)
    assert metrics["adoption"]["adopted"] is False
    assert metrics["num_epochs"] == 0


def test_a_collapse_is_said(data, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        healthy = run_stage(data, tmp_path / "a", "simclr")
        assert not caplog.records and healthy["collapsed"] is False
        # Where there is nothing to see, everything becomes one point.
        grey = make_data(tmp_path / "grey")
        save_pixels(np.full((240, 8, 8, 1), 128, dtype=np.uint8), grey / "images/0.npy")
        collapsed = run_stage(grey, tmp_path / "b", "simclr")
    assert collapsed["collapsed"] is True
    assert collapsed["adoption"]["adopted"] is False
    (record,) = caplog.records
    assert "epoch 2: the encoder has collapsed" in record.message
    assert "try another pretrain.method than simclr" in record.message


def test_a_queue_that_holds_all_images_is_refused(data, tmp_path):
    """160 of them are learnt from."""
    method = {"name": "moco", **METHODS["moco"]}
    with pytest.raises(ParamsError, match="queue_length 160 holds keys of all 160 images"):
        run_stage(data, tmp_path / "a", "moco", method=method | {"queue_length": 160})
    run_stage(data, tmp_path / "b", "moco", method=method | {"queue_length": 159}, epochs=1)


def test_the_methods_in_the_comments_of_params_can_be_taken():
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    examples = re.findall(r"^  #   (\{name: .*?\})", text, re.MULTILINE)
    names = [
        TypeAdapter(Method).validate_python(YAML(typ="safe", pure=True).load(example)).name
        for example in [*examples, re.findall(r"^  method: (\{.*?\})", text, re.MULTILINE)[0]]
    ]
    assert set(names) == set(METHODS)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"views": []}, "both are the same"),
        (
            {"views": [{"name": "Posterize", "arguments": {}}], "augmentation": "device"},
            "Posterize has no version",
        ),
        (
            {"method": {"name": "masked", **METHODS["masked"]}},
            "architecture.family is convolutional; expected one of",
        ),
        ({"schedule": {"name": "plateau", "factor": 0.1, "patience": 1}}, "waits for a val loss"),
        ({"schedule": {"name": "cosine", "warmup_epochs": 99}}, "warmup_epochs"),
        ({"optimiser": {**ADAMW, "ema_decay": 0.9}}, "the last weights are kept"),
    ],
)
def test_what_does_not_fit_together_is_refused(changed, words):
    with pytest.raises(ValidationError, match=words):
        pretrain.Params.model_validate(section_of("simclr") | changed)
