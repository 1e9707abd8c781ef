"""Parts of a batch add up to it whatever weighs rows and classes, and all that a lesson remembers
is in its checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.images import Images
from tasks.classification import calibrate
from tasks.core.batches import Batch, parts_of
from tasks.core.calibration import fit_temperature
from tasks.core.encoder import Classifier, Encoder
from tasks.core.inference import run_net, softmax
from tasks.core.mixing import mix_batch
from tasks.finetune import finetune
from tasks.labelled import Labelled
from tasks.learning import Training
from tests.nets import tiny
from tests.tasks.brightness import (
    ADAMW,
    NOBODY,
    PLACE,
    SEED,
    UNWEIGHTED,
    labelled,
    make_pixels,
    params,
)

DEFERRED = {"name": "inverse_frequency", "from_epoch": 2}
EARLY = {"name": "early_learning", "strength": 1.0, "momentum": 0.7, **UNWEIGHTED}


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return make_pixels(tmp_path_factory.mktemp("images"))


def unequal(pixels: Images) -> Labelled:
    """Classes of unequal size, and rows of unequal weight."""
    weights = np.random.default_rng(0).uniform(0.1, 1, 120).astype(np.float32)
    rows = np.flatnonzero((np.arange(90) % 3 > 0) | (np.arange(90) < 30))
    counts = np.bincount(rows % 3)
    return labelled(pixels)._replace(rows=rows, counts=counts, weights=weights)


def train(given: Labelled, checkpoints: Checkpoints | None = None, **changed: Any) -> Training:
    """Of a net with group norm, which sees each image alone."""
    torch.manual_seed(0)
    net = Classifier(Encoder(tiny(normalisation="group"), [0.5], [0.25], 8), 3, 0.3)
    return finetune(net, given, NOBODY, params(**changed), PLACE, SEED, checkpoints)


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "balanced_softmax", "label_smoothing": 0.1},
        {"name": "cross_entropy", "label_smoothing": 0.2, "class_weights": DEFERRED},
        {"name": "focal", "gamma": 1.0, "label_smoothing": 0.0, "class_weights": DEFERRED},
        EARLY,
        {**EARLY, "class_weights": DEFERRED},
    ],
)
def test_parts_of_a_batch_add_up_to_it(pixels, loss):
    given = unequal(pixels)
    found = []
    for num_accumulated in (1, 2):
        training = train(given, loss=loss, num_accumulated=num_accumulated, epochs=3)
        training.lesson.net.dropout.p = 0.0  # type: ignore[union-attr]
        found.append(training.run())
    for one, other in zip(*found, strict=True):
        assert other == pytest.approx(one, abs=2e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"loss": EARLY},
        {"optimiser": {**ADAMW, "ema_decay": 0.9}},
        {"schedule": {"name": "plateau", "factor": 0.5, "patience": 0}},
        {"strategy": {"name": "gradual", "epochs_per_layer": 1}},
        {"augmentation": "device", "num_accumulated": 2},
    ],
)
def test_what_goes_on_ends_with_the_same_bytes(pixels, tmp_path: Path, monkeypatch, changed):
    class Interrupted(Exception):
        pass

    def interrupt(entry: dict[str, Any]) -> None:
        if entry["epoch"] == 3:
            raise Interrupted

    given = unequal(pixels)
    whole = train(given, **changed)
    history = whole.run()
    monkeypatch.setenv("TILTH_CHECKPOINT_SECONDS", "0")
    checkpoints = Checkpoints({}, tmp_path)
    with pytest.raises(Interrupted):
        train(given, checkpoints, **changed).run(interrupt)
    again = train(given, checkpoints, **changed)
    assert again.run() == history
    for name, value in whole.lesson.net.state_dict().items():
        assert torch.equal(again.lesson.net.state_dict()[name], value), name
    assert again.num_seen < whole.num_seen


def test_a_part_brings_its_targets_mixed_where_they_are_to_be(pixels):
    (part,) = parts_of(Batch(3, np.array([4, 9, 2, 2])), 5, 1)
    plain = train(labelled(pixels)).lesson.source(part)
    images, codes, weights, rows = plain
    assert codes.tolist() == [1, 0, 2, 2] and rows.tolist() == [4, 9, 2, 2]
    mixed_data = labelled(pixels, mixup_alpha=0.4)
    found = train(mixed_data).lesson.source(part)
    expected = (*mix_batch(mixed_data.mixing, images, codes, weights, 3, SEED, 5, 3), rows)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_calibration_is_fitted_on_val_alone(pixels):
    given = labelled(pixels)
    training = train(given, epochs=2)
    training.run()
    net = training.lesson.net
    logits = run_net(net, pixels, given.val, *PLACE).astype(np.float64)
    found = calibrate(logits, given, 0.9)
    temperature, loss = fit_temperature(logits, given.codes[given.val])
    assert found.temperature == pytest.approx(temperature, abs=1e-6)
    given_shares = softmax(logits)[np.arange(len(given.val)), given.codes[given.val]]
    assert loss <= -np.log(given_shares).mean() + 1e-9
    # All may be answered, as nine in ten may be wrong; of 30 rows nothing shows one in a thousand.
    assert (found.abstention, found.abstention_reached) == (0.0, True)
    assert found.calibrated_log_loss == loss
    assert calibrate(logits, given, 0.001)[2:] == (0.0, False)


def test_how_sure_a_net_is_of_itself_does_not_change_what_it_is_judged_by(pixels):
    given = labelled(pixels)
    lesson = train(given).lesson
    logits_NK = np.random.default_rng(0).normal(size=(len(given.val), 3))
    logits_NK += 1.5 * np.eye(3)[given.codes[given.val]]
    modest, sure = (lesson.score(logits_NK * factor) for factor in (1, 8))  # type: ignore[operator]
    assert sure["val_loss"] > 1.5 * modest["val_loss"]
    assert sure["val_calibrated_loss"] == pytest.approx(modest["val_calibrated_loss"], abs=0.05)
