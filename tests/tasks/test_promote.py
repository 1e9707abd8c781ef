"""A candidate passes where it reaches every value and is not much worse than the champion."""

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from tasks.artifacts.images import Images, save_pixels
from tasks.artifacts.models import Description, new_encoder, save_classifier
from tasks.core.encoder import Classifier
from tasks.core.errors import ArtifactError
from tasks.core.inference import run_net, softmax
from tasks.core.metrics import measure_predictions
from tasks.promote import NO_CHAMPION, WEIGHTS, Params, find_champion, judge, score
from tests.nets import tiny


def params(value: dict, change: dict) -> Params:
    return Params.model_validate({"value": value, "change": change})


LIMITS = {"max_file_bytes": 999, "max_pixels": 99, "max_frames": 1, "min_size": 1}
CHANGE = {"balanced_accuracy": 0.01, "log_loss": 0.05}


@pytest.mark.parametrize(
    ("candidate", "passed"),
    [
        ({"balanced_accuracy": 0.9, "log_loss": 0.3}, [True, True]),
        ({"balanced_accuracy": 0.895, "log_loss": 0.34}, [True, True]),
        ({"balanced_accuracy": 0.88, "log_loss": 0.3}, [False, True]),
        ({"balanced_accuracy": 0.99, "log_loss": 0.36}, [True, False]),
        ({"balanced_accuracy": 0.99, "log_loss": 0.01}, [True, True]),
        ({"balanced_accuracy": float("nan"), "log_loss": float("nan")}, [False, False]),
    ],
)
def test_a_candidate_may_be_worse_by_the_change_alone(candidate, passed):
    champion = {"balanced_accuracy": 0.9, "log_loss": 0.3}
    rules = judge(candidate, champion, params({}, CHANGE))
    assert [(rule.metric, rule.passed) for rule in rules] == list(
        zip(["balanced_accuracy", "log_loss"], passed, strict=True)
    )
    assert [rule.champion for rule in rules] == [0.9, 0.3]


@pytest.mark.parametrize(
    ("metric", "threshold", "reached", "passed"),
    [
        ("accuracy", 0.8, 0.8, True),
        ("accuracy", 0.8, 0.79, False),
        ("log_loss", 0.5, 0.5, True),
        ("log_loss", 0.5, 0.51, False),
        ("calibration_error", 0.1, 0.2, False),
        ("calibration_error", 0.1, 0.0, True),
    ],
)
def test_losses_and_errors_must_stay_below_scores_above(metric, threshold, reached, passed):
    scores = {"balanced_accuracy": 1.0, metric: reached}
    (rule,) = judge(scores, None, params({metric: threshold}, {"balanced_accuracy": 0.0}))
    assert (rule.kind, rule.passed, rule.champion) == ("value", passed, None)


def test_an_equal_candidate_passes_where_nothing_may_be_lost():
    same = {"balanced_accuracy": 0.7, "log_loss": 0.3}
    assert all(
        rule.passed
        for rule in judge(same, same, params({}, {"balanced_accuracy": 0.0, "log_loss": 0.0}))
    )


@pytest.mark.parametrize(
    "wrong", [{"change": {}}, {"change": {"accuracies": 1.0}}, {"value": {"f1": 0.5}}]
)
def test_other_params_are_refused(wrong):
    with pytest.raises(ValidationError):
        Params.model_validate({"value": {}, "change": CHANGE, **wrong})


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


def test_scores_are_those_of_the_labelled_rows(judged):
    folder, net, images = judged
    labels = pd.Series(["a", "b", None, "b"] * 10, dtype="string")
    rows = np.array([30, 1, 2, 3, 0, 6, 17, 22, 39])
    found = score(folder / "w", images, rows, labels, "cpu", "float32")
    some = np.array([30, 1, 3, 0, 17, 22, 39])
    some = some[labels.iloc[some].notna().to_numpy()]
    probabilities = softmax(run_net(net, images, some, torch.device("cpu"), "float32"))
    codes = (labels.iloc[some] == "b").astype(int).to_numpy()
    assert found == pytest.approx(measure_predictions(codes, probabilities, 15))


def test_a_model_of_other_classes_or_pixels_is_refused(judged, tmp_path_factory):
    folder, _, images = judged
    labels = pd.Series(["a", "fox"] * 20)
    with pytest.raises(ArtifactError, match=r"also the classes \['fox'\]"):
        score(folder / "w", images, np.arange(40), labels, "cpu", "float32")
    other = tmp_path_factory.mktemp("other")
    save_pixels(np.zeros((40, 7, 7, 1), np.uint8), other / "i.npy")
    with pytest.raises(
        ArtifactError, match=r"images of \(6, 6, 1\), the test rows have images of \(7, 7, 1\)"
    ):
        score(folder / "w", Images(other), np.arange(40), pd.Series(["a"] * 40), "cpu", "float32")
