"""What exported variants cost and lose, on CIFAR-10: `python -m benchmarks.export`.

parity        each ONNX file beside the net on every test image: differences of logits, agreement,
              accuracy, bytes, floating-point operations
latency       ONNX Runtime: p50, p95, p99 of a batch of 1 and of 32 images, on one thread and on two
memory        of a process that has loaded a variant and run it, beyond that of ONNX Runtime
energy        per 1,000 images, in batches of 32 on one thread; estimated from the processor's model
              and load where its counters cannot be read

Needs TILTH_CIFAR10. A clone trains the net by the project's own stages, once for all cells. The
table's Pareto picture is drawn beside the result file. Variants are timed in turn, so that what
else the machine does falls on all alike.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.pareto import draw_pareto
from benchmarks.pictures import CIFAR10_AUGMENT
from benchmarks.record import Row, fast_precision, load_rows, make_row
from benchmarks.sources import take_cifar10
from benchmarks.workspace import Clones
from tasks.artifacts.images import Images
from tasks.artifacts.models import load_classifier
from tasks.artifacts.tables import load_rows as load_row_numbers
from tasks.artifacts.tables import load_table
from tasks.core.inference import run_net
from tasks.core.onnx_model import make_session, run_session
from tasks.core.parity import compare_logits
from tasks.energy import Energy

FLOAT32, VARIANTS = "float32", ("float32", "float16", "int8", "pruned")
BATCHES, THREADS, PERCENTILES = (1, 32), (1, 2), (50, 95, 99)
MEGABYTE = 1e6
# What a process takes that has run a model, beyond one that has only imported ONNX Runtime. What
# getrusage says includes the process that started it.
_MEMORY = """
import sys
import numpy, onnxruntime
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
before = peak()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
shape = (int(sys.argv[2]), *session.get_inputs()[0].shape[1:])
for _ in range(5):
    session.run(None, {"images": numpy.zeros(shape, numpy.uint8)})
print(peak() - before)
"""


class Recipe(NamedTuple):
    """How the net is trained that all cells measure."""

    num_images: int
    epochs: int
    pruned_epochs: int
    precision: str

    def params(self, source: Path) -> dict[str, Any]:
        pruned = {"name": "pruned", "fraction": 0.5, "epochs": self.pruned_epochs}
        pruned |= {"learning_rate": 0.002, "batch_size": 128}
        return {
            "ingest.sources": {"images": {"type": "folder", "root": str(source)}},
            "clean.image_size": 32,
            "clean.channels": 3,
            "run.precision": self.precision,
            # The net learns from labels alone.
            "pretrain.architecture.width": 32,
            "pretrain.epochs": 0,
            "pretrain.num_fresh_nets": 1,
            "audit.num_folds": 2,
            "audit.penalties": [10.0],
            "augment.transforms": CIFAR10_AUGMENT,
            "augment.num_audited": 200,
            "finetune.initialisation": "scratch",
            "finetune.epochs": self.epochs,
            "finetune.patience": self.epochs,
            "finetune.batch_size": 128,
            "finetune.optimiser.learning_rate": 0.004,
            "finetune.schedule": {"name": "cosine", "warmup_epochs": 1},
            "finetune.dropout": 0.0,
            "export.variants": [{"name": "float16"}, {"name": "int8", "num_rows": 512}, pruned],
            "export.max_difference": 0.0001,
        }


@cache
def train(clones: Clones, cifar10: Path, recipe: Recipe) -> Path:
    """A clone whose net is trained and exported."""
    root = clones.new()
    source = cifar10
    if recipe.num_images:
        source = take_cifar10(cifar10, recipe.num_images, root.with_name(f"{root.name}-images"))
    workspace.set_params(root, recipe.params(source))
    say("trains and exports, by the stages")
    workspace.repro(root, "export")
    for stage in ("finetune", "export"):
        say(f"{stage} took {workspace.stage_seconds(root, stage):.0f} s")
    return root


def trained(setting: Setting) -> Path:
    options = setting.options
    assert setting.cifar10 is not None
    recipe = Recipe(options.num_images, options.epochs, options.pruned_epochs, options.precision)
    return train(setting.clones, setting.cifar10, recipe)


def model_of(root: Path, variant: str) -> Path:
    return root / "models" / "exported" / f"{variant}.onnx"


def measure_parity(setting: Setting) -> Iterator[Row]:
    root = trained(setting)
    net, description = load_classifier(root / "models/classifier.safetensors")
    pixels, rows = Images(root / "data/clean/images"), load_row_numbers(root / "data/rows/test.npy")
    labels = load_table(root / "data/labels.parquet")["label"].iloc[rows]
    codes = pd.Categorical(labels, categories=description.classes).codes.astype(np.int64)
    expected_NK = run_net(net, pixels, rows, torch.device("cpu"), "float32")
    exported = {one["name"]: one for one in workspace.load_metrics(root, "export")["variants"]}
    cost = exported[FLOAT32]
    of_net = compare_logits(expected_NK, expected_NK, codes).accuracy.value
    for variant in VARIANTS:
        session = make_session(model_of(root, variant).read_bytes(), num_threads=2)
        parity = compare_logits(expected_NK, run_session(session, pixels, rows), codes)
        name, one = f"parity: {variant}", exported[variant]
        yield make_row(f"{name}, largest difference of a logit", parity.max_difference, "")
        agreeing = round(parity.agreement * len(rows))
        yield make_row(f"{name}, test images with the net's class, of all", agreeing, "", len(rows))
        yield make_row(f"{name}, accuracy, against the net", parity.accuracy.value, "", of_net)
        lost = 100 * parity.accuracy_loss.high
        yield make_row(f"{name}, accuracy lost at most (95 %)", lost, "points")
        yield make_row(f"{name}, bytes, against float32", one["num_bytes"], "", cost["num_bytes"])
        flops = one["num_flops"] / 1e6, cost["num_flops"] / 1e6
        yield make_row(f"{name}, operations per image, against float32", flops[0], "M", flops[1])


def measure_latency(setting: Setting) -> Iterator[Row]:
    root, options = trained(setting), setting.options
    images = Images(root / "data/clean/images")[np.arange(max(BATCHES))]
    for threads in THREADS:
        sessions = {
            variant: make_session(model_of(root, variant).read_bytes(), threads)
            for variant in VARIANTS
        }
        for batch in BATCHES:
            seconds = time_in_turn(sessions, images[:batch], options.num_runs // (batch**0.5))
            for variant, percentile in ((v, p) for v in VARIANTS for p in PERCENTILES):
                took, base = (np.percentile(seconds[v], percentile) for v in (variant, FLOAT32))
                where = f"batch {batch}, {threads} thread{'s' * (threads > 1)}"
                name = f"latency: {variant}, {where}, p{percentile}, against float32"
                yield make_row(name, 1000 * float(took), "ms", 1000 * float(base))


def time_in_turn(
    sessions: dict[str, Any], images_NHWC: np.ndarray, num_runs: float
) -> dict[str, list[float]]:
    """Seconds of each run; the first few, in which memory is taken, do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    num_unmeasured = 5
    for number in range(num_unmeasured + max(1, int(num_runs))):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(["logits"], {"images": images_NHWC})
            if number >= num_unmeasured:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def measure_memory(setting: Setting) -> Iterator[Row]:
    root = trained(setting)

    def peaks(variant: str, batch: int) -> list[float]:
        command = ("python", "-c", _MEMORY, str(model_of(root, variant)), str(batch))
        return [float(workspace.run(root, *command).output) / MEGABYTE for _ in range(3)]

    for batch in BATCHES:
        base = peaks(FLOAT32, batch)
        for variant in VARIANTS:
            name = f"memory: {variant}, batch {batch}, against float32"
            yield make_row(name, base if variant == FLOAT32 else peaks(variant, batch), "MB", base)


def measure_energy(setting: Setting) -> Iterator[Row]:
    root = trained(setting)
    images = Images(root / "data/clean/images")[np.arange(max(BATCHES))]
    found: dict[str, float] = {}
    for variant in VARIANTS:
        session = make_session(model_of(root, variant).read_bytes(), num_threads=1)
        num_images = 0
        with Energy() as energy:
            energy.wait()
            ends = time.monotonic() + setting.options.energy_seconds
            while time.monotonic() < ends:
                session.run(["logits"], {"images": images})
                num_images += len(images)
        found[variant] = 1000 * energy.measured["watt_hours"] / num_images * 1000
        how = "estimated, " if energy.measured["is_estimated"] else ""
        name = f"energy: {variant}, 1,000 images, {how}against float32"
        yield make_row(name, found[variant], "mWh", found[FLOAT32])


CELLS = (
    Cell("parity", measure_parity, needs_cifar10=True),
    Cell("latency", measure_latency, needs_cifar10=True),
    Cell("memory", measure_memory, needs_cifar10=True),
    Cell("energy", measure_energy, needs_cifar10=True),
)


def make_parser() -> argparse.ArgumentParser:
    parser = topic_parser("export", __doc__, CELLS)
    parser.add_argument("--num-images", type=int, default=0, help="of CIFAR-10; 0: all")
    parser.add_argument("--epochs", type=int, default=5, help="of the net")
    parser.add_argument("--pruned-epochs", type=int, default=3, help="of the pruned one")
    parser.add_argument("--num-runs", type=int, default=2000, help="of a batch of 1")
    parser.add_argument("--energy-seconds", type=float, default=45.0)
    parser.add_argument("--precision", choices=["float32", "bf16"], default=fast_precision())
    return parser


def main(argv: Sequence[str]) -> None:
    options = make_parser().parse_args(argv)
    run_cells("export", CELLS, options)
    draw_pareto(load_rows(options.out / "export.json"), options.out / "export.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
