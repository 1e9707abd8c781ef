"""What the two runners cost: `python -m benchmarks.orchestration`.

first-run       the flow against `dvc repro`, both in fresh clones (at most 20 s more)
no-op           nothing changed: `dvc repro` (at most 2.5 s), the flow (at most 20 s)
learning-rate   what runs after finetune.learning_rate changed (nothing before finetune)
demo            `make demo`, its model beside an RBF-SVM on the same rows, the planted faults found
many-images     nothing changed in 60,000 images; needs TILTH_CIFAR10

Every flow starts and ends a Prefect server of its own, which counts.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import Row, make_row
from benchmarks.sources import count_images, take_cifar10
from benchmarks.workspace import repro, run
from flows.graph import load_graph
from tasks.artifacts.images import Images
from tasks.artifacts.tables import load_rows, load_table

# What the training flow is after; the data team's page is left to its own flow.
TARGETS = ("card", "report")
# Trains nothing, so that what is left is the way of the data.
UNTRAINED = {"pretrain.epochs": 0, "finetune.epochs": 0, "finetune.probe.steps": 1}
COLOUR = {"clean.image_size": 32, "clean.channels": 3}


def flow(root: Path) -> workspace.Ran:
    return run(root, "python", "-m", "flows.training", "--no-publish")


def measure_first_run(setting: Setting) -> Iterator[Row]:
    def by_repro() -> float:
        seconds = repro(setting.clones.new(), *TARGETS).seconds
        say(f"first dvc repro: {seconds:.1f} s")
        return seconds

    def by_flow() -> float:
        seconds = flow(setting.clones.new()).seconds
        say(f"first flow: {seconds:.1f} s")
        return seconds

    flows, repros = workspace.alternate(setting.options.repeats, by_flow, by_repro)
    more = [one - other for one, other in zip(flows, repros, strict=True)]
    yield make_row("first-run: `dvc repro`", repros, "s")
    yield make_row("first-run: flow, against `dvc repro`", flows, "s", repros)
    yield make_row("first-run: flow − `dvc repro`", more, "s")


def measure_no_op(setting: Setting) -> Iterator[Row]:
    yield from no_op_rows("no-op", setting.clones.finished(), "", setting.options.repeats)


def no_op_rows(cell: str, root: Path, what: str, repeats: int) -> Iterator[Row]:
    """Both runners in a clone that is up to date."""

    def by_repro() -> float:
        done = repro(root)
        assert not workspace.stages_run(done.output), done.output
        return done.seconds

    # Before the first flow there is no database yet, and a no-op would pay for one.
    flow(root)
    flows, repros = workspace.alternate(repeats, lambda: flow(root).seconds, by_repro)
    yield make_row(f"{cell}: `dvc repro`{what}", repros, "s")
    yield make_row(f"{cell}: flow{what}, against `dvc repro`", flows, "s", repros)


def measure_learning_rate(setting: Setting) -> Iterator[Row]:
    root = setting.clones.finished()
    rate = workspace.load_params(root)["finetune"]["optimiser"]["learning_rate"]
    workspace.set_params(root, {"finetune.optimiser.learning_rate": rate / 2})
    changed = repro(root)
    workspace.set_params(root, {"finetune.optimiser.learning_rate": rate})
    restored = repro(root)
    ran = workspace.stages_run(changed.output)
    graph = load_graph(root / "dvc.yaml")
    later = {stage for stage in graph.order() if "finetune" in graph.ancestors(stage)}
    assert "finetune" in ran, changed.output
    yield make_row(
        f"learning-rate: stages run ({', '.join(ran)}), of all", len(ran), "", len(graph.stages)
    )
    yield make_row("learning-rate: of these not finetune or after it", len(set(ran) - later), "")
    yield make_row("learning-rate: `dvc repro`", changed.seconds, "s")
    again = workspace.stages_run(restored.output)
    name = f"learning-rate: stages run once it is set back ({', '.join(again) or 'none'})"
    yield make_row(name, len(again), "")


def measure_demo(setting: Setting) -> Iterator[Row]:
    root = setting.clones.new()
    (root / ".venv").symlink_to(sys.prefix)
    with (root / ".git" / "info" / "exclude").open("a") as file:
        file.write("\n.venv\n")
    # The packages are there already: what counts is the demo, not the network.
    seconds = run(root, "make", "--old-file=.venv/.ready", "demo").seconds
    yield make_row("demo: `make demo`, packages installed", seconds, "s")
    score = workspace.load_metrics(root, "evaluate")["metrics"]["macro_f1"]["value"]
    yield make_row("demo: macro F1 on test, against an RBF-SVM", score, "", svm_score(root))
    for kind, found in workspace.load_metrics(root, "report")["faults"].items():
        name = kind.replace("_", " ")
        yield make_row(
            f"demo: {name} found, of those planted", found["found"], "", found["planted"]
        )
        yield make_row(
            f"demo: {name} found, of those flagged", found["found"], "", found["flagged"]
        )


def svm_score(root: Path) -> float:
    """Macro F1 of a support vector machine on pixels, from the labels as they were given."""
    # Slow to load, and one cell alone needs them.
    from sklearn.metrics import f1_score
    from sklearn.svm import SVC

    pixels = Images(root / "data/clean/images")
    labels = load_table(root / "data/clean/manifest.parquet", ["label"])["label"].to_numpy(str)
    train, test = (load_rows(root / f"data/rows/{split}.npy") for split in ("train", "test"))
    learnt, judged = (
        pixels[rows].reshape(len(rows), -1) / np.float32(255) for rows in (train, test)
    )
    svm = SVC(C=10, gamma="scale").fit(learnt, labels[train])
    return float(f1_score(labels[test], svm.predict(judged), average="macro"))


def measure_many_images(setting: Setting) -> Iterator[Row]:
    assert setting.cifar10 is not None
    repeats, source = setting.options.repeats, setting.cifar10
    with workspace.temporary_folder() as folder:
        if setting.options.num_images:
            source = take_cifar10(source, setting.options.num_images, folder / "images")
        count = count_images(source)
        root = setting.clones.new()
        sources = {"cifar10": {"type": "folder", "root": str(source)}}
        workspace.set_params(root, {"ingest.sources": sources, **COLOUR, **UNTRAINED})
        say(f"the whole graph on {count:,} images, without training")
        repro(root)
        yield from no_op_rows("many-images", root, f", {count:,} images", repeats)
        up_to_split = [repro(root, "split").seconds for _ in range(repeats)]
        yield make_row(f"many-images: `dvc repro split`, {count:,} images", up_to_split, "s")


CELLS = (
    Cell("first-run", measure_first_run),
    Cell("no-op", measure_no_op),
    Cell("learning-rate", measure_learning_rate),
    Cell("demo", measure_demo),
    Cell("many-images", measure_many_images, needs_cifar10=True),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("orchestration", __doc__, CELLS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--num-images", type=int, help="of CIFAR-10; all if left out")
    run_cells("orchestration", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
