"""What the audit's weights are worth where labels are wrong: `python -m benchmarks.label_noise`.

10, 40        that per cent of the labels of train and val made wrong, each class mistaken for the
              one whose mean image is nearest

10,000 train images of CIFAR-10, an encoder that SimCLR taught them without labels, weights as the
audit gives them, and `finetune` with the project's params, from the same encoder with those weights
and with none. Accuracies are on test images with their true labels, of the last epoch and of the
one that the stage keeps by 2,000 val images, whose labels are as wrong. Needs TILTH_CIFAR10. What
is done of a cell is remembered in .cache/benchmarks, by commit and seed; encoders in --encoders.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.classifiers import NOBODY, Ground, on_disk, params_of, teach
from benchmarks.encoders import learnt_encoder
from benchmarks.few_labels import CPU, load_cifar10
from benchmarks.memory import MEMORY, remembered
from benchmarks.pictures import CIFAR10_AUGMENT, NUM_CLASSES, plant
from benchmarks.pretraining import params_of as pretraining_params_of
from benchmarks.record import ROOT, Row, make_row
from tasks import audit
from tasks.artifacts.documents import load_yaml
from tasks.core.encoder import Encoder
from tasks.core.inference import Place
from tasks.core.label_audit import Subject, judge_labels
from tasks.core.looks import look_at
from tasks.core.policy import Transform
from tasks.core.review import weigh

PERCENTS = (10, 40)


def audit_weights(ground: Ground, encoder: Encoder, codes_N: np.ndarray, seed: int) -> np.ndarray:
    """Of every image (N,), as the audit weighs those of train."""
    params = audit.Params.model_validate(load_yaml(ROOT / "params.yaml")["audit"])
    place = Place(CPU, ground.precision)
    names = np.arange(len(codes_N)).astype(str)
    table = pd.DataFrame({"image_id": names, "path": names, "label": codes_N.astype(str)})
    subject = Subject(
        table.assign(group=None),
        look_at(encoder, params.looks, ground.pixels, len(codes_N), place),
        {"train": ground.train, "val": NOBODY, "test": NOBODY},
        {},
        [str(code) for code in range(NUM_CLASSES)],
    )
    judged = judge_labels(subject, params, seed)
    return weigh(judged.labels, ground.train, judged.trusted("train"), params.least_weight)


def measure_seed(percent: int, seed: int, setting: Setting) -> dict[str, float]:
    options, folder = setting.options, setting.cifar10
    assert folder is not None
    counts = (options.num_images, options.num_val, options.num_test)
    data = load_cifar10(folder, counts, options.precision)
    recipe = pretraining_params_of("simclr", options.pretraining_epochs)
    encoder = learnt_encoder(
        data.train.images_NHWC, recipe, seed, options.precision, options.encoders
    )
    found = {}
    with on_disk(data) as ground:
        learnt = np.concatenate([ground.train, ground.val])
        codes_N = ground.codes_N.copy()
        codes_N[learnt] = plant(ground.pixels[learnt], ground.codes_N[learnt], percent / 100, seed)
        weights_N = audit_weights(ground, encoder, codes_N, seed)
        is_wrong = (codes_N != ground.codes_N)[ground.train]
        found["found"] = float(roc_auc_score(is_wrong, -weights_N[ground.train]))
        for name, weights in (("weights", weights_N), ("none", None)):
            augmentation = [Transform(**one) for one in CIFAR10_AUGMENT]
            given = ground.labelled(ground.train, augmentation, codes_N, weights)
            params = params_of(options.epochs, initialisation="always")
            taught = teach(encoder, ground, given, params, seed)
            found[f"{name}, last"] = ground.accuracy(taught.last, ground.test)
            found[f"{name}, chosen"] = ground.accuracy(taught.chosen, ground.test)
            found[f"{name}, epoch"] = taught.chosen_epoch
    say(f"{percent} % wrong, seed {seed}: {found}")
    return found


def recall(percent: int, seed: int, setting: Setting) -> dict[str, float]:
    asked = ("num_images", "num_val", "num_test", "epochs", "pretraining_epochs", "precision")
    key = {"label_noise": percent, "seed": seed}
    key |= {one: getattr(setting.options, one) for one in asked}
    return remembered(key, partial(measure_seed, percent, seed, setting))


def measure(setting: Setting, percent: int) -> Iterator[Row]:
    all_found = [recall(percent, seed, setting) for seed in setting.options.seeds]

    def values(name: str) -> list[float]:
        return [found[name] for found in all_found]

    yield make_row(
        f"{percent}: area under ROC of the weights, of wrong labels", values("found"), ""
    )
    for what, key in (("last epoch", "last"), ("epoch chosen on noisy val", "chosen")):
        ours, none = values(f"weights, {key}"), values(f"none, {key}")
        yield make_row(f"{percent}: {what}, weights against none", ours, "", none)
        gained = [100 * (one - other) for one, other in zip(ours, none, strict=True)]
        yield make_row(f"{percent}: {what}, gained by weights", gained, "points")
    chosen = values("weights, epoch"), values("none, epoch")
    yield make_row(f"{percent}: the epoch chosen, weights against none", chosen[0], "", chosen[1])


CELLS = tuple(
    Cell(str(percent), partial(measure, percent=percent), needs_cifar10=True)
    for percent in PERCENTS
)


def main(argv: Sequence[str]) -> None:
    parser = topic_parser("label_noise", __doc__, CELLS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num-images", type=int, default=10_000, help="to learn from")
    parser.add_argument("--num-val", type=int, default=2_000, help="to choose on")
    parser.add_argument("--num-test", type=int, default=10_000, help="to measure on")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--pretraining-epochs", type=int, default=15)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--encoders", type=Path, default=MEMORY, help="folder (%(default)s)")
    run_cells("label_noise", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
