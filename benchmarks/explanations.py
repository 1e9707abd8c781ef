"""Whether explanations tell what nets go by: `python -m benchmarks.explanations`.

stage        the stage on the default digits: its seconds, and what imitates the net
digits       nets taught digits: areas under each method's deletion and insertion curves beside
             those of random orders, and how far its maps are still those of a broken net
shortcut     digits in colour, with a patch on the images of one class, each time elsewhere: in how
             many of them each method points at it (at least 0.9), beside how often it does with a
             net that was taught without; and how far the net goes by the patch
cifar10      the checks on photographs (needs TILTH_CIFAR10)
planted      the patch on photographs (needs TILTH_CIFAR10)

A method points where the sum of its map over a window of the patch's size is highest: at the patch,
if the middle of that window lies in it. Areas and correlations are those of the stage, with the
params that params.yaml has.
"""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch import nn

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.few_labels import CPU, Part, accuracy, tune
from benchmarks.pictures import Pictures, cifar10, digits, new_encoder
from benchmarks.record import ROOT, Row, make_row
from tasks.artifacts.documents import load_yaml
from tasks.core.attribution_checks import Subject
from tasks.core.attributions import attribute
from tasks.core.encoder import Classifier
from tasks.core.inference import run_net
from tasks.explain import Params
from tasks.explanations import check_methods

PLANTED_CLASS, COLOUR = 3, (255, 0, 200)
TEST_FRACTION, RATE = 0.25, 0.003
EPOCHS = 15  # of a pretraining that no net here goes through


class Taught(NamedTuple):
    """A net, and images that it was not taught."""

    net: Classifier
    pictures: Pictures
    test: Part


def load_params() -> Params:
    return Params.model_validate(load_yaml(ROOT / "params.yaml")["explain"])


def in_colour(pictures: Pictures) -> Pictures:
    return pictures._replace(images_NHWC=pictures.images_NHWC.repeat(3, axis=3))


def teach(pictures: Pictures, num_steps: int, seed: int) -> Taught:
    order = np.random.default_rng(seed).permutation(len(pictures.labels_N))
    num_test = round(TEST_FRACTION * len(order))
    every = Part(pictures.images_NHWC, pictures.labels_N)
    train, test = every.take(order[num_test:]), every.take(order[:num_test])
    encoder = new_encoder(pictures, seed)
    net = tune(encoder, None, train, RATE, num_steps, seed, pictures.precision)
    return Taught(net.eval(), pictures, test)


def checked(taught: Taught, seed: int) -> dict[str, Any]:
    """The document of the stage's checks."""
    params, part = load_params(), taught.test.take(np.arange(load_params().checks.num_images))
    said_N = say_classes(taught.net, part.images_NHWC)
    nothing_C = taught.pictures.images_NHWC.mean(axis=(0, 1, 2))
    subject = Subject(
        taught.net, part.images_NHWC, said_N, nothing_C, 1.0, params.checks.cells_across, CPU
    )
    return check_methods(params.methods, subject, params.checks, seed)


def say_classes(net: nn.Module, images_NHWC: np.ndarray) -> np.ndarray:
    rows = np.arange(len(images_NHWC))
    return run_net(net, images_NHWC, rows, CPU, "float32").argmax(axis=1).astype(np.int64)


def checks_rows(cell: str, pictures: Pictures, setting: Setting) -> Iterator[Row]:
    documents, scores = [], []
    for seed in range(setting.options.num_seeds):
        say(f"{cell}, seed {seed}")
        taught = teach(pictures, setting.options.num_steps, seed)
        scores.append(accuracy(taught.net, taught.test, pictures.precision))
        documents.append(checked(taught, seed))
    yield make_row(f"{cell}: accuracy of the nets", scores, "")
    for name in documents[0]["methods"]:
        found = [document["methods"][name] for document in documents]
        for check in ("deletion", "insertion"):
            areas, random = ([one[check][key] for one in found] for key in ("area", "random_area"))
            yield make_row(f"{cell}: {name}: {check} area, against random", areas, "", random)
        ruins = [one["randomisation"]["correlations"][-1] for one in found]
        yield make_row(f"{cell}: {name}: rank correlation with maps of a broken net", ruins, "")
        passed = sum(one["passed"] for one in found)
        yield make_row(f"{cell}: {name}: passes, of the seeds", passed, "", len(found))


class Patched(NamedTuple):
    """Pictures with a patch on each image of one class, its upper left pixel down and across."""

    pictures: Pictures
    corners_N2: np.ndarray
    side: int


def patch(pictures: Pictures, seed: int) -> Patched:
    images_NHWC = pictures.images_NHWC.copy()
    side = images_NHWC.shape[1] // 4
    corners_N2 = np.random.default_rng([seed, 2]).integers(
        0, images_NHWC.shape[1] - side + 1, (len(images_NHWC), 2)
    )
    for row in np.flatnonzero(pictures.labels_N == PLANTED_CLASS):
        down, across = corners_N2[row]
        images_NHWC[row, down : down + side, across : across + side] = COLOUR
    return Patched(pictures._replace(images_NHWC=images_NHWC), corners_N2, side)


def pointed_at(maps_NHW: np.ndarray, corners_N2: np.ndarray, side: int) -> float:
    """The share of images whose patch is where the map is strongest."""
    hits = []
    for map_HW, corner_2 in zip(maps_NHW, corners_N2, strict=True):
        # Windows that end beyond the image count what is within it.
        sums_HW = cv2.boxFilter(
            map_HW, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        place_2 = np.array(np.unravel_index(sums_HW.argmax(), sums_HW.shape))
        hits.append(((place_2 >= corner_2) & (place_2 < corner_2 + side)).all())
    return float(np.mean(hits))


def shortcut_rows(cell: str, pictures: Pictures, setting: Setting) -> Iterator[Row]:
    shares: dict[str, list[float]] = {}
    beside: dict[str, list[float]] = {}
    with_it, without = [], []
    for seed in range(setting.options.num_seeds):
        say(f"{cell}, seed {seed}")
        patched = patch(pictures, seed)
        order = np.random.default_rng(seed).permutation(len(pictures.labels_N))
        test = order[: round(TEST_FRACTION * len(order))]
        rows = test[pictures.labels_N[test] == PLANTED_CLASS][: setting.options.num_pointed]
        images_NHWC, corners_N2 = patched.pictures.images_NHWC[rows], patched.corners_N2[rows]
        fooled = teach(patched.pictures, setting.options.num_steps, seed).net
        sound = teach(pictures, setting.options.num_steps, seed).net
        with_it.append(float((say_classes(fooled, images_NHWC) == PLANTED_CLASS).mean()))
        bare_NHWC = pictures.images_NHWC[rows]
        without.append(float((say_classes(fooled, bare_NHWC) == PLANTED_CLASS).mean()))
        nothing_C = pictures.images_NHWC.mean(axis=(0, 1, 2))
        classes_N = np.full(len(rows), PLANTED_CLASS)
        for method in load_params().methods:
            for net, found in ((fooled, shares), (sound, beside)):
                maps_NHW = attribute(method, net, images_NHWC, classes_N, nothing_C, seed)
                share = pointed_at(maps_NHW, corners_N2, patched.side)
                found.setdefault(method.name, []).append(share)
    yield make_row(f"{cell}: said right with the patch, against without it", with_it, "", without)
    for name, values in shares.items():
        what = f"{cell}: {name}: patch pointed at, against a net taught without"
        yield make_row(what, values, "", beside[name])


def photographs(setting: Setting) -> Pictures:
    assert setting.cifar10 is not None
    return cifar10(setting.cifar10, setting.options.num_images, EPOCHS, setting.options.precision)


def measure_stage(setting: Setting) -> Iterator[Row]:
    root = setting.clones.new()
    say("stage: everything up to it")
    workspace.repro(root, "explain")
    yield make_row("stage: explain on digits", workspace.stage_seconds(root, "explain"), "s")
    size = (root / "reports" / "explain.html").stat().st_size
    yield make_row("stage: its page", size / 1e6, "MB")
    told = workspace.load_metrics(root, "explain")
    passed = sum(one.get("passed", False) for one in told["methods"].values())
    yield make_row("stage: methods that pass, of all", passed, "", len(told["methods"]))
    imitation = told["imitation"]
    most = imitation["most_said_fraction"]
    for name in ("said", "tree", "list"):
        what = f"stage: fidelity of the {'forest' if name == 'said' else name}"
        yield make_row(f"{what}, against one class", imitation[name]["fidelity"], "", most)


def measure_digits(setting: Setting) -> Iterator[Row]:
    yield from checks_rows("digits", digits(setting.options.precision), setting)


def measure_shortcut(setting: Setting) -> Iterator[Row]:
    yield from shortcut_rows("shortcut", in_colour(digits(setting.options.precision)), setting)


def measure_cifar10(setting: Setting) -> Iterator[Row]:
    yield from checks_rows("cifar10", photographs(setting), setting)


def measure_planted(setting: Setting) -> Iterator[Row]:
    yield from shortcut_rows("planted", photographs(setting), setting)


CELLS = (
    Cell("stage", measure_stage),
    Cell("digits", measure_digits),
    Cell("shortcut", measure_shortcut),
    Cell("cifar10", measure_cifar10, needs_cifar10=True),
    Cell("planted", measure_planted, needs_cifar10=True),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("explanations", __doc__, CELLS)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--num-steps", type=int, default=400, help="batches that teach a net")
    parser.add_argument("--num-images", type=int, default=10_000, help="of CIFAR-10")
    parser.add_argument("--num-pointed", type=int, default=50, help="images with a patch")
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16"))
    run_cells("explanations", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
