"""How well wrong labels are found: `python -m benchmarks.labels`.

digits-5, digits-10, digits-40        scikit-learn's digits, that per cent of labels made wrong
cifar10-5, cifar10-10, cifar10-40     the same on 10,000 train images of CIFAR-10

Each class is mistaken for the one whose mean image is nearest. Measured is the area under
precision-recall of the ranking of all rows, against two others in the same run: an RBF support
vector machine on pixels (on CIFAR-10 on their first 200 principal components), and a net taught
from scratch in the time that pretraining, embedding and judging took together. Both give
out-of-fold probabilities, ranked by cleanlab's self-confidence, and once more by its margin, which
is how ours are ranked. Time is the processor's, so that what else the machine does falls on
neither. CIFAR-10 needs TILTH_CIFAR10.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

from benchmarks import encoders
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.pictures import NUM_CLASSES, Pictures, cifar10, digits, new_encoder, plant
from benchmarks.record import ROOT, Row, make_row
from benchmarks.rivals import CPU, NUM_FOLDS, net_probabilities, svm_probabilities
from tasks.artifacts.documents import load_yaml
from tasks.core.inference import Place
from tasks.core.label_quality import choose_judge, out_of_fold_logits, score_labels
from tasks.core.looks import Look, look_at

METHODS = {"": "self_confidence", ", all by margin": "normalized_margin"}


class Embedded(NamedTuple):
    """What each look at all images gives, and the processor's seconds to learn and to look."""

    seen: Mapping[Look, np.ndarray]
    seconds: float


_EMBEDDED: dict[tuple[int, int], Embedded] = {}


def embed(pictures: Pictures, seed: int) -> Embedded:
    """What pretraining without labels gives, and its seconds; done once per seed."""
    key = (id(pictures.images_NHWC), seed)
    if key not in _EMBEDDED:
        say(f"pretraining on {len(pictures.labels_N):,} images, seed {seed}")
        _EMBEDDED[key] = _embed(pictures, seed)
    return _EMBEDDED[key]


def _embed(pictures: Pictures, seed: int) -> Embedded:
    started = time.process_time()
    encoder, images_NHWC = new_encoder(pictures, seed), pictures.images_NHWC
    encoders.teach(encoder, images_NHWC, pictures.pretraining, seed, pictures.precision)
    looks = load_yaml(ROOT / "params.yaml")["audit"]["looks"]
    place = Place(CPU, pictures.precision)
    seen = look_at(encoder, looks, images_NHWC, len(images_NHWC), place)
    return Embedded(seen, time.process_time() - started)


def our_scores(seen: Mapping[Look, np.ndarray], labels_N: np.ndarray, seed: int) -> np.ndarray:
    """As the audit scores its train rows, with the params of the project."""
    section = load_yaml(ROOT / "params.yaml")["audit"]
    logits_by_look = {
        look: out_of_fold_logits(
            seen[look], labels_N, np.arange(len(labels_N)), NUM_CLASSES, section["penalties"],
            NUM_FOLDS, section["num_landmarks"], seed,
        )
        for look in section["looks"]
    }  # fmt: skip
    judge, logits_NK = choose_judge(logits_by_look, labels_N, section["penalties"])
    say(str(judge))
    return score_labels(labels_N, judge.probabilities(logits_NK)).score_N


class Found(NamedTuple):
    """Of one seed: areas of ours, and by method of the others; seconds of ours and of the net."""

    ours: float
    svm: dict[str, float]
    net: dict[str, float]
    seconds: float
    net_seconds: float


def find(pictures: Pictures, fraction: float, seed: int) -> Found:
    labels_N = plant(pictures.images_NHWC, pictures.labels_N, fraction, seed)
    is_wrong_N = labels_N != pictures.labels_N
    embedded = embed(pictures, seed)
    started = time.process_time()
    scores_N = our_scores(embedded.seen, labels_N, seed)
    seconds = embedded.seconds + time.process_time() - started
    net_NK, net_seconds = net_probabilities(pictures, labels_N, seed, seconds)
    say("a support vector machine on pixels")
    svm_NK = svm_probabilities(pictures, labels_N, seed)
    svm, net = (
        {
            name: area(is_wrong_N, get_label_quality_scores(labels_N, one_NK, method=method))
            for name, method in METHODS.items()
        }
        for one_NK in (svm_NK, net_NK)
    )
    found = Found(area(is_wrong_N, scores_N), svm, net, seconds, net_seconds)
    say(f"{100 * fraction:g} % wrong, seed {seed}: {found}")
    return found


def area(is_wrong_N: np.ndarray, scores_N: np.ndarray) -> float:
    """Under the curve of precision over recall, lowest scores first."""
    return float(average_precision_score(is_wrong_N, -np.asarray(scores_N)))


def measure(
    setting: Setting, name: str, fraction: float, load: Callable[[Setting], Pictures]
) -> Iterator[Row]:
    pictures = load(setting)
    all_found = [find(pictures, fraction, seed) for seed in setting.options.seeds]
    ours = [found.ours for found in all_found]
    for suffix in METHODS:
        svm, net = ([getattr(found, one)[suffix] for found in all_found] for one in ("svm", "net"))
        yield make_row(f"{name}: area, against pixels + SVM{suffix}", ours, "", svm)
        yield make_row(f"{name}: area, against a net from scratch{suffix}", ours, "", net)
    seconds, net_seconds = ([getattr(found, one) for found in all_found]
                            for one in ("seconds", "net_seconds"))  # fmt: skip
    yield make_row(f"{name}: time, against the net from scratch", seconds, "s", net_seconds)


def _digits(setting: Setting) -> Pictures:
    return digits(setting.options.precision)


def _cifar10(setting: Setting) -> Pictures:
    assert setting.cifar10 is not None
    options = setting.options
    return cifar10(setting.cifar10, options.num_images, options.epochs, options.precision)


def _cells() -> Iterator[Cell]:
    for data, load in (("digits", _digits), ("cifar10", _cifar10)):
        for percent in (5, 10, 40):
            name = f"{data}-{percent}"
            parts = partial(measure, name=name, fraction=percent / 100, load=load)
            yield Cell(name, parts, needs_cifar10=data == "cifar10")


CELLS = tuple(_cells())


def main(argv: Sequence[str]) -> None:
    parser = topic_parser("labels", __doc__, CELLS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num-images", type=int, default=10_000, help="of CIFAR-10")
    parser.add_argument("--epochs", type=int, default=15, help="of pretraining on CIFAR-10")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    run_cells("labels", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
