"""The head is what the probe makes of the rows' embeddings, and of those that were made up."""

import albumentations as A
import numpy as np
import pytest
import torch

from tasks.artifacts.embeddings import Synthetic
from tasks.artifacts.images import Images, save_pixels
from tasks.core.encoder import Classifier
from tasks.core.errors import ParamsError
from tasks.core.inference import Place, run_net
from tasks.core.mixing import Mixing
from tasks.core.probe import LogisticProbe, RidgeProbe, fit_head, fit_ridge_head
from tasks.core.refitting import Refit
from tasks.core.resampling import build_sampler, resample
from tasks.heads import probe_head, refit_head
from tasks.labelled import Labelled
from tests.nets import small_classifier

PLACE = Place(torch.device("cpu"), "float32")
LOGISTIC = LogisticProbe(name="logistic", penalty=0.01, steps=100)
RIDGE = RidgeProbe(name="ridge", penalty=0.1)
NOTHING = Synthetic(np.empty((0, 8), np.float32), np.empty(0, str))


@pytest.fixture
def lesson(tmp_path) -> Labelled:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    save_pixels(pixels, tmp_path / "a.npy")
    return Labelled(
        Images(tmp_path),
        rows=np.array([*range(30), 29, 29]),
        val=np.arange(3),
        codes=np.repeat([0, 1, 2], [19, 9, 2]),
        weights=np.linspace(0.1, 1, 30, dtype=np.float32),
        classes=["a", "b", "c"],
        counts=np.array([19, 9, 4]),
        policy=A.Compose([]),
        mixing=Mixing(mixup_alpha=0.0, cutmix_alpha=0.0),
    )


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    return small_classifier()


def embeddings_of(classifier: Classifier, lesson: Labelled) -> torch.Tensor:
    rows = np.arange(30)
    found = run_net(classifier.encoder, lesson.pixels, rows, *PLACE)
    return torch.from_numpy(found)


def assert_head(classifier: Classifier, expected) -> None:
    torch.testing.assert_close(classifier.head.weight.data, expected.weight_KD)
    torch.testing.assert_close(classifier.head.bias.data, expected.bias_K)


def test_the_head_is_fitted_to_rows_and_made_up_embeddings_together(classifier, lesson):
    made_up = np.random.default_rng(1).normal(size=(19, 8)).astype(np.float32) + 3
    synthetic = Synthetic(made_up, np.array(["c"] * 18 + ["a"]))
    probe_head(classifier, lesson, synthetic, LOGISTIC, PLACE)
    expected = fit_head(
        torch.cat([embeddings_of(classifier, lesson), torch.from_numpy(made_up)]),
        torch.tensor([*lesson.codes, *[2] * 18, 0]),
        torch.tensor([*lesson.weights, *[1.0] * 19]),
        torch.tensor([20, 9, 20]) / 49,
        LOGISTIC.penalty,
        LOGISTIC.steps,
    )
    assert_head(classifier, expected)
    predicted = classifier.head(torch.from_numpy(made_up[:18])).argmax(dim=1)
    assert (predicted == 2).all()


@pytest.mark.parametrize("how", [LOGISTIC, RIDGE])
def test_without_any_the_head_is_that_of_the_rows(classifier, lesson, how):
    probe_head(classifier, lesson, NOTHING, how, PLACE)
    arguments = (
        embeddings_of(classifier, lesson),
        torch.from_numpy(lesson.codes),
        torch.from_numpy(lesson.weights),
        torch.tensor([19, 9, 2]) / 30,
    )
    if how is RIDGE:
        assert_head(classifier, fit_ridge_head(*arguments, RIDGE.penalty))
    else:
        assert_head(classifier, fit_head(*arguments, LOGISTIC.penalty, LOGISTIC.steps))


def refit_by(sampler: str, arguments: dict) -> Refit:
    return Refit(name="embeddings", sampler=sampler, arguments=arguments, probe=LOGISTIC)


def test_a_head_refitted_without_a_sampler_is_that_of_the_probe(classifier, lesson):
    probe_head(classifier, lesson, NOTHING, LOGISTIC, PLACE)
    probed = classifier.head.weight.data.clone()
    classifier.head.reset_parameters()
    refit_head(classifier, lesson, refit_by("none", {}), PLACE, 0)
    assert torch.equal(classifier.head.weight.data, probed)


def test_what_is_made_up_for_a_refitted_head_lies_between_its_own_embeddings(classifier, lesson):
    refit_head(classifier, lesson, refit_by("SMOTE", {"k_neighbors": 1}), PLACE, 0)
    embeddings = embeddings_of(classifier, lesson)
    names = np.array(lesson.classes)[lesson.codes]
    sampler = build_sampler("SMOTE", {"k_neighbors": 1}, 0)
    made = resample(embeddings.numpy(), names, sampler, "auto")
    assert len(made.made_up_SD) == 10 + 17
    expected = fit_head(
        torch.cat([embeddings, torch.from_numpy(made.made_up_SD)]),
        torch.tensor([*lesson.codes, *(lesson.classes.index(c) for c in made.made_up_labels_S)]),
        torch.tensor([*lesson.weights, *[1.0] * 27]),
        torch.ones(3) / 3,
        LOGISTIC.penalty,
        LOGISTIC.steps,
    )
    assert_head(classifier, expected)


def test_a_sampler_that_cannot_is_told_by_its_place(classifier, lesson):
    few = lesson._replace(codes=np.repeat([0, 1, 2], [20, 9, 1]))
    with pytest.raises(ParamsError, match=r"params\.yaml: finetune\.refit: SMOTE"):
        refit_head(classifier, few, refit_by("SMOTE", {}), PLACE, 0)
