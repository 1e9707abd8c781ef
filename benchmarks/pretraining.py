"""What learning without labels brings: `python -m benchmarks.pretraining`.

scratch       the same net with fresh weights, at the best of its own learning rates
simclr, moco, byol, simsiam, barlow_twins, vicreg
              10,000 images of CIFAR-10, 15 epochs, 0.76 M parameters: kNN, linear probes on 100,
              1,000 and 10,000 labels, all layers tuned on 100 and 1,000 labels
time          of an epoch of each of them, one method after the other; of all 15 of SimCLR
adoption      ten planted encoders: good ones, collapsed ones, some that learnt nothing, some that
              learnt other images; how many are accepted and refused rightly

Needs TILTH_CIFAR10. All accuracies are on test images. Methods share the batches, optimiser and
learning rate that were chosen for SimCLR. Penalties of probes and learning rates of tuning are
chosen on 2,000 other train images, for each method by itself, rates on the first seed.
Encoders that learnt other images are rightly adopted if they gain, beyond the interval, on test
images too. What is done of a cell is remembered in .cache/benchmarks, by commit and seed.
"""

import copy
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks import encoders
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.few_labels import (
    RATES,
    Data,
    Part,
    accuracy,
    best_linear,
    embed,
    load_cifar10,
    tune,
)
from benchmarks.memory import remembered
from benchmarks.pictures import CIFAR10_PRETRAIN
from benchmarks.planted import judge_planted
from benchmarks.record import ROOT, Row, make_row
from tasks import pretrain
from tasks.artifacts.documents import load_yaml
from tasks.core.architecture import Convolutional
from tasks.core.embeddings import knn_accuracy
from tasks.core.encoder import Encoder

NARROW = {"projector_width": 128, "projection_width": 64}
WIDE = {"projector_width": 256, "projection_width": 256}
METHODS: dict[str, dict[str, Any]] = {
    "simclr": {"temperature": 0.2, **NARROW},
    "moco": {"temperature": 0.2, "queue_length": 4096, "momentum": 0.99, **NARROW},
    "byol": {"predictor_width": 256, "momentum": 0.99, **WIDE},
    "simsiam": {"predictor_width": 64, **WIDE},
    "barlow_twins": {"redundancy_weight": 0.005, **WIDE},
    "vicreg": {
        "invariance_weight": 25.0,
        "variance_weight": 25.0,
        "covariance_weight": 1.0,
        **WIDE,
    },
}
BATCH_SIZE, LEARNING_RATE = 64, 0.002
FEW, TUNED = (100, 1_000, 10_000), (100, 1_000)


def load(setting: Setting) -> Data:
    options = setting.options
    assert setting.cifar10 is not None
    counts = (options.num_images, options.num_val, options.num_test)
    return load_cifar10(setting.cifar10, counts, options.precision)


def params_of(name: str, epochs: int) -> pretrain.Params:
    section = load_yaml(ROOT / "params.yaml")["pretrain"] | CIFAR10_PRETRAIN
    recipe = {
        "method": {"name": name, **METHODS[name]},
        "epochs": epochs,
        "schedule": {"name": "cosine", "warmup_epochs": min(1, epochs)},
        "batch_size": BATCH_SIZE,
        "optimiser": section["optimiser"] | {"learning_rate": LEARNING_RATE},
    }
    return pretrain.Params.model_validate(section | recipe)


def new_encoder(part: Part, seed: int) -> Encoder:
    architecture = params_of("simclr", 1).architecture
    assert isinstance(architecture, Convolutional)
    return encoders.new_encoder(part.images_NHWC, architecture, seed)


def teach(encoder: Encoder, part: Part, name: str, epochs: int, seed: int, precision: str) -> None:
    """Without labels, in place, as the stage does it."""
    encoders.teach(encoder, part.images_NHWC, params_of(name, epochs), seed, precision)


def measure_encoder(encoder: Encoder, data: Data, seed: int) -> dict[str, float]:
    train_ND, test_MD = (embed(encoder, one, data.precision) for one in (data.train, data.test))
    found = {"kNN": knn_accuracy(train_ND, data.train.labels_N, test_MD, data.test.labels_N)}
    for num_labels in FEW:
        head = best_linear(encoder, data.few(num_labels, seed), data)
        score = head.accuracy(test_MD, data.test.labels_N)
        found[f"linear, {num_labels:,} labels"] = score
    return found


def measure_tuned(
    encoder: Encoder, is_taught: bool, data: Data, rates: Sequence[float], num_labels: int,
    num_steps: int, seed: int,
) -> dict[str, float]:  # fmt: skip
    """The rate that is best on val, and what it gives on test."""
    few, best = data.few(num_labels, seed), (-1.0, 0.0, 0.0)
    head = best_linear(encoder, few, data) if is_taught else None
    for rate in rates:
        net = tune(copy.deepcopy(encoder), head, few, rate, num_steps, seed, data.precision)
        on_val, on_test = (accuracy(net, one, data.precision) for one in (data.val, data.test))
        say(f"{num_labels} labels, rate {rate}: {on_val:.4f} on val")
        best = max(best, (on_val, rate, on_test))
    return {"rate": best[1], "test": best[2]}


def measure_seed(name: str, seed: int, setting: Setting) -> dict[str, float]:
    """All accuracies of one method (`scratch`: of fresh weights) and one seed."""
    options, data = setting.options, load(setting)
    encoder = new_encoder(data.train, seed)
    if name != "scratch":
        teach(encoder, data.train, name, options.epochs, seed, data.precision)
    found = measure_encoder(encoder, data, seed)
    first = options.seeds[0]
    known = {} if seed == first else recall(name, first, setting)
    for num_labels in TUNED:
        key = f"rate, {num_labels:,} labels"
        rates = [known[key]] if key in known else RATES
        tuned = measure_tuned(
            encoder, name != "scratch", data, rates, num_labels, options.num_steps, seed
        )
        found[key], found[f"fine-tuned, {num_labels:,} labels"] = tuned["rate"], tuned["test"]
    return found


def recall(name: str, seed: int, setting: Setting) -> dict[str, float]:
    options = setting.options
    asked = ("num_images", "num_val", "num_test", "epochs", "num_steps", "precision")
    key = {
        "name": name,
        "seed": seed,
        "first": options.seeds[0],
        **{one: getattr(options, one) for one in asked},
    }
    return remembered(key, partial(measure_seed, name, seed, setting))


def measure_method(setting: Setting, name: str) -> Iterator[Row]:
    seeds = setting.options.seeds
    ours = [recall(name, seed, setting) for seed in seeds]
    fresh = [] if name == "scratch" else [recall("scratch", seed, setting) for seed in seeds]
    shown = ["kNN", *(f"linear, {one:,} labels" for one in FEW)]
    shown += [f"fine-tuned, {one:,} labels" for one in TUNED]
    against = ", against scratch" if fresh else ""
    for what in shown:
        beside = [one[what] for one in fresh] if fresh else None
        yield make_row(f"{name}: {what}{against}", [one[what] for one in ours], "", beside)
    for num_labels in TUNED:
        rate = ours[0][f"rate, {num_labels:,} labels"]
        yield make_row(f"{name}: rate chosen on val, {num_labels:,} labels", rate, "")


def measure_time(setting: Setting) -> Iterator[Row]:
    options, data = setting.options, load(setting)

    def seconds(name: str, epochs: int, seed: int) -> float:
        encoder = new_encoder(data.train, seed)
        started = time.perf_counter()
        teach(encoder, data.train, name, epochs, seed, data.precision)
        return time.perf_counter() - started

    # In turn, so that what else the machine does delays all of them alike.
    epochs = [{name: seconds(name, 1, seed) for name in METHODS} for seed in options.seeds]
    default = [one["simclr"] for one in epochs]
    for name in METHODS:
        values = [one[name] for one in epochs]
        yield make_row(f"time: an epoch of {name}, against simclr", values, "s", default)
    whole = [seconds("simclr", options.epochs, seed) for seed in options.seeds]
    yield make_row(f"time: {options.epochs} epochs of simclr", whole, "s")


def measure_adoption(setting: Setting) -> Iterator[Row]:
    options, data = setting.options, load(setting)

    def learnt(part: Part, seed: int) -> Encoder:
        encoder = new_encoder(data.train, seed)
        teach(encoder, part, "simclr", options.planted_epochs, seed, data.precision)
        return encoder

    right, total = 0, 0
    for case in judge_planted(data, partial(new_encoder, data.train), learnt):
        say(f"{case.name}: gain {case.adoption.gain:+.3f}, on test {case.truth:+.3f}")
        right, total = right + case.is_right, total + 1
        yield make_row(f"adoption: {case.name}: gain of the probe on val", case.adoption.gain, "")
        yield make_row(f"adoption: {case.name}: adopted", case.adoption.adopted, "")
    yield make_row("adoption: judged rightly, of all planted", right, "", total)


CELLS = (
    *(
        Cell(name, partial(measure_method, name=name), needs_cifar10=True)
        for name in ("scratch", *METHODS)
    ),
    Cell("time", measure_time, needs_cifar10=True),
    Cell("adoption", measure_adoption, needs_cifar10=True),
)


def main(argv: Sequence[str]) -> None:
    parser = topic_parser("pretraining", __doc__, CELLS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num-images", type=int, default=10_000, help="to learn from")
    parser.add_argument("--num-val", type=int, default=2_000, help="to choose on")
    parser.add_argument("--num-test", type=int, default=10_000, help="to measure on")
    parser.add_argument("--epochs", type=int, default=15, help="of pretraining")
    parser.add_argument("--planted-epochs", type=int, default=5, help="of encoders to be judged")
    parser.add_argument("--num-steps", type=int, default=1_000, help="batches of tuning")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    run_cells("pretraining", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
