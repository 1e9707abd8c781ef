"""The stage: every variant beside the net, what is chosen, and the same bytes twice."""

import json
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from tasks.artifacts.documents import save_json
from tasks.artifacts.images import save_pixels
from tasks.artifacts.models import save_classifier
from tasks.artifacts.tables import load_table, save_rows, save_table
from tasks.core.encoder import Classifier
from tasks.core.errors import ParamsError, VerdictError
from tasks.core.onnx_model import describe_session, make_session
from tasks.core.params import Run
from tasks.export import Params, main
from tests.exported import PIXELS, describe, new_classifier, run_graph
from tests.nets import FAMILIES

RUN = Run(seed=0, num_threads=1, precision="float32", device="cpu")
PRUNED = {"name": "pruned", "fraction": 0.5, "epochs": 1, "learning_rate": 0.01, "batch_size": 8}
VARIANTS = [{"name": "float16"}, {"name": "int8", "num_rows": 10}, PRUNED]
TRAIN, TEST = np.arange(25), np.arange(25, 40)


def params(**changed: Any) -> Params:
    values = {
        "opset": 20,
        "max_difference": 1e-4,
        "expectations": [],
        "variants": VARIANTS,
        "max_accuracy_loss": 1.0,
        "choice": {"served": "float32", "edge": "fewest_bytes"},
    }
    return Params.model_validate({**values, **changed})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the stage reads. Labels are what the net says, but for two test rows, one of them of a
    class that it does not know."""
    root = tmp_path_factory.mktemp("inputs")
    net, description = new_classifier(FAMILIES["residual"]), describe(FAMILIES["residual"])
    save_classifier(net, description, root / "classifier")
    save_pixels(PIXELS, root / "images" / "0.npy")
    labels = np.array(description.classes, dtype=object)[logits_of(net).argmax(axis=1)]
    labels[TEST[0]] = "bird"
    labels[TEST[1]] = next(name for name in description.classes if name != labels[TEST[1]])
    save_table(pd.DataFrame({"label": labels}), root / "labels")
    save_rows(TRAIN, root / "train")
    save_rows(TEST, root / "test")
    save_json({"transforms": A.to_dict(A.Compose([A.HorizontalFlip()]))}, root / "policy")
    names = ("images", "labels", "train", "test", "policy", "classifier")
    return {name: root / name for name in names}


def logits_of(net: Classifier) -> np.ndarray:
    with torch.inference_mode():
        return net(torch.from_numpy(PIXELS)).numpy()


def outputs(folder: Path) -> dict[str, Path]:
    names = {
        "out_onnx": "model.onnx",
        "out_exported": "exported",
        "out_edge": "edge",
        "out_metrics": "m",
    }
    return {name: folder / path for name, path in names.items()}


def run(inputs: dict[str, Path], folder: Path, **changed: Any) -> dict[str, Any]:
    main(**inputs, **outputs(folder), params=params(**changed), run=RUN)
    return json.loads((folder / "m").read_text())


@pytest.fixture(scope="module")
def first(inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    run(inputs, folder)
    return folder


def test_every_variant_is_measured_beside_the_net(inputs, first):
    document = json.loads((first / "m").read_text())
    variants = {one["name"]: one for one in document["variants"]}
    assert list(variants) == ["float32", "float16", "int8", "pruned"]
    assert document["num_rows"] == len(TEST)
    classes = np.array(["cat", "dog", "ü"])
    labels = load_table(inputs["labels"])["label"].to_numpy(dtype=str)[TEST]
    is_known = np.isin(labels, classes)
    assert is_known.sum() == len(TEST) - 1
    said = classes[logits_of(new_classifier(FAMILIES["residual"]))[TEST].argmax(axis=1)]
    for name, one in variants.items():
        data = (first / "exported" / f"{name}.onnx").read_bytes()
        assert one["num_bytes"] == len(data)
        given = classes[run_graph(onnx.load_from_string(data), PIXELS[TEST])[0].argmax(axis=1)]
        right, net_right = ((who == labels)[is_known].mean() for who in (given, said))
        assert one["agreement"] == (given == said).mean()
        assert one["accuracy"]["value"] == pytest.approx(right, abs=1e-6)
        assert one["accuracy_loss"]["value"] == pytest.approx(net_right - right, abs=1e-6)
    whole = variants["float32"]
    assert whole["agreement"] == 1 and whole["max_difference_below"] <= 1e-4
    assert whole["accuracy"]["value"] == pytest.approx(13 / 14, abs=1e-6)
    assert variants["pruned"]["num_flops"] < variants["int8"]["num_flops"] == whole["num_flops"]
    assert document["program"]["agreement"] == 1


def test_what_is_served_stands_at_the_top(first):
    document = json.loads((first / "m").read_text())
    served = document["variants"][0]
    assert {key: document[key] for key in served} == served
    assert document["choice"]["served"]["variant"] == "float32"
    assert (first / "model.onnx").read_bytes() == (first / "exported/float32.onnx").read_bytes()


def test_devices_get_the_smallest_that_may_be_chosen(first):
    document = json.loads((first / "m").read_text())
    smallest = min(document["variants"], key=lambda one: one["num_bytes"])["name"]
    assert document["choice"]["edge"]["variant"] == smallest
    model = (first / "edge/model.onnx").read_bytes()
    assert model == (first / f"exported/{smallest}.onnx").read_bytes()


def test_every_variant_says_what_it_is(first):
    for path in (first / "exported").glob("*.onnx"):
        described = describe_session(make_session(path.read_bytes(), num_threads=1))
        assert described.classes == ["cat", "dog", "ü"]
        assert (described.temperature, described.abstention) == (1.7, 0.6)


def test_the_same_inputs_give_the_same_bytes(inputs, first, tmp_path):
    run(inputs, tmp_path)
    files = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    assert len(files) == 10
    for path in files:
        assert (tmp_path / path).read_bytes() == (first / path).read_bytes(), path


def test_what_loses_too_much_is_not_chosen(inputs, tmp_path):
    document = run(
        inputs,
        tmp_path,
        variants=[{"name": "float16"}],
        max_accuracy_loss=0.0,
        choice={"served": "fewest_bytes", "edge": "fewest_flops"},
    )
    assert [one["is_eligible"] for one in document["variants"]] == [True, False]
    assert document["choice"]["served"]["variant"] == "float32"
    assert document["choice"]["edge"]["variant"] == "float32"


def test_logits_that_differ_too_much_stop_the_stage(inputs, tmp_path):
    with pytest.raises(VerdictError, match=r"max_difference allows 1\.00e-12"):
        run(inputs, tmp_path, variants=[], max_difference=1e-12)
    assert not list(tmp_path.iterdir())


def test_a_net_that_cannot_be_pruned_is_refused(inputs, tmp_path):
    save_classifier(
        new_classifier(FAMILIES["vit"]), describe(FAMILIES["vit"]), tmp_path / "classifier"
    )
    with pytest.raises(ParamsError, match="expected a net of the family convolutional or resnet"):
        run({**inputs, "classifier": tmp_path / "classifier"}, tmp_path, variants=[PRUNED])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"variants": [{"name": "int4"}]}, "Input tag 'int4' found"),
        ({"variants": [{"name": "int8", "num_rows": 0}]}, "greater than 0"),
        ({"variants": [{**PRUNED, "fraction": 1.0}]}, "less than 1"),
        ({"variants": [{"name": "float16"}] * 2}, r"\['float16'\] are asked for twice"),
        ({"choice": {"served": "int8", "edge": "float32"}}, "fewest_bytes"),
        ({"choice": {"served": "float32"}}, "Field required"),
        ({"max_accuracy_loss": 2.0}, "less than or equal to 1"),
        ({"opset": 17}, "greater than or equal to 18"),
    ],
)
def test_slips_in_params_are_told(changed, told):
    with pytest.raises(ValidationError, match=told):
        params(**changed)
