"""A candidate passes where it reaches every value and no rule shows it to be worse."""

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from tasks.artifacts.documents import load_yaml
from tasks.artifacts.images import Images, save_pixels
from tasks.artifacts.models import Description, new_encoder, save_classifier
from tasks.artifacts.registry import NO_CHAMPION
from tasks.core.corruptions import CORRUPTIONS, corrupt
from tasks.core.encoder import Classifier, count_flops
from tasks.core.errors import ArtifactError
from tasks.core.inference import Place, run_net, softmax
from tasks.core.promotion import Rule
from tasks.promote import (
    WEIGHTS,
    Params,
    find_champion,
    find_members,
    find_reasons,
    judge_data,
    judge_exported,
    judge_growth,
)
from tasks.scoring import HeldOut, score
from tests.nets import tiny
from tests.tasks.small_project import ROOT

GIVEN = load_yaml(ROOT / "params.yaml")["promote"]
LIMITS = {"max_file_bytes": 999, "max_pixels": 99, "max_frames": 1, "min_size": 1}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("change", {}, "at least 1 item"),
        ("change", {"accuracies": {"margin": 0.0, "harm": 0.1}}, "Input should be 'accuracy'"),
        ("change", {"accuracy": {"margin": 0.1, "harm": 0.1}}, "expected harm above margin"),
        ("change", {"accuracy": {"margin": -0.1, "harm": 0.1}}, "greater than or equal to 0"),
        ("value", {"f1": 0.5}, "Input should be 'accuracy'"),
        ("value", {"accuracy": 1.5}, "no model can be judged by 1.5"),
        ("unproven", "shrug", "'pass' or 'refuse'"),
    ],
)
def test_params_that_contradict_themselves_are_refused(key, value, words):
    Params.model_validate(GIVEN)
    with pytest.raises(ValidationError, match=words):
        Params.model_validate({**GIVEN, key: value})


def rule(outcome: str, kind: str = "change") -> Rule:
    return Rule(kind, "accuracy", 0.005, 0.8, 0.9, -0.12, -0.08, outcome)  # type: ignore[arg-type]


def test_what_is_unproven_passes_unless_asked_otherwise():
    rules = [rule("holds"), rule("unproven"), rule("broken")]
    (reason,) = find_reasons(rules, refuse_unproven=False)
    assert "0.8000, the champion's 0.9000: better by -0.1200 to -0.0800" in reason
    assert len(find_reasons(rules, refuse_unproven=True)) == 2
    (value,) = find_reasons([rule("broken", "value")], refuse_unproven=False)
    assert value.endswith("expected at least 0.0050")


def test_data_that_judges_must_be_sound():
    limits = Params.model_validate(GIVEN).data
    quality = {"num_rows": {"val": 50, "test": 50}, "num_missed_leaks": 20}
    rules = judge_data({"num_suspicious": {"test": 5}}, quality, limits)
    assert [(one.value, one.outcome) for one in rules] == [(0.1, "holds"), (0.2, "broken")]


def test_members_of_slices_are_found_among_the_test_rows():
    slices = pd.DataFrame({"image_id": ["x", "z", "q"], "slice": ["dark", "dark", "gone"]})
    members = find_members(slices, pd.Series(["z", "y", "x"]))
    assert {name: rows.tolist() for name, rows in members.items()} == {
        "dark": [True, False, True],
        "gone": [False] * 3,
    }


def test_the_champion_is_found_or_known_to_be_none(tmp_path):
    with pytest.raises(ArtifactError, match=f"holds neither {WEIGHTS} nor {NO_CHAMPION}"):
        find_champion(tmp_path)
    (tmp_path / NO_CHAMPION).touch()
    assert find_champion(tmp_path) is None
    (tmp_path / WEIGHTS).touch()
    assert find_champion(tmp_path) == tmp_path / WEIGHTS


@pytest.fixture
def judged(tmp_path):
    torch.manual_seed(0)
    description = Description.model_validate(
        {
            "architecture": tiny(num_stages=1),
            "mean": [0.5],
            "std": [0.2],
            "canonical": {"size": 6, "channels": 1, "resize": "crop", "limits": LIMITS},
            "classes": ["a", "b"],
            "fingerprint": {},
            "adoption": None,
        }
    )
    net = Classifier(new_encoder(description), 2, 0.0)
    save_classifier(net, description, tmp_path / "w")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 1), dtype=np.uint8)
    save_pixels(pixels, tmp_path / "i.npy")
    return tmp_path, net, Images(tmp_path)


ROBUSTNESS = Params.model_validate(GIVEN).robustness


def held_out(images: Images, rows: np.ndarray, labels: list[str]) -> HeldOut:
    return HeldOut(images, rows, pd.Series(labels), Place(torch.device("cpu"), "float32"))


def test_scores_are_those_of_the_net(judged):
    folder, net, images = judged
    rows = np.array([30, 1, 3, 0, 17, 22, 39])
    labels = ["a", "b"] * 20
    found = score(folder / "w", held_out(images, rows, labels), ROBUSTNESS, 0)
    place = (torch.device("cpu"), "float32")
    logits = run_net(net, images, rows, *place)
    np.testing.assert_allclose(found.probabilities_NK, softmax(logits), atol=1e-6)
    codes = rows % 2
    assert found.labels_N.tolist() == codes.tolist()
    assert found.is_right_N.tolist() == (logits.argmax(1) == codes).tolist()
    hits = [
        run_net(net, corrupt(images[rows], name, 3, 0), np.arange(7), *place).argmax(1) == codes
        for name in CORRUPTIONS
    ]
    np.testing.assert_allclose(found.robust_M, np.mean(hits, axis=0))
    assert found.num_flops == count_flops(net, (6, 6, 1))
    growth = Params.model_validate(GIVEN).growth
    (folder / "classifier.onnx").write_bytes(bytes(100))
    for size, outcome in ((150, "holds"), (151, "broken")):
        num_bytes, num_flops = judge_growth(found, found, size, folder, growth)
        assert (num_bytes.outcome, num_flops.outcome) == (outcome, "holds")


def test_a_model_of_other_classes_or_pixels_is_refused(judged, tmp_path_factory):
    folder, _, images = judged
    fox = held_out(images, np.arange(40), ["a", "fox"] * 20)
    with pytest.raises(ArtifactError, match=r"also the classes \['fox'\]"):
        score(folder / "w", fox, ROBUSTNESS, 0)
    other = tmp_path_factory.mktemp("other")
    save_pixels(np.zeros((40, 7, 7, 1), np.uint8), other / "i.npy")
    with pytest.raises(
        ArtifactError, match=r"images of \(6, 6, 1\), the test rows have images of \(7, 7, 1\)"
    ):
        score(folder / "w", held_out(Images(other), np.arange(40), ["a"] * 40), ROBUSTNESS, 0)


@pytest.mark.parametrize(
    ("name", "agreement", "is_eligible", "reason"),
    [
        ("float32", 1.0, True, ""),
        ("float32", 0.999, True, "agrees with the net on 99.90% of rows, expected all"),
        ("int8", 0.98, True, ""),
        ("int8", 1.0, False, "int8, may lose 0.0300 of accuracy; export.max_accuracy_loss allows"),
    ],
)
def test_the_exported_model_is_judged_by_what_it_is(name, agreement, is_eligible, reason):
    export = {"name": name, "agreement": agreement, "is_eligible": is_eligible}
    export |= {"accuracy_loss": {"high": 0.03}, "max_accuracy_loss": 0.01}
    reasons = judge_exported(export)
    assert (not reasons) if not reason else (len(reasons) == 1 and reason in reasons[0])
