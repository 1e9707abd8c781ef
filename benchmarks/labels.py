"""How well wrong labels are found: `python -m benchmarks.labels`.

digits-5, digits-10, digits-40        scikit-learn's digits, that per cent of labels made wrong
cifar10-5, cifar10-10, cifar10-40     the same on 10,000 train images of CIFAR-10

Each class is mistaken for the one whose mean image is nearest. Measured is the area under
precision-recall of the ranking of all rows, against two others in the same run: an RBF support
vector machine on pixels (on CIFAR-10 on their first 200 principal components), and a net taught
from scratch in the time that pretraining, embedding and judging took together. Both give
out-of-fold probabilities, ranked by cleanlab's self-confidence, and once more by its margin, which
is how ours are ranked. CIFAR-10 needs TILTH_CIFAR10.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from cleanlab.rank import get_label_quality_scores
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import ROOT, Row, make_row
from benchmarks.workspace import temporary_folder
from tasks import pretrain
from tasks.artifacts.documents import load_yaml
from tasks.artifacts.images import Images, save_pixels
from tasks.core.batches import num_batches, shuffled_batches
from tasks.core.encoder import Classifier, Encoder
from tasks.core.inference import at_precision, run_net, softmax
from tasks.core.label_quality import choose_judge, out_of_fold_logits, score_labels
from tasks.core.policy import Transform, augment_batch, build_policy
from tasks.core.schedule import make_optimisation

NUM_FOLDS = 5
NUM_CLASSES = 10
NUM_COMPONENTS = 200
DIGITS_SIZE = 16
CPU = torch.device("cpu")
METHODS = {"": "self_confidence", ", all by margin": "normalized_margin"}
# The recipe for which the project's anchors were measured.
CIFAR10_PRETRAIN: dict[str, Any] = {
    "architecture": {"width": 48, "depth": 1, "num_stages": 3, "activation": "relu"},
    "views": [
        {"name": "RandomResizedCrop", "arguments": {"scale": [0.2, 1.0]}},
        {"name": "HorizontalFlip", "arguments": {}},
        {
            "name": "ColorJitter",
            "arguments": {
                "brightness": [0.6, 1.4],
                "contrast": [0.6, 1.4],
                "saturation": [0.6, 1.4],
                "hue": [-0.1, 0.1],
                "p": 0.8,
            },
        },
        {"name": "ToGray", "arguments": {"p": 0.2}},
    ],
}
CIFAR10_AUGMENT = [
    {"name": "PadIfNeeded", "arguments": {"min_height": 40, "min_width": 40}},
    {"name": "RandomCrop", "arguments": {"height": 32, "width": 32}},
    {"name": "HorizontalFlip", "arguments": {}},
]


class Pictures(NamedTuple):
    """Images, their true labels, and how nets are taught on them."""

    images_NHWC: np.ndarray
    labels_N: np.ndarray
    pretraining: pretrain.Params
    augmentation: list[Transform]
    precision: str

    @property
    def pixels_ND(self) -> np.ndarray:
        return self.images_NHWC.reshape(len(self.images_NHWC), -1) / np.float32(255)


class Embedded(NamedTuple):
    embeddings_ND: np.ndarray
    seconds: float


@cache
def digits(precision: str) -> Pictures:
    bunch: Any = load_digits()
    levels = (bunch.images * 255 / 16).round().astype(np.uint8)
    size = (DIGITS_SIZE, DIGITS_SIZE)
    images = [np.asarray(Image.fromarray(one).resize(size)) for one in levels]
    params = load_yaml(ROOT / "params.yaml")
    return Pictures(
        images_NHWC=np.stack(images)[..., None],
        labels_N=bunch.target,
        pretraining=pretrain.Params.model_validate(params["pretrain"]),
        augmentation=[Transform(**one) for one in params["augment"]["transforms"]],
        precision=precision,
    )


@cache
def cifar10(folder: Path, num_images: int, epochs: int, precision: str) -> Pictures:
    images, labels = [], []
    for label, place in enumerate(sorted((folder / "train").iterdir())):
        for path in sorted(place.iterdir())[: num_images // NUM_CLASSES]:
            images.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(label)
    section = load_yaml(ROOT / "params.yaml")["pretrain"] | CIFAR10_PRETRAIN
    return Pictures(
        images_NHWC=np.stack(images),
        labels_N=np.array(labels),
        pretraining=pretrain.Params.model_validate(section | {"epochs": epochs}),
        augmentation=[Transform(**one) for one in CIFAR10_AUGMENT],
        precision=precision,
    )


def nearest_classes(images_NHWC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Of each class the other one whose mean image is nearest, (K,)."""
    flat_ND = images_NHWC.reshape(len(images_NHWC), -1).astype(float)
    means = np.stack([flat_ND[labels_N == label].mean(axis=0) for label in np.unique(labels_N)])
    distances = ((means[:, None] - means[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)


def plant(pictures: Pictures, fraction: float, seed: int) -> np.ndarray:
    """Labels of which `fraction` are those of their class's nearest class, (N,)."""
    wrong = np.random.default_rng([seed, 1]).permutation(len(pictures.labels_N))
    wrong = wrong[: round(fraction * len(wrong))]
    nearest = nearest_classes(pictures.images_NHWC, pictures.labels_N)
    labels = pictures.labels_N.copy()
    labels[wrong] = nearest[labels[wrong]]
    return labels


_EMBEDDED: dict[tuple[int, int], Embedded] = {}


def embed(pictures: Pictures, seed: int) -> Embedded:
    """What pretraining without labels gives, and its seconds; done once per seed."""
    key = (id(pictures.images_NHWC), seed)
    if key not in _EMBEDDED:
        say(f"pretraining on {len(pictures.labels_N):,} images, seed {seed}")
        _EMBEDDED[key] = _embed(pictures, seed)
    return _EMBEDDED[key]


def _embed(pictures: Pictures, seed: int) -> Embedded:
    rows = np.arange(len(pictures.labels_N))
    # Labels are shown to nobody; the yardstick wants some.
    few, nothing = rows[:64], np.zeros(64, dtype=int)
    yardstick = pretrain.Yardstick(few, nothing, few, nothing)
    with temporary_folder() as folder:
        save_pixels(pictures.images_NHWC, folder / "images.npy")
        pixels = Images(folder)
        started = time.perf_counter()
        encoder = new_encoder(pictures, seed)
        params, precision = pictures.pretraining, pictures.precision
        for _ in pretrain.pretrain(
            encoder, pixels, rows, yardstick, params, seed, precision, "cpu"
        ):
            pass
        embeddings_ND = run_net(encoder, pixels, rows, CPU, precision)
        return Embedded(embeddings_ND, time.perf_counter() - started)


def new_encoder(pictures: Pictures, seed: int) -> Encoder:
    torch.manual_seed(seed)
    levels = pictures.images_NHWC / np.float32(255)
    mean, std = levels.mean(axis=(0, 1, 2)), levels.std(axis=(0, 1, 2))
    return Encoder(pictures.pretraining.architecture, mean.tolist(), std.tolist())


def our_scores(embeddings_ND: np.ndarray, labels_N: np.ndarray, seed: int) -> np.ndarray:
    """As the audit scores its train rows, with the params of the project."""
    section = load_yaml(ROOT / "params.yaml")["audit"]
    logits_PNK = out_of_fold_logits(
        embeddings_ND, labels_N, np.arange(len(labels_N)), NUM_CLASSES, section["penalties"],
        NUM_FOLDS, section["num_landmarks"], seed,
    )  # fmt: skip
    judge, logits_NK = choose_judge(logits_PNK, labels_N, section["penalties"])
    return score_labels(labels_N, judge.probabilities(logits_NK)).score_N


def folds_of(seed: int) -> StratifiedKFold:
    return StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)


def svm_probabilities(pictures: Pictures, labels_N: np.ndarray, seed: int) -> np.ndarray:
    """Out-of-fold probabilities (N, K) of a support vector machine on pixels."""
    machine: Any = SVC(probability=True, random_state=seed)
    if pictures.pixels_ND.shape[1] > 1000:
        machine = make_pipeline(PCA(NUM_COMPONENTS, random_state=seed), machine)
    return cross_val_predict(
        machine, pictures.pixels_ND, labels_N, cv=folds_of(seed), method="predict_proba"
    )


def net_probabilities(
    pictures: Pictures, labels_N: np.ndarray, seed: int, seconds: float
) -> tuple[np.ndarray, float]:
    """Out-of-fold probabilities (N, K) of nets taught from scratch in `seconds` together, and the
    seconds they took: as many epochs as one fold's share has room for, at least one."""
    probabilities_NK = np.zeros((len(labels_N), NUM_CLASSES))
    rows = np.arange(len(labels_N))
    started = time.perf_counter()
    teach(pictures, labels_N, rows[::NUM_FOLDS], seed, 1)
    # The trial epoch was on a fifth of the rows, where a fold learns from four.
    epoch_seconds = (time.perf_counter() - started) * (NUM_FOLDS - 1)
    epochs = max(1, round(seconds / NUM_FOLDS / epoch_seconds))
    say(f"a net from scratch, {epochs} epochs in each fold")
    started = time.perf_counter()
    for learnt, judged in folds_of(seed).split(rows, labels_N):
        net = teach(pictures, labels_N, learnt, seed, epochs)
        logits_MK = run_net(net, pictures.images_NHWC, judged, CPU, pictures.precision)
        probabilities_NK[judged] = softmax(logits_MK.astype(float))
    return probabilities_NK, time.perf_counter() - started


def teach(
    pictures: Pictures, labels_N: np.ndarray, rows: np.ndarray, seed: int, epochs: int
) -> Classifier:
    """A classifier of the same architecture, taught by given labels and augmented images."""
    params = pictures.pretraining
    encoder = new_encoder(pictures, seed)
    net = Classifier(encoder, params.architecture.embedding_width, NUM_CLASSES, dropout=0.0)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch_size = 64
    num_steps = epochs * num_batches(len(rows), batch_size)
    optimiser, schedule = make_optimisation(
        net.parameters(), params.learning_rate, 0.05, num_steps, num_steps // 10
    )
    policy = build_policy(pictures.augmentation, pictures.images_NHWC.shape[1])
    targets_N = torch.from_numpy(labels_N)
    net.train()
    for epoch in range(epochs):
        for batch in shuffled_batches(rows, batch_size, seed, epoch):
            images = augment_batch(
                policy, pictures.images_NHWC[batch.rows], seed, epoch, batch.number
            )
            with at_precision(pictures.precision, CPU):
                logits_NK = net(torch.from_numpy(images))
            loss = torch.nn.functional.cross_entropy(logits_NK.float(), targets_N[batch.rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return net


class Found(NamedTuple):
    """Of one seed: areas of ours, and by method of the others; seconds of ours and of the net."""

    ours: float
    svm: dict[str, float]
    net: dict[str, float]
    seconds: float
    net_seconds: float


def find(pictures: Pictures, fraction: float, seed: int) -> Found:
    labels_N = plant(pictures, fraction, seed)
    is_wrong_N = labels_N != pictures.labels_N
    embedded = embed(pictures, seed)
    started = time.perf_counter()
    scores_N = our_scores(embedded.embeddings_ND, labels_N, seed)
    seconds = embedded.seconds + time.perf_counter() - started
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
