"""A classifier learns by every strategy, loss and optimiser, from mixed images too, repeatably."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tasks.artifacts.images import Images
from tasks.core.encoder import Classifier
from tasks.core.errors import ParamsError, TilthError
from tasks.core.inference import run_net
from tasks.finetune import _refuse_mixtures, finetune
from tasks.learning import History, Training
from tests.tasks.brightness import (
    ADAMW,
    NOBODY,
    PLACE,
    SEED,
    SGD,
    UNWEIGHTED,
    begin,
    labelled,
    make_pixels,
    params,
)

COSINE = {"name": "cosine", "warmup_epochs": 1}
LOGISTIC = {"name": "logistic", "penalty": 0.01, "steps": 100}


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return make_pixels(tmp_path_factory.mktemp("images"))


def train(
    pixels: Images, alphas: tuple[float, float] = (0.0, 0.0), **changed
) -> tuple[Training, Classifier]:
    classifier = begin()
    given = (labelled(pixels, *alphas), NOBODY, params(**changed), PLACE, SEED)
    return finetune(classifier, *given), classifier


def learn(pixels: Images, alphas: tuple[float, float] = (0.0, 0.0), **changed) -> History:
    return train(pixels, alphas, **changed)[0].run()


def column(history: History, name: str) -> list[float]:
    """Of the epochs that learn."""
    return [entry[name] for entry in history[1:]]


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_it_learns_repeatably_with_what_is_mixed(pixels, alphas):
    epochs = learn(pixels, alphas)
    assert epochs == learn(pixels, alphas)
    assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2, 3, 4]
    best = max(column(epochs, "val_balanced_accuracy"))
    assert epochs[0]["val_balanced_accuracy"] < 0.7 < best
    assert epochs[-1]["val_loss"] < epochs[0]["val_loss"]


def test_mixtures_are_harder_to_fit(pixels):
    plain = learn(pixels)[-1]["loss"]
    for alphas in ((1.0, 0.0), (0.0, 1.0)):
        assert learn(pixels, alphas)[-1]["loss"] > plain


@pytest.mark.parametrize(
    "changed",
    [
        {"strategy": {"name": "gradual", "epochs_per_layer": 1}, "epochs": 8},
        {"strategy": {"name": "layerwise", "rate_decay": 0.7}},
        {"loss": {"name": "cross_entropy", **UNWEIGHTED}, "optimiser": SGD},
        {"loss": {"name": "focal", "gamma": 1.0, **UNWEIGHTED}},
        {"loss": {"name": "ldam", "max_margin": 1.0, **UNWEIGHTED}},
        {"loss": {"name": "generalised_cross_entropy", "q": 0.7, **UNWEIGHTED}, "epochs": 8},
        {"loss": {"name": "early_learning", "strength": 1.0, "momentum": 0.7, **UNWEIGHTED}},
        {"schedule": COSINE, "optimiser": {**ADAMW, "clip_norm": 1.0}},
        {"least_batch_norm_rows": 91, "epochs": 8},
    ],
)  # fmt: skip
def test_it_learns_repeatably_however_it_is_asked_to(pixels, changed):
    epochs = learn(pixels, **changed)
    assert epochs == learn(pixels, **changed)
    assert max(column(epochs, "val_balanced_accuracy")) > 0.8
    assert epochs[-1]["val_loss"] < epochs[0]["val_loss"]


def test_a_frozen_encoder_stays_to_the_byte(pixels):
    optimiser = {**ADAMW, "weight_decay": 0.5}
    training, classifier = train(pixels, strategy={"name": "frozen"}, optimiser=optimiser)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    training.run()
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("encoder."), name


@pytest.mark.parametrize(("least", "moves"), [(90, True), (91, False)])
def test_statistics_stay_where_rows_are_few(pixels, least, moves):
    training, classifier = train(pixels, least_batch_norm_rows=least)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    training.run()
    after = classifier.state_dict()
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(torch.equal(after[name], before[name]) != moves for name in statistics)
    assert not torch.equal(after["encoder.net.stem.0.weight"], before["encoder.net.stem.0.weight"])


def test_rates_are_told_by_epoch(pixels):
    schedule = {"name": "step", "after_epochs": [1, 3], "factor": 0.1}
    history = learn(pixels, schedule=schedule)
    assert history[0]["learning_rate"] is None
    assert column(history, "learning_rate") == pytest.approx([0.01, 0.001, 0.001, 0.0001])


def test_the_rate_falls_when_val_grows_no_better(pixels):
    """A rate that is far too high keeps val from growing better."""
    changed = {"optimiser": {**ADAMW, "learning_rate": 1.0}, "epochs": 12, "patience": 12}
    plateau = {"name": "plateau", "factor": 0.01, "patience": 0}
    rates = column(learn(pixels, schedule=plateau, **changed), "learning_rate")
    assert rates[0] == pytest.approx(1.0) and rates[-1] < 0.1
    assert rates == sorted(rates, reverse=True)


def test_the_best_weights_come_back_and_are_those_that_were_measured(pixels):
    optimiser = {**ADAMW, "learning_rate": 0.05, "ema_decay": 0.9}
    training, classifier = train(pixels, optimiser=optimiser, epochs=6)
    judged = {}

    def outputs(net: nn.Module) -> np.ndarray:
        return run_net(net, pixels, np.arange(90, 120), *PLACE)

    def remember(entry: dict[str, Any]) -> None:
        judged[entry["epoch"]] = outputs(training.optimisation.judged_net)

    history = training.run(remember)
    best = training.best["epoch"]
    losses = [entry["val_calibrated_loss"] for entry in history]
    assert losses[best] == min(losses)
    np.testing.assert_array_equal(outputs(classifier), judged[best])


def test_it_stops_when_patience_is_over(pixels):
    optimiser = {**ADAMW, "learning_rate": 1e-12}
    training, _ = train(pixels, optimiser=optimiser, epochs=9, patience=2)
    assert len(training.run()) <= training.best["epoch"] + 3 < 10


def test_a_loss_that_is_not_finite_ends_it(pixels):
    with pytest.raises(TilthError, match=r"finetune\.optimiser\.learning_rate"):
        learn(pixels, optimiser={**SGD, "learning_rate": 1e30, "weight_decay": 0.0}, epochs=3)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"initialisation": "scratch", "strategy": {"name": "frozen"}}, "nothing was"),
        (
            {"initialisation": "scratch", "strategy": {"name": "layerwise", "rate_decay": 0.5}},
            "expected strategy full",
        ),
        ({"strategy": {"name": "gradual", "epochs_per_layer": 5}}, "opens the first layer after 5"),
        (
            {
                "augmentation": "device",
                "unlabelled": {
                    "name": "fixmatch",
                    "threshold": 0.9,
                    "weight": 1.0,
                    "ratio": 2,
                    "strong": [{"name": "Posterize", "arguments": {}}],
                },
            },
            "Posterize has no version for the device",
        ),
        (
            {
                "unlabelled": {
                    "name": "fixmatch",
                    "threshold": 0.9,
                    "weight": 1.0,
                    "ratio": 2,
                    "strong": [],
                },
            },
            "at least 1 item",
        ),
        (
            {
                "strategy": {"name": "frozen"},
                "refit": {
                    "name": "embeddings",
                    "sampler": "none",
                    "arguments": {},
                    "probe": LOGISTIC,
                },
            },
            "refit would throw away the head",
        ),
        ({"schedule": {"name": "cosine", "warmup_epochs": 5}}, "never be reached"),
        ({"schedule": {"name": "plateau", "factor": 0.1, "patience": 2}, "patience": 3},
         "learning would stop before"),
        (
            {
                "loss": {
                    "name": "ldam",
                    "max_margin": 1.0,
                    "label_smoothing": 0.0,
                    "class_weights": {"name": "inverse_frequency", "from_epoch": 5},
                }
            },
            "would never begin",
        ),
        ({"num_processes": 2, "strategy": {"name": "frozen"}}, "wait for the gradients of all"),
        ({"num_processes": 2, "strategy": {"name": "gradual", "epochs_per_layer": 1}},
         "wait for the gradients of all"),
        ({"num_processes": 2, "loss": {"name": "early_learning", "strength": 1.0, "momentum": 0.7,
          **UNWEIGHTED}}, "sees some of them alone"),
        ({"refit": {"name": "embeddings", "sampler": "SMOOTE", "arguments": {}, "probe": LOGISTIC}},
         "imbalanced-learn has no sampler 'SMOOTE'"),
        ({"refit": {"name": "embeddings", "sampler": "none", "arguments": {"k_neighbors": 3},
                    "probe": LOGISTIC}}, "no sampler, no arguments"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(changed, words):
    with pytest.raises(ValidationError, match=words):
        params(**changed)


def test_a_loss_with_a_memory_refuses_mixtures(pixels):
    remembering = {"name": "early_learning", "strength": 1.0, "momentum": 0.7, **UNWEIGHTED}
    with pytest.raises(ParamsError, match="a mixture is none of them"):
        _refuse_mixtures(labelled(pixels, mixup_alpha=0.2), params(loss=remembering))
    _refuse_mixtures(labelled(pixels), params(loss=remembering))
    _refuse_mixtures(labelled(pixels, mixup_alpha=0.2), params())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"num_accumulated": 2}, "takes it in parts"),
        ({"num_processes": 2}, "takes it in parts"),
        ({"augmentation": "device"}, "on the host, and finetune.augmentation is device"),
    ],
)
def test_a_batch_is_mixed_whole_and_on_the_host(pixels, changed, words):
    with pytest.raises(ParamsError, match=words):
        _refuse_mixtures(labelled(pixels, cutmix_alpha=0.2), params(**changed))
    _refuse_mixtures(labelled(pixels), params(**changed))
