"""A net on disk is itself again, and nothing else is taken for one."""

import pytest
import torch

from tasks.artifacts.models import (
    Description,
    load_classifier,
    load_encoder,
    new_encoder,
    save_classifier,
    save_encoder,
)
from tasks.artifacts.weights import load_weights, save_weights
from tasks.core.encoder import Classifier
from tasks.core.errors import ArtifactError
from tasks.core.gate import Limits
from tasks.core.pixels import Canonical
from tests.nets import tiny

LIMITS = Limits(max_file_bytes=1000, max_pixels=100, max_frames=1, min_size=1)
PIXELS = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8, generator=torch.manual_seed(0))


def described(classes: list[str], **changed) -> Description:
    values = {
        "architecture": tiny(),
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.2, 0.3],
        "canonical": Canonical(size=8, channels=3, resize="pad", limits=LIMITS),
        "classes": classes,
        "fingerprint": {"stage": "x", "run": {"seed": 0}},
        "adoption": None,
    }
    return Description.model_validate({**values, **changed})


@pytest.fixture
def encoder_file(tmp_path):
    torch.manual_seed(0)
    description = described([])
    save_encoder(new_encoder(description), description, tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.fixture
def classifier_file(tmp_path):
    torch.manual_seed(0)
    description = described(["cat", "dog", "ü"])
    save_classifier(
        Classifier(new_encoder(description), 3, 0.5), description, tmp_path / "classifier"
    )
    return tmp_path / "classifier"


def test_an_encoder_comes_back(encoder_file):
    torch.manual_seed(0)
    expected = new_encoder(described([])).eval()
    encoder, description = load_encoder(encoder_file)
    assert description == described([])
    assert torch.equal(encoder.eval()(PIXELS), expected(PIXELS))


def test_a_classifier_comes_back(classifier_file):
    torch.manual_seed(0)
    expected = Classifier(new_encoder(described(["cat", "dog", "ü"])), 3, 0.5).eval()
    classifier, description = load_classifier(classifier_file)
    assert description.classes == ["cat", "dog", "ü"]
    assert torch.equal(classifier.eval()(PIXELS), expected(PIXELS))


def test_new_encoders_are_drawn_from_torchs_generator():
    torch.manual_seed(3)
    first = new_encoder(described([])).state_dict()
    torch.manual_seed(3)
    again = new_encoder(described([])).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_an_encoder_is_not_taken_for_a_classifier(encoder_file):
    with pytest.raises(ArtifactError, match="holds an encoder, expected a classifier"):
        load_classifier(encoder_file)


def test_a_classifier_is_not_taken_for_an_encoder(classifier_file):
    with pytest.raises(ArtifactError, match="weights do not fit their description"):
        load_encoder(classifier_file)


@pytest.mark.parametrize(
    "changed",
    [
        {"classes": ["cat", "dog"]},
        {"architecture": {**tiny().model_dump(), "width": 8}},
        {"architecture": {**tiny().model_dump(), "depth": 2}},
        {"mean": [0.5], "std": [0.2]},
    ],
)
def test_weights_that_do_not_fit_are_refused(classifier_file, changed):
    tensors, description = load_weights(classifier_file)
    save_weights(tensors, {**description, **changed}, classifier_file)
    with pytest.raises(ArtifactError, match="weights do not fit their description"):
        load_classifier(classifier_file)


@pytest.mark.parametrize(
    "changed",
    [
        {"architecture": {**tiny().model_dump(), "width": 10**6}},
        {"canonical": {"size": 0, "channels": 3, "resize": "pad", "limits": LIMITS.model_dump()}},
        {"classes": "cat"},
        {"temperature": 0.0},
        {"abstention": 1.5},
        {"more": 1},
    ],
)
def test_a_description_that_does_not_fit_is_refused(classifier_file, changed):
    tensors, description = load_weights(classifier_file)
    save_weights(tensors, {**description, **changed}, classifier_file)
    with pytest.raises(ArtifactError, match="its description does not fit"):
        load_classifier(classifier_file)


@pytest.mark.parametrize("load", [load_encoder, load_classifier])
def test_a_description_of_another_kind_is_refused(tmp_path, load):
    save_weights({"a": torch.ones(1)}, [], tmp_path / "w")  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="its description does not fit"):
        load(tmp_path / "w")


def test_a_missing_tensor_is_refused(classifier_file):
    tensors, description = load_weights(classifier_file)
    save_weights(
        {k: v for k, v in tensors.items() if k != "head.bias"}, description, classifier_file
    )
    with pytest.raises(ArtifactError, match=r"head\.bias"):
        load_classifier(classifier_file)
