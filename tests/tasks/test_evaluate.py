"""What evaluate leaves says of planted data what was planted, and nothing twice otherwise."""

import json
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from scipy.special import softmax
from sklearn import metrics

from tasks.artifacts.documents import save_json
from tasks.artifacts.images import Images, save_pixels
from tasks.artifacts.models import Description, save_classifier
from tasks.artifacts.tables import load_table, save_rows, save_table
from tasks.core.encoder import Classifier
from tasks.core.errors import ParamsError, SplitError
from tasks.core.inference import Place, run_net
from tasks.evaluate import Params, main
from tasks.judging import Model, average_views
from tests.nets import small_classifier, tiny

CLASSES, CPU = ["a", "b", "c"], torch.device("cpu")
LIMITS = {"max_file_bytes": 999, "max_pixels": 99, "max_frames": 1, "min_size": 1}
NUM_ROWS = 360
TRAIN, TEST = np.arange(60), np.arange(60, NUM_ROWS)
LIGHTER = {"name": "RandomBrightnessContrast", "arguments": {"p": 1.0}}
SMALLER = {"name": "Resize", "arguments": {"height": 4, "width": 4}}
SECTION: dict[str, Any] = {
    "num_bootstrap": 100,
    "num_bins": 10,
    "num_views": 1,
    "num_robustness_rows": 20,
    "slices": {
        "columns": ["light", "group"],
        "tail_fraction": 0.25,
        "least_rows": 12,
        "depth": 3,
        "significance": 0.05,
    },
    "fairness": {"columns": ["group"], "classes": ["b"]},
    "behaviours": [
        {"type": "minimum", "slice": "group=y", "min_accuracy": 0.1},
        {"type": "direction", "transform": LIGHTER, "label": "b", "expected": "up"},
        {"type": "invariance", "transform": LIGHTER, "max_changed_fraction": 1.0},
    ],
}


def describe(**changed: Any) -> Description:
    values = {
        "architecture": tiny(),
        "mean": [0.5],
        "std": [0.25],
        "canonical": {"size": 8, "channels": 1, "resize": "crop", "limits": LIMITS},
        "classes": CLASSES,
        "fingerprint": {},
        "adoption": None,
        "temperature": 0.5,
        "abstention": 0.4,
    }
    return Description.model_validate({**values, **changed})


@pytest.fixture(scope="module")
def net() -> Classifier:
    torch.manual_seed(0)
    net = small_classifier()
    # Fresh nets hardly tell images apart: this one has a class for dark, grey and light ones.
    shades = torch.arange(0, 255, dtype=torch.uint8)[:, None, None, None].expand(-1, 8, 8, 1)
    with torch.no_grad():
        embeddings = net.eval().encoder(shades)
        centres = embeddings[[40, 120, 210]]
        spread = embeddings.std()
        net.head.weight.copy_(2 * centres / spread**2)
        net.head.bias.copy_(-(centres**2).sum(dim=1) / spread**2)
    return net


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, net: Classifier) -> Path:
    """Labels are what the net says, but for every tenth row and dark rows of group x."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 200, NUM_ROWS)
    pixels = shades[:, None, None, None] + rng.integers(0, 55, (NUM_ROWS, 8, 8, 1))
    (folder / "images").mkdir()
    save_pixels(pixels.astype(np.uint8), folder / "images/a.npy")
    said = run_net(net, Images(folder / "images"), np.arange(NUM_ROWS), CPU, "float32")
    codes, group = said.argmax(axis=1), rng.choice(["x", "y"], NUM_ROWS)
    wrong = (np.arange(NUM_ROWS) % 10 == 0) | ((group == "x") & (shades < 60))
    codes = np.where(wrong, (codes + rng.integers(1, 3, NUM_ROWS)) % 3, codes)
    ids = pd.Series([f"i{row}" for row in range(NUM_ROWS)], dtype="string")
    labels = pd.Series(np.array(CLASSES)[codes], dtype="string")
    labels[100] = None
    save_table(pd.DataFrame({"image_id": ids, "label": labels}), folder / "labels.parquet")
    manifest = pd.DataFrame({"image_id": ids, "label": labels, "group": group, "path": ids})
    save_table(manifest, folder / "manifest.parquet")
    measures = pd.DataFrame({"image_id": ids, "light": shades / 255.0})
    save_table(measures.iloc[::-1], folder / "measures.parquet")
    save_rows(TRAIN, folder / "train.npy")
    save_rows(TEST, folder / "test.npy")
    nothing = {"__class_fullname__": "Compose", "p": 1.0, "transforms": []}
    policy = {"__version__": "2.0.8", "transform": nothing}
    save_json({"transforms": policy}, folder / "policy.json")
    save_classifier(net, describe(), folder / "classifier.safetensors")
    return folder


def run(given: Path, out: Path, changed: dict[str, Any] | None = None, **paths: Path) -> None:
    out.mkdir(exist_ok=True)
    inputs = {
        "images": given / "images",
        "policy": given / "policy.json",
        "classifier": given / "classifier.safetensors",
        **{name: given / f"{name}.npy" for name in ("train", "test")},
        **{name: given / f"{name}.parquet" for name in ("labels", "manifest", "measures")},
        **paths,
    }
    main(
        **inputs,
        out_metrics=out / "evaluate.json",
        out_confusion=out / "confusion.csv",
        out_slices=out / "slices.parquet",
        out_reference=out / "reference.parquet",
        params=Params.model_validate(SECTION | (changed or {})),
        seed=0,
        num_threads=1,
        precision="float32",
        device="cpu",
    )


@pytest.fixture(scope="module")
def out(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    run(given, folder)
    return folder


@pytest.fixture(scope="module")
def document(out: Path) -> dict[str, Any]:
    return json.loads((out / "evaluate.json").read_text())


def test_the_same_input_leaves_the_same_bytes(given, out, tmp_path):
    run(given, tmp_path)
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_probabilities_are_calibrated_and_join_what_is_known(given, net, out, document):
    reference = load_table(out / "reference.parquet")
    rows = TEST[TEST != 100]
    assert reference["image_id"].tolist() == [f"i{row}" for row in rows]
    logits = run_net(net, Images(given / "images"), rows, CPU, "float32").astype(np.float64)
    probabilities = np.stack(reference["probabilities"].to_list())
    assert probabilities == pytest.approx(softmax(logits / 0.5, axis=1), abs=1e-6)
    manifest = load_table(given / "manifest.parquet").set_index("image_id")
    assert reference["group"].tolist() == manifest.loc[reference["image_id"], "group"].tolist()
    measures = load_table(given / "measures.parquet").set_index("image_id")
    assert reference["light"].tolist() == measures.loc[reference["image_id"], "light"].tolist()
    assert "path" not in reference
    loss = metrics.log_loss(reference["label"], probabilities, labels=CLASSES)
    assert document["metrics"]["log_loss"]["value"] == pytest.approx(loss, abs=1e-6)
    calibration, selective = document["calibration"], document["selective"]
    assert (calibration["temperature"], calibration["abstention"]) == (0.5, 0.4)
    assert selective["coverage"]["value"] == pytest.approx((probabilities.max(1) >= 0.4).mean())


def test_slices_are_written_with_their_rows_and_measured(out, document):
    members, reference = (load_table(out / f"{name}.parquet") for name in ("slices", "reference"))
    expected = reference[reference["group"] == "x"]["image_id"].tolist()
    assert members[members["slice"] == "group=x"]["image_id"].tolist() == expected
    measured = {one["slice"]: one for one in document["slices"]}
    assert set(members["slice"]) == {n for n in measured if not n.startswith("confidence=")}
    assert measured["group=x"]["num_rows"] == len(expected)
    assert measured["light=low"]["accuracy"]["value"] < measured["light=high"]["accuracy"]["value"]


def test_what_was_planted_is_the_weakest(document):
    first = document["weak_slices"][0]
    assert "light ≤ 0.2" in first["slice"]
    assert first["error"]["low"] > first["others_error"]


def test_every_part_is_there(document):
    gaps = document["fairness"]["group"]["b"]["gaps"]
    assert gaps["selection_rate"]["low"] <= gaps["selection_rate"]["value"]
    assert document["robustness"]["num_rows"] == 20
    assert [len(one) for one in document["robustness"]["corruptions"].values()] == [5] * 12
    assert [one["num_rows"] for one in document["behaviours"]][2] == 20
    assert document["behaviours"][2]["holds"] and document["behaviours"][0]["holds"]
    # The policy changes nothing.
    assert set(map(tuple, map(dict.values, document["test_time_augmentation"].values()))) == {
        (0.0, 0.0, 0.0)
    }


def test_views_are_averaged_with_the_image_itself(given, net):
    model = Model(net, 0.5, Place(CPU, "float32"))
    images, rows = Images(given / "images"), TEST[:30]
    policy = A.Compose([A.HorizontalFlip(p=1.0)])
    found = average_views(model, images, rows, policy, 3, 0)
    expected = (model.ask(images[rows]) + 3 * model.ask(images[rows][:, :, ::-1].copy())) / 4
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"slices": SECTION["slices"] | {"columns": ["colour"]}},
         r"evaluate\.slices\.columns: neither the manifest nor the measures have \['colour'\]"),
        ({"fairness": {"columns": ["label"], "classes": []}}, r"evaluate\.fairness\.columns"),
        ({"fairness": {"columns": [], "classes": ["d"]}}, r"\['d'\] are no classes of the model"),
        ({"behaviours": [{"type": "minimum", "slice": "group=z", "min_accuracy": 0.5}]},
         r"behaviours\.0: 'group=z' is no slice .* expected one of \['all', 'class=a'"),
        ({"behaviours": [{"type": "direction", "transform": LIGHTER, "label": "d",
                          "expected": "up"}]}, r"behaviours\.0: none of .* has the label 'd'"),
        ({"behaviours": [{"type": "invariance", "max_changed_fraction": 0.1,
                          "transform": SMALLER}]},
         "a transform that keeps shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_data_is_told_and_nothing_written(given, tmp_path, changed, words):
    with pytest.raises(ParamsError, match=words):
        run(given, tmp_path, changed)
    assert not list(tmp_path.iterdir())


def test_rows_without_a_known_label_are_told(given, tmp_path):
    save_rows(np.array([100]), tmp_path / "none.npy")
    with pytest.raises(SplitError, match="no test row bears a class"):
        run(given, tmp_path / "out", test=tmp_path / "none.npy")


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_bootstrap": 99},
        {"slices": SECTION["slices"] | {"tail_fraction": 0.5}},
        {"slices": SECTION["slices"] | {"depth": 0}},
        {"fairness": {"columns": []}},
    ],
)
def test_other_params_are_refused(wrong):
    with pytest.raises(ValidationError):
        Params.model_validate(SECTION | wrong)
