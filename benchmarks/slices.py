"""Whether evaluation can be believed: `python -m benchmarks.slices`.

coverage   how often the 95 % interval of each metric covers the truth, in 1,000 draws of 500 rows
planted    mistakes put into the dark images of one class: how often that slice is found, and how
           often it is ranked first
nothing    mistakes that hang on nothing: how often no slice is reported, in 100 draws
taught     a classifier that learnt from wrong labels of one class's dark images, on test images
           whose labels are right: how often that slice is ranked first

Rows, measures and classes are of scikit-learn's digits. `cifar10-planted` and `cifar10-nothing` are
the same on test images of CIFAR-10, and need TILTH_CIFAR10.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import ROOT, Row, make_row
from tasks.artifacts.documents import load_yaml
from tasks.core.assessment import SliceParams
from tasks.core.inference import softmax
from tasks.core.measures import measure
from tasks.core.metrics import bootstrap_metrics, measure_predictions
from tasks.core.pixels import Picture
from tasks.core.weak_slices import WeakSlice, as_features, find_weak_slices

PARAMS = SliceParams.model_validate(load_yaml(ROOT / "params.yaml")["evaluate"]["slices"])
NUM_BINS, NUM_ROWS, ERROR, DARK = 15, 500, 0.1, 0.3


class Rows(NamedTuple):
    """Images with their class and what is measured of them."""

    images_NHWC: np.ndarray
    labels_N: np.ndarray
    traits: pd.DataFrame

    def take(self, rows: np.ndarray) -> "Rows":
        traits = self.traits.iloc[rows].reset_index(drop=True)
        return Rows(self.images_NHWC[rows], self.labels_N[rows], traits)

    def dark_of(self, label: int) -> np.ndarray:
        """The darkest three tenths of a class, bool (N,)."""
        light_N, inside_N = self.traits["brightness"].to_numpy(), self.labels_N == label
        return inside_N & (light_N <= np.quantile(light_N[inside_N], DARK))


@cache
def digits() -> Rows:
    bunch: Any = load_digits()
    images = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    return _measured(images[..., None], bunch.target)


@cache
def cifar10(folder: Path) -> Rows:
    paths = sorted((folder / "test").rglob("*.jpg"))
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    return _measured(images, pd.factorize(np.array([path.parent.name for path in paths]))[0])


def _measured(images_NHWC: np.ndarray, labels_N: np.ndarray) -> Rows:
    height, width, channels = images_NHWC.shape[1:]
    pictures = [
        (Picture(image[..., 0] if channels == 1 else image, "PNG", width, height), image.size)
        for image in images_NHWC
    ]
    return Rows(images_NHWC, labels_N, pd.DataFrame(measure(pictures))[PARAMS.columns])


def _find(rows: Rows, is_wrong_N: np.ndarray, seed: int) -> list[WeakSlice]:
    features = as_features(rows.traits, rows.labels_N.astype(str), PARAMS.least_rows)
    asked = (PARAMS.depth, PARAMS.least_rows, PARAMS.significance)
    return find_weak_slices(is_wrong_N, features, *asked, seed)


def _is(found: WeakSlice, planted_N: np.ndarray) -> bool:
    """Whether the two share more than half of their rows."""
    both, either = found.rows_N & planted_N, found.rows_N | planted_N
    return bool(both.sum() > 0.5 * either.sum())


def measure_coverage(setting: Setting) -> Iterator[Row]:
    """Logits of a model that is somewhat too sure, in ten classes."""

    def drawn(num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        logits_NK = 1.5 * rng.normal(size=(num_rows, 10))
        shares_N1K = softmax(logits_NK).cumsum(axis=1)
        labels_N = (rng.random((num_rows, 1)) > shares_N1K[:, :-1]).sum(axis=1)
        return labels_N, softmax(1.3 * logits_NK)

    truth = measure_predictions(*drawn(2_000_000, 0), NUM_BINS)
    covered: dict[str, list[float]] = {name: [] for name in truth}
    for trial in range(1, setting.options.num_trials + 1):
        found = bootstrap_metrics(*drawn(NUM_ROWS, trial), NUM_BINS, 1000, trial)
        for name, one in found.items():
            covered[name].append(float(one.low <= truth[name] <= one.high))
    for name, hits in covered.items():
        yield make_row(f"coverage: {name} of {NUM_ROWS} rows", float(np.mean(hits)), "", 0.95)


def _planted(name: str, rows: Rows, num_draws: int) -> Iterator[Row]:
    found, first = [], []
    for draw in range(num_draws):
        rng = np.random.default_rng(draw)
        drawn = rows.take(np.sort(rng.permutation(len(rows.labels_N))[:2000]))
        planted_N = drawn.dark_of(int(rng.integers(10)))
        is_wrong_N = (rng.random(len(planted_N)) < ERROR) | planted_N
        weak = _find(drawn, is_wrong_N, draw)
        found.append(any(_is(one, planted_N) for one in weak))
        first.append(bool(weak) and _is(weak[0], planted_N))
    yield make_row(f"{name}: found, of {num_draws} draws", float(np.sum(found)), "", num_draws)
    yield make_row(f"{name}: ranked first", float(np.sum(first)), "", num_draws)


def _nothing(name: str, rows: Rows, num_draws: int) -> Iterator[Row]:
    quiet = 0
    for draw in range(num_draws):
        rng = np.random.default_rng(draw)
        drawn = rows.take(np.sort(rng.permutation(len(rows.labels_N))[:2000]))
        quiet += not _find(drawn, rng.random(len(drawn.labels_N)) < ERROR, draw)
    yield make_row(f"{name}: nothing reported, of {num_draws} draws", quiet, "", num_draws)


def measure_planted(setting: Setting) -> Iterator[Row]:
    yield from _planted("planted", digits(), setting.options.num_draws)


def measure_nothing(setting: Setting) -> Iterator[Row]:
    yield from _nothing("nothing", digits(), setting.options.num_draws)


def measure_cifar10_planted(setting: Setting) -> Iterator[Row]:
    assert setting.cifar10 is not None
    yield from _planted("cifar10-planted", cifar10(setting.cifar10), setting.options.num_draws)


def measure_cifar10_nothing(setting: Setting) -> Iterator[Row]:
    assert setting.cifar10 is not None
    yield from _nothing("cifar10-nothing", cifar10(setting.cifar10), setting.options.num_draws)


def measure_taught(_: Setting) -> Iterator[Row]:
    """Half of the digits teach an RBF support vector machine, half are judged; once per class."""
    rows, first = digits(), 0
    for label in range(10):
        order = np.random.default_rng(label).permutation(len(rows.labels_N))
        learnt, judged = rows.take(order[::2]), rows.take(order[1::2])
        limit = judged.traits["brightness"][judged.dark_of(label)].max()
        is_dark_N = (learnt.traits["brightness"] <= limit).to_numpy() & (learnt.labels_N == label)
        taught_N = np.where(is_dark_N, (label + 1) % 10, learnt.labels_N)
        model = SVC(C=10.0)
        model.fit(learnt.images_NHWC.reshape(len(taught_N), -1), taught_N)
        said_N = model.predict(judged.images_NHWC.reshape(len(judged.labels_N), -1))
        weak = _find(judged, said_N != judged.labels_N, label)
        planted_N = judged.dark_of(label)
        is_first = bool(weak) and _is(weak[0], planted_N)
        said = weak[0].slice if weak else "nothing"
        say(f"dark {label} learnt as {(label + 1) % 10}: {said} comes first")
        first += is_first
    yield make_row("taught: ranked first, of 10 classes", first, "", 10)


CELLS = (
    Cell("coverage", measure_coverage),
    Cell("planted", measure_planted),
    Cell("nothing", measure_nothing),
    Cell("taught", measure_taught),
    Cell("cifar10-planted", measure_cifar10_planted, needs_cifar10=True),
    Cell("cifar10-nothing", measure_cifar10_nothing, needs_cifar10=True),
)


def main(argv: list[str]) -> None:
    parser: argparse.ArgumentParser = topic_parser("slices", __doc__, CELLS)
    parser.add_argument("--num-trials", type=int, default=1000, help="of coverage")
    parser.add_argument("--num-draws", type=int, default=100, help="of planted and nothing")
    run_cells("slices", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
