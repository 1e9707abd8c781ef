"""Rows without labels teach what the net is sure of, repeatably, and without a say nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.images import Images
from tasks.core.batches import Part
from tasks.core.encoder import Classifier, Encoder
from tasks.core.errors import ParamsError
from tasks.core.fixmatch import rows_beside
from tasks.core.policy import Transform, build_policy
from tasks.finetune import finetune
from tasks.labelled import Labelled
from tasks.learning import Training
from tasks.lesson import Outcome
from tests.nets import tiny
from tests.tasks.brightness import ADAMW, NOBODY, PLACE, SEED, labelled, make_pixels, params

NOISE = {"name": "GaussNoise", "arguments": {"std_range": [0.02, 0.1], "p": 1.0}}
FIXMATCH = {"name": "fixmatch", "threshold": 0.6, "weight": 1.0, "ratio": 3, "strong": [NOISE]}
PLAIN = {"loss": {"name": "balanced_softmax", "label_smoothing": 0.0}}
LEARNT, UNLABELLED = np.arange(12), np.arange(12, 90)


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return make_pixels(tmp_path_factory.mktemp("images"))


def few(pixels: Images) -> Labelled:
    return labelled(pixels)._replace(rows=LEARNT, counts=np.array([4, 4, 4]))


def train(
    given: Labelled,
    how: dict[str, Any],
    checkpoints: Checkpoints | None = None,
    place=PLACE,
    unlabelled: np.ndarray = UNLABELLED,
    normalisation: str = "batch",
    **changed: Any,
) -> Training:
    torch.manual_seed(0)
    net = Classifier(Encoder(tiny(normalisation=normalisation), [0.5], [0.25], 8), 3, 0.3)
    asked = {"unlabelled": how, "batch_size": 6, **PLAIN, **changed}
    return finetune(net, given, unlabelled, params(**asked), place, SEED, checkpoints)


def assert_same_bytes(one: Training, other: Training) -> None:
    for name, value in one.lesson.net.state_dict().items():
        assert torch.equal(other.lesson.net.state_dict()[name], value), name


@pytest.mark.parametrize(
    "changed",
    [{}, {"optimiser": {**ADAMW, "ema_decay": 0.9}}, {"num_accumulated": 2, "batch_size": 12},
     {"augmentation": "device"}],
)  # fmt: skip
def test_rows_without_a_say_change_nothing_to_the_byte(pixels, changed):
    silent = train(few(pixels), {**FIXMATCH, "weight": 0.0}, **changed)
    alone = train(few(pixels), {"name": "none"}, unlabelled=NOBODY, **changed)
    for one, other in zip(silent.run(), alone.run(), strict=True):
        assert {name: one[name] for name in other} == other
    assert_same_bytes(silent, alone)


def begin(training: Training) -> tuple[Part, Outcome]:
    """The first part, and what comes of it."""
    lesson, part = training.lesson, next(training._parts())
    lesson.begin_epoch(1)
    tensors = (torch.from_numpy(array) for array in lesson.source(part))
    return part, training.outcome_of(part, *tensors)


def largest_gradients(training: Training) -> dict[str, torch.Tensor]:
    """Of each parameter."""
    training.fabric.backward(begin(training)[1].loss)
    return {
        name: one.grad.abs().max()  # type: ignore[union-attr]
        for name, one in training.lesson.net.named_parameters()
    }


@pytest.mark.parametrize("augmentation", ["host", "device"])
def test_weak_and_strong_views_are_of_the_same_rows_and_drawn_apart(pixels, augmentation):
    noisy = build_policy([Transform(**NOISE)], pixels.image_shape)
    training = train(few(pixels)._replace(policy=noisy), FIXMATCH, augmentation=augmentation)
    seen: list[np.ndarray] = []
    training.lesson.net.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].numpy().astype(int))
    )
    part, _ = begin(training)
    learnt, weak, strong = seen
    rows = rows_beside(part, UNLABELLED, 3, SEED).weak.own_rows
    for view, shown in ((learnt, part.rows), (weak, rows), (strong, rows)):
        changed_N = np.abs(view - pixels[shown]).mean(axis=(1, 2, 3))
        # Noise moves a level by 25 at most on average, and other classes are 90 away.
        assert (changed_N > 0).all() and (changed_N < 30).all()
    noise = [view - pixels[rows] for view in (weak, strong)]
    middle = (pixels[rows] > 60) & (pixels[rows] < 190)
    assert np.corrcoef(noise[0][middle], noise[1][middle])[0, 1] < 0.2


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_all_layers_learn_from_rows_without_labels(pixels, precision):
    loud, silent = (
        train(
            few(pixels), {**FIXMATCH, "threshold": 0.0, "weight": weight},
            place=PLACE._replace(precision=precision),
        )
        for weight in (1e6, 0.0)
    )  # fmt: skip
    theirs = largest_gradients(silent)
    for name, largest in largest_gradients(loud).items():
        assert largest > 1e3 * theirs[name].clamp_min(1e-6), name


def test_it_learns_from_them_and_tells_how_sure_it_is(pixels):
    history = train(few(pixels), FIXMATCH, epochs=12, patience=12).run()
    alone = train(few(pixels), {"name": "none"}, epochs=12, patience=12).run()
    best, best_alone = (min(entry["val_loss"] for entry in one) for one in (history, alone))
    assert best < best_alone
    assert history[-1]["val_sure_fraction"] > history[0]["val_sure_fraction"]
    assert history[-1]["val_sure_accuracy"] > 0.9


def test_how_sure_it_is_hangs_on_the_threshold_alone(pixels):
    lesson = train(few(pixels), FIXMATCH).lesson
    logits_NK = np.zeros((30, 3))
    logits_NK[:10, 0] = 5.0
    scores = lesson.score(logits_NK)  # type: ignore[operator]
    # Of the first ten val rows, four are of the first class.
    assert scores["val_sure_fraction"] == pytest.approx(1 / 3)
    assert scores["val_sure_accuracy"] == pytest.approx(0.4)
    assert lesson.score(np.zeros((30, 3)))["val_sure_accuracy"] == 0  # type: ignore[operator]


def test_parts_of_a_batch_add_up_to_it(pixels):
    """Of a net with group norm, which sees each image alone; rows are of unequal weight."""
    weights = np.random.default_rng(0).uniform(0.1, 1, 120).astype(np.float32)
    found = []
    for num_accumulated in (1, 2):
        training = train(
            few(pixels)._replace(weights=weights), {**FIXMATCH, "threshold": 0.0},
            normalisation="group", num_accumulated=num_accumulated,
        )  # fmt: skip
        training.lesson.net.dropout.p = 0.0  # type: ignore[union-attr]
        found.append(training.run())
    for one, other in zip(*found, strict=True):
        assert other == pytest.approx(one, abs=2e-5)


@pytest.mark.parametrize("augmentation", ["host", "device"])
def test_what_goes_on_ends_with_the_same_bytes(pixels, tmp_path: Path, monkeypatch, augmentation):
    class Interrupted(Exception):
        pass

    def interrupt(entry: dict[str, Any]) -> None:
        if entry["epoch"] == 2:
            raise Interrupted

    whole = train(few(pixels), FIXMATCH, augmentation=augmentation)
    history = whole.run()
    monkeypatch.setenv("TILTH_CHECKPOINT_SECONDS", "0")
    checkpoints = Checkpoints({}, tmp_path)
    with pytest.raises(Interrupted):
        train(few(pixels), FIXMATCH, checkpoints, augmentation=augmentation).run(interrupt)
    again = train(few(pixels), FIXMATCH, checkpoints, augmentation=augmentation)
    assert again.run() == history
    assert_same_bytes(whole, again)
    assert again.num_seen < whole.num_seen


def test_what_a_person_dropped_is_left_out(pixels):
    given = few(pixels)
    given.weights[20:] = 0
    source = train(given, FIXMATCH).lesson.source
    assert source.unlabelled.tolist() == list(range(12, 20))  # type: ignore[attr-defined]
    with pytest.raises(ParamsError, match="rows without a label, and there are none"):
        train(given, FIXMATCH, unlabelled=np.arange(20, 90))


@pytest.mark.parametrize(
    ("given", "changed", "words"),
    [
        ({}, {"unlabelled": NOBODY}, r"none; expected a folder of some in `unlabelled`"),
        ({"mixup_alpha": 0.2}, {}, "teach to be unsure"),
        ({"cutmix_alpha": 1.0}, {}, "teach to be unsure"),
        ({}, {"loss": {"name": "balanced_softmax", "label_smoothing": 0.7}},
         "be sure by 0.533 at most"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it_is_refused(pixels, given, changed, words):
    with pytest.raises(ParamsError, match=words):
        train(labelled(pixels, **given), FIXMATCH, **changed)


def test_a_strong_view_that_does_not_fit_is_refused(pixels):
    grows = {"name": "Resize", "arguments": {"height": 12, "width": 12}}
    with pytest.raises(ParamsError, match="Resize turns"):
        train(few(pixels), {**FIXMATCH, "strong": [grows]})
