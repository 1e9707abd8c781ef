"""Same params, same bytes, wherever and by whom: `python -m benchmarks.reproducibility`.

clones          outputs that differ between two clean clones (none)
flow            outputs that differ between `dvc repro` and the flow (none)
remote          a second clone with a DVC remote and without the source: what it runs after
                finetune.learning_rate changed (nothing before finetune)
odd-names       a newcomer's folder: blanks, both Unicode forms, many sizes and formats, capitals in
                extensions, one file cut short
many-images     the whole graph on 12,000 images; needs TILTH_CIFAR10

Outputs are compared by what dvc.lock records of them, parsed: their content, and what the stages
were made from.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import Row, make_row
from benchmarks.sources import count_images, make_odd, take_cifar10
from benchmarks.workspace import repro, run
from flows.graph import load_graph

ODD_PARAMS = {"clean.image_size": 32, "clean.channels": 1, "clean.resize": "pad"}


def load_lock(root: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(root / "dvc.lock")["stages"]


def outputs(lock: dict[str, Any]) -> dict[str, Any]:
    """What dvc.lock records of each output, by path."""
    return {out["path"]: out for stage in lock.values() for out in stage.get("outs", [])}


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Keys that only one has, or whose values differ."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def measure_clones(setting: Setting) -> Iterator[Row]:
    first = load_lock(setting.clones.finished())
    other = setting.clones.new()
    say("a second clone runs")
    repro(other)
    yield from _differences("clones", "two clean clones", first, load_lock(other))


def measure_flow(setting: Setting) -> Iterator[Row]:
    first = load_lock(setting.clones.finished())
    other = setting.clones.new()
    say("a clone runs by the flow")
    run(other, "python", "-m", "flows.data")
    run(other, "python", "-m", "flows.training", "--no-publish")
    yield from _differences("flow", "`dvc repro` and the flow", first, load_lock(other))


def _differences(cell: str, who: str, one: dict, other: dict) -> Iterator[Row]:
    outs = outputs(one), outputs(other)
    differ = differing(*outs)
    for path in differ:
        say(f"differs: {path}")
    yield make_row(
        f"{cell}: outputs that differ between {who}, of all", len(differ), "", len(outs[0])
    )
    stages = differing(one, other)
    name = f"{cell}: stages whose record in dvc.lock differs, of all"
    yield make_row(name, len(stages), "", len(one))


def measure_remote(setting: Setting) -> Iterator[Row]:
    with workspace.temporary_folder() as folder:
        source = make_odd(folder / "images", setting.options.per_class)
        first = setting.clones.new()
        workspace.set_params(first, _from_folder(source) | ODD_PARAMS)
        run(
            first,
            "python",
            "-m",
            "dvc",
            "remote",
            "add",
            "--default",
            "store",
            str(folder / "store"),
        )
        repro(first)
        run(first, "python", "-m", "dvc", "push")
        workspace.commit_all(first, "Run")
        source.rename(folder / "gone")
        second = folder / "second"
        run(folder, "git", "clone", "--quiet", str(first), str(second))
        unchanged = repro(second, "--pull", "--allow-missing")
        ran = workspace.stages_run(unchanged.output)
        yield make_row("remote: stages run without the source, nothing changed", len(ran), "")
        rate = workspace.load_params(second)["finetune"]["optimiser"]["learning_rate"]
        workspace.set_params(second, {"finetune.optimiser.learning_rate": rate / 2})
        changed = repro(second, "--pull", "--allow-missing")
        ran = workspace.stages_run(changed.output)
        graph = load_graph(second / "dvc.yaml")
        later = {stage for stage in graph.order() if "finetune" in graph.ancestors(stage)}
        assert "finetune" in ran, changed.output
        name = "remote: stages run without the source, finetune.learning_rate changed, of all"
        yield make_row(name, len(ran), "", len(graph.stages))
        name = "remote: of these not finetune or after it"
        yield make_row(name, len(set(ran) - later), "")


def _from_folder(source: Path) -> dict[str, Any]:
    return {"ingest.sources": {"images": {"type": "folder", "root": str(source)}}}


def measure_odd_names(setting: Setting) -> Iterator[Row]:
    with workspace.temporary_folder() as folder:
        source = make_odd(folder / "images", setting.options.per_class)
        root = setting.clones.new()
        workspace.set_params(root, _from_folder(source) | ODD_PARAMS)
        ran = repro(root)
        verdict = workspace.load_metrics(root, "validate")
        count = verdict["num_arrived"]
        what = f"odd-names: verdict pass (1), {count} images"
        yield make_row(what, verdict["verdict"] == "pass", "")
        yield make_row(
            "odd-names: images rejected, of those cut short", verdict["num_rejected"], "", 1
        )
        yield from _trained("odd-names", root)
        yield make_row("odd-names: `dvc repro`", ran.seconds, "s")


def _trained(cell: str, root: Path) -> Iterator[Row]:
    evaluated = workspace.load_metrics(root, "evaluate")
    accuracy = evaluated["metrics"]["accuracy"]["value"]
    chance = 1 / len(evaluated["classes"])
    name = f"{cell}: accuracy on {evaluated['num_rows']:,} test rows, against chance"
    yield make_row(name, accuracy, "", chance)


def measure_many_images(setting: Setting) -> Iterator[Row]:
    options = setting.options
    assert setting.cifar10 is not None
    with workspace.temporary_folder() as folder:
        source = take_cifar10(setting.cifar10, options.num_images, folder / "images")
        count = count_images(source)
        root = setting.clones.new()
        epochs = {
            "pretrain.epochs": options.pretrain_epochs,
            "finetune.epochs": options.finetune_epochs,
        }
        colour = {"clean.image_size": 32, "clean.channels": 3}
        workspace.set_params(root, _from_folder(source) | colour | epochs)
        say(f"the whole graph on {count:,} images")
        ran = repro(root)
        yield make_row(f"many-images: `dvc repro`, {count:,} images", ran.seconds, "s")
        for stage in load_graph(root / "dvc.yaml").order():
            yield make_row(f"many-images: {stage}", workspace.stage_seconds(root, stage), "s")
        yield from _trained("many-images", root)


CELLS = (
    Cell("clones", measure_clones),
    Cell("flow", measure_flow),
    Cell("remote", measure_remote),
    Cell("odd-names", measure_odd_names),
    Cell("many-images", measure_many_images, needs_cifar10=True),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("reproducibility", __doc__, CELLS)
    parser.add_argument("--per-class", type=int, default=30, help="images of the odd folder")
    parser.add_argument("--num-images", type=int, default=12_000, help="of CIFAR-10")
    parser.add_argument("--pretrain-epochs", type=int, default=5)
    parser.add_argument("--finetune-epochs", type=int, default=10)
    run_cells("reproducibility", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
