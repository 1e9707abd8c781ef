"""What losses and samplers make of unequal classes: `python -m benchmarks.long_tail`.

CIFAR-10 cut to a tail: of the first class a hundred times as many images as of the last. A
ResNet-20 is taught from scratch for 30 epochs, and measured after the last: nothing is chosen.
Where a sampler repeats images there are fewer epochs, so that all methods see as many. Heads are
refitted to the nets that plain cross-entropy taught. Balanced accuracy is the mean over classes, on
test images; accuracy is that of test images in the proportions of train; thirds are the 4 classes
with most images, then 3 and 3. Needs TILTH_CIFAR10. What is done of a cell is remembered in
.cache/benchmarks, by commit and seed.
"""

import copy
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.classifiers import NO_PROBE, RESNET_20, Ground, loss, on_disk, params_of, teach
from benchmarks.encoders import new_encoder
from benchmarks.few_labels import CPU, Data, Part, load_cifar10
from benchmarks.memory import remembered
from benchmarks.pictures import CIFAR10_AUGMENT, NUM_CLASSES
from benchmarks.record import Row, make_row
from tasks.core.architecture import Convolutional
from tasks.core.encoder import Classifier
from tasks.core.inference import Place
from tasks.core.policy import Transform
from tasks.core.refitting import Refit
from tasks.core.resampling import build_sampler, resample
from tasks.heads import refit_head
from tasks.labelled import Labelled

IMBALANCE, NUM_VAL = 100, 1_000
SGD = {
    "name": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.005,
    "l1_penalty": 0.0,
    "clip_norm": 0.0,
    "ema_decay": 0.0,
}
PROBE = {"name": "logistic", "penalty": 0.01, "steps": 200}


def methods(epochs: int) -> dict[str, dict[str, Any]]:
    """Params of finetune, and the `sampler` of its rows where there is one. What is deferred begins
    with the last fifth of the epochs."""
    unweighted = {"name": "none"}
    effective = {"name": "effective_number", "beta": 0.9999, "from_epoch": 1}
    deferred = effective | {"from_epoch": 1 + round(0.8 * epochs)}
    plain = loss("cross_entropy", class_weights=unweighted)
    inverse = {"name": "inverse_frequency", "from_epoch": 1}
    return {
        "cross_entropy": plain,
        "inverse_frequency": loss("cross_entropy", class_weights=inverse),
        "effective_number": loss("cross_entropy", class_weights=effective),
        "deferred_weights": loss("cross_entropy", class_weights=deferred),
        "focal": loss("focal", gamma=1.0, class_weights=unweighted),
        "ldam_deferred": loss("ldam", max_margin=15.0, class_weights=deferred),
        "over_sampling": {**plain, "sampler": "RandomOverSampler"},
        "balanced_softmax": loss("balanced_softmax"),
        "logit_adjustment": loss("logit_adjustment", tau=1.5),
    }


def refits() -> dict[str, Refit]:
    """Heads for the net that plain cross-entropy taught."""
    samplers = {"head_refitted": "none", "head_refitted_smote": "SMOTE"}
    common = {"name": "embeddings", "arguments": {}, "probe": PROBE}
    return {
        name: Refit.model_validate({**common, "sampler": sampler})
        for name, sampler in samplers.items()
    }


def tail_counts(largest: int, imbalance: int) -> np.ndarray:
    """How many images each class keeps, int (K,): less by the same factor from one to the next."""
    return (largest * imbalance ** (-np.arange(NUM_CLASSES) / (NUM_CLASSES - 1))).astype(int)


def cut(part: Part, seed: int) -> Part:
    counts = tail_counts(len(part.labels_N) // NUM_CLASSES, IMBALANCE)
    rng = np.random.default_rng([seed, IMBALANCE])
    rows = [
        rng.permutation(np.flatnonzero(part.labels_N == label))[:count]
        for label, count in enumerate(counts)
    ]
    return part.take(np.concatenate(rows))


@cache
def load(folder: Path, num_images: int, num_test: int, precision: str) -> Data:
    return load_cifar10(folder, (num_images, NUM_VAL, num_test), precision)


def sample(ground: Ground, sampler: str | None, seed: int) -> np.ndarray:
    """Train rows, with repeats."""
    if sampler is None:
        return ground.train
    labels = ground.codes_N[ground.train].astype(str)
    built = build_sampler(sampler, {}, seed)
    return ground.train[resample(ground.train[:, None], labels, built, "auto").chosen_M]


def measure_learning(name: str, seed: int, setting: Setting) -> dict[str, list[float]]:
    """The share of each class's test images that the net of the last epoch gets right, by method:
    with the head that was taught, and with others."""
    options, folder = setting.options, setting.cifar10
    assert folder is not None
    whole = load(folder, options.num_images, options.num_test, options.precision)
    data = whole._replace(train=cut(whole.train, seed))
    started = time.perf_counter()
    with on_disk(data) as ground:
        given, net = learn(methods(options.epochs)[name], data, ground, seed, options.epochs)
        found = {name: recalls_of(net, ground)}
        for other, settings in refits().items() if name == "cross_entropy" else ():
            refitted = copy.deepcopy(net)
            refit_head(refitted, given, settings, Place(CPU, data.precision), seed)
            found[other] = recalls_of(refitted, ground)
    told = ", ".join(f"{method} {np.mean(recalls):.4f}" for method, recalls in found.items())
    say(f"seed {seed}: {told}, {time.perf_counter() - started:.0f} s")
    return found


def learn(
    method: dict[str, Any], data: Data, ground: Ground, seed: int, epochs: int
) -> tuple[Labelled, Classifier]:
    changed = dict(method)
    rows = sample(ground, changed.pop("sampler", None), seed)
    params = params_of(
        max(1, round(epochs * len(ground.train) / len(rows))),
        initialisation="scratch", probe=NO_PROBE, dropout=0.0, batch_size=128,
        optimiser=SGD, schedule={"name": "cosine", "warmup_epochs": min(1, epochs - 1)}, **changed,
    )  # fmt: skip
    encoder = new_encoder(data.train.images_NHWC, Convolutional.model_validate(RESNET_20), seed)
    given = ground.labelled(rows, [Transform(**one) for one in CIFAR10_AUGMENT])
    return given, teach(encoder, ground, given, params, seed).last


def recalls_of(net: Classifier, ground: Ground) -> list[float]:
    said, true = ground.classes(net, ground.test), ground.codes_N[ground.test]
    return [float((said[true == code] == code).mean()) for code in range(NUM_CLASSES)]


def recall(name: str, seed: int, setting: Setting) -> np.ndarray:
    learning = "cross_entropy" if name in refits() else name
    asked = ("num_images", "num_test", "epochs", "precision")
    key = {"long_tail": learning, "seed": seed}
    key |= {one: getattr(setting.options, one) for one in asked}
    return np.array(remembered(key, partial(measure_learning, learning, seed, setting))[name])


def measure_method(setting: Setting, name: str) -> Iterator[Row]:
    seeds = setting.options.seeds
    ours = np.stack([recall(name, seed, setting) for seed in seeds])
    plain = np.stack([recall("cross_entropy", seed, setting) for seed in seeds])
    counts = tail_counts(setting.options.num_images // NUM_CLASSES, IMBALANCE)
    shown = {
        "balanced accuracy": np.full(NUM_CLASSES, 1 / NUM_CLASSES),
        "accuracy": counts / counts.sum(),
    }
    for which, classes in zip(
        ("most", "some", "fewest"), np.array_split(np.arange(NUM_CLASSES), 3), strict=True
    ):
        shown[f"classes with {which} images"] = np.isin(np.arange(NUM_CLASSES), classes) / len(
            classes
        )
    is_other = name != "cross_entropy"
    for what, weights_K in shown.items():
        beside = (plain @ weights_K).tolist() if is_other else None
        label = f"{name}: {what}{', against cross-entropy' if is_other else ''}"
        yield make_row(label, (ours @ weights_K).tolist(), "", beside)
    if is_other:
        gained = 100 * (ours - plain).mean(axis=1)
        yield make_row(f"{name}: gained in balanced accuracy", gained.tolist(), "points")


CELLS = tuple(
    Cell(name, partial(measure_method, name=name), needs_cifar10=True)
    for name in (*methods(epochs=30), *refits())
)


def main(argv: Sequence[str]) -> None:
    parser = topic_parser("long_tail", __doc__, CELLS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num-images", type=int, default=49_000, help="before they are cut")
    parser.add_argument("--num-test", type=int, default=10_000, help="to measure on")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    run_cells("long_tail", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
