"""What images without labels bring where few have one: `python -m benchmarks.semi_supervised`.

cifar10       10,000 train images of CIFAR-10, 400 of them with their label; from an encoder that
              SimCLR taught all of them: FixMatch on all, against fine-tuning on the 400 alone
digits        scikit-learn's digits, 10 labels a class: fine-tuned from an encoder taught all train
              images (200 epochs), against the same net from scratch; and FixMatch from the encoder

Learning rates are chosen by the accuracy of the last epoch on val images: from scratch and from
the encoder each for itself, for all seeds on the first; FixMatch has the rate that was best without
it. Accuracies are on test images, of the last epoch and of the one that the stage keeps. cifar10
needs TILTH_CIFAR10. What is done of a cell is remembered in .cache/benchmarks, by commit and seed;
encoders in --encoders.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.classifiers import NO_PROBE, Ground, on_disk, params_of, teach
from benchmarks.encoders import learnt_encoder, new_encoder
from benchmarks.few_labels import RATES, Data, Part, load_cifar10
from benchmarks.memory import MEMORY, remembered
from benchmarks.pictures import CIFAR10_AUGMENT, digits
from benchmarks.pretraining import params_of as pretraining_params_of
from benchmarks.record import ROOT, Row, make_row
from tasks import pretrain
from tasks.artifacts.documents import load_yaml
from tasks.core.architecture import Convolutional
from tasks.core.encoder import Encoder
from tasks.core.policy import Transform

BATCH_SIZE, NUM_DIGITS_HELD_OUT = 64, 400
# How often an epoch shows each image with a label: val is not measured after every few batches.
NUM_REPEATS = 10


class Scene(NamedTuple):
    """Images, how many of train have their label, how they are augmented, how an encoder learns."""

    data: Data
    num_labels: int
    augmentation: list[Transform]
    pretraining: pretrain.Params


def load(name: str, setting: Setting) -> Scene:
    options = setting.options
    if name == "digits":
        pictures = digits(options.precision)
        data = divide(pictures.images_NHWC, pictures.labels_N, options.precision)
        # The params' 30 epochs are too few batches of so few images to learn much from.
        longer = pictures.pretraining.model_copy(update={"epochs": options.digits_epochs})
        return Scene(data, 100, pictures.augmentation, longer)
    assert setting.cifar10 is not None
    counts = (options.num_images, options.num_val, options.num_test)
    return Scene(
        load_cifar10(setting.cifar10, counts, options.precision),
        options.num_labels,
        [Transform(**one) for one in CIFAR10_AUGMENT],
        pretraining_params_of("simclr", options.pretraining_epochs),
    )


def divide(images_NHWC: np.ndarray, labels_N: np.ndarray, precision: str) -> Data:
    """As many for val as for test, all others for train; the same for all seeds."""
    whole = Part(images_NHWC, labels_N)
    order = np.random.default_rng(0).permutation(len(labels_N))
    ends = [NUM_DIGITS_HELD_OUT, 2 * NUM_DIGITS_HELD_OUT]
    val, test, train = (whole.take(rows) for rows in np.split(order, ends))
    return Data(train, val, test, precision)


class Arm(NamedTuple):
    """A way to begin and to learn: `rate` None tries all, and val chooses."""

    is_pretrained: bool
    unlabelled: dict[str, Any]
    rate: float | None


def measure_arm(name: str, arm: Arm, seed: int, setting: Setting) -> dict[str, float]:
    """Accuracies on test, the rate, and the accuracy on val that chose it."""
    options, scene = setting.options, load(name, setting)
    images, precision = scene.data.train.images_NHWC, options.precision
    if arm.is_pretrained:
        encoder = learnt_encoder(images, scene.pretraining, seed, precision, options.encoders)
    else:
        architecture = scene.pretraining.architecture
        assert isinstance(architecture, Convolutional)
        encoder = new_encoder(images, architecture, seed)
    tried = []
    with on_disk(scene.data) as ground:
        for rate in RATES if arm.rate is None else (arm.rate,):
            tried.append(learn(scene, ground, encoder, arm._replace(rate=rate), seed, setting))
            say(f"{name}, seed {seed}, {arm._replace(rate=rate)}: {tried[-1]}")
    return max(tried, key=lambda one: one["val"])


def learn(
    scene: Scene, ground: Ground, encoder: Encoder, arm: Arm, seed: int, setting: Setting
) -> dict[str, float]:
    section = load_yaml(ROOT / "params.yaml")["finetune"]
    rows = ground.train[scene.data.few_rows(scene.num_labels, seed)]
    epochs = max(1, round(setting.options.num_steps * BATCH_SIZE / (NUM_REPEATS * len(rows))))
    params = params_of(
        epochs,
        initialisation="always" if arm.is_pretrained else "scratch",
        probe=section["probe"] if arm.is_pretrained else NO_PROBE,
        optimiser=section["optimiser"] | {"learning_rate": arm.rate},
        schedule={"name": "cosine", "warmup_epochs": min(1, epochs - 1)},
        batch_size=BATCH_SIZE,
        unlabelled=arm.unlabelled,
    )
    given = ground.labelled(np.tile(rows, NUM_REPEATS), scene.augmentation)
    taught = teach(encoder, ground, given, params, seed, ground.train)
    return {
        "rate": params.optimiser.learning_rate,
        "val": ground.accuracy(taught.last, ground.val),
        "last": ground.accuracy(taught.last, ground.test),
        "chosen": ground.accuracy(taught.chosen, ground.test),
    }


def recall(name: str, arm: Arm, seed: int, setting: Setting) -> dict[str, float]:
    asked = ("num_images", "num_val", "num_test", "num_labels", "pretraining_epochs",
             "digits_epochs", "num_steps")  # fmt: skip
    key = {"semi_supervised": name, "seed": seed, "precision": setting.options.precision}
    key |= {**arm._asdict(), **{one: getattr(setting.options, one) for one in asked}}
    return remembered(key, partial(measure_arm, name, arm, seed, setting))


def tuned(name: str, is_pretrained: bool, setting: Setting) -> list[dict[str, float]]:
    """Labelled images alone, a seed after the other."""
    first, *others = setting.options.seeds
    arm = Arm(is_pretrained, {"name": "none"}, None)
    found = recall(name, arm, first, setting)
    arm = arm._replace(rate=found["rate"])
    return [found, *(recall(name, arm, seed, setting) for seed in others)]


def measure_cifar10(setting: Setting) -> Iterator[Row]:
    alone = tuned("cifar10", True, setting)
    name = f"cifar10: FixMatch, {setting.options.num_labels} labels, against fine-tuning alone"
    yield from compare(name, matched("cifar10", "heavy", alone, setting), alone)


def measure_digits(setting: Setting) -> Iterator[Row]:
    ours, scratch = (tuned("digits", is_pretrained, setting) for is_pretrained in (True, False))
    yield from compare("digits: 10 labels a class, pretrained against scratch", ours, scratch)
    wins = sum(one["last"] >= other["last"] for one, other in zip(ours, scratch, strict=True))
    yield make_row("digits: seeds with pretrained ≥ scratch", wins, "", len(ours))
    # Signs must not be mirrored, as the heavy policy does.
    views = [view.model_dump() for view in load("digits", setting).pretraining.views]
    name = "digits: FixMatch, 10 labels a class, against fine-tuning alone"
    yield from compare(name, matched("digits", views, ours, setting), ours)


def matched(
    name: str, strong: str | list[dict[str, Any]], alone: list[dict[str, float]], setting: Setting
) -> list[dict[str, float]]:
    """FixMatch from the same encoders, at the rate that was best without it."""
    options = setting.options
    how = {"name": "fixmatch", "threshold": options.threshold, "weight": 1.0}
    arm = Arm(True, {**how, "ratio": options.ratio, "strong": strong}, alone[0]["rate"])
    return [recall(name, arm, seed, setting) for seed in options.seeds]


def compare(
    name: str, ours: Sequence[dict[str, float]], others: Sequence[dict[str, float]]
) -> Iterator[Row]:
    yield make_row(f"{name}, learning rate", ours[0]["rate"], "", others[0]["rate"])
    for what, key in (("last epoch", "last"), ("epoch chosen on val", "chosen")):
        these, those = ([one[key] for one in each] for each in (ours, others))
        yield make_row(f"{name}, {what}", these, "", those)
        gained = [100 * (one - other) for one, other in zip(these, those, strict=True)]
        yield make_row(f"{name}, {what}: gained", gained, "points")


CELLS = (
    Cell("cifar10", measure_cifar10, needs_cifar10=True),
    Cell("digits", measure_digits),
)


def main(argv: Sequence[str]) -> None:
    parser = topic_parser("semi_supervised", __doc__, CELLS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num-images", type=int, default=10_000, help="to learn from")
    parser.add_argument("--num-labels", type=int, default=400, help="of these, with a label")
    parser.add_argument("--num-val", type=int, default=2_000, help="to choose on")
    parser.add_argument("--num-test", type=int, default=10_000, help="to measure on")
    parser.add_argument("--pretraining-epochs", type=int, default=15)
    parser.add_argument("--digits-epochs", type=int, default=200, help="of pretraining there")
    parser.add_argument("--num-steps", type=int, default=1_000, help="batches of 64 labels")
    parser.add_argument("--ratio", type=int, default=4, help="images without a label beside each")
    parser.add_argument("--threshold", type=float, default=0.95)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--encoders", type=Path, default=MEMORY, help="folder (%(default)s)")
    run_cells("semi_supervised", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
