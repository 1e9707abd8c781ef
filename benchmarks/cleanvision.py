"""Beside CleanVision, on CIFAR-10's test images: `python -m benchmarks.cleanvision`.

beside      images/s for the checks that both make (dark, light, blurred, odd aspect, odd size, low
            information, grey among colour, equal pixels, equal perceptual hashes), each tool in a
            process of its own with as many workers as the machine has cores. Imports do not count;
            starting workers does, and so does cutting the files into shards, which only ours needs.
            Then the rank correlation of the scores of each check, how many images either flags,
            and their overlap: those that both flag, of those that either does.

Needs TILTH_CIFAR10, and `pip install "cleanvision>=0.3.7,<0.4"`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import ROOT, Row, make_row
from tasks.artifacts.documents import load_yaml

# CleanVision's checks by the names of ours.
CHECKS = {
    "dark": "dark",
    "light": "light",
    "low_information": "low_information",
    "blurred": "blurry",
    "odd_aspect": "odd_aspect_ratio",
    "odd_size": "odd_size",
    "odd_colour": "grayscale",
}


def run_ours(folder: Path) -> dict[str, Any]:
    """The checks on a folder of images, from files to flags, in the current directory."""
    from tasks.artifacts.shards import ShardWriter
    from tasks.core.issues import find_issues, score_images
    from tasks.ingest import Params as IngestParams
    from tasks.ingest import ingest
    from tasks.validate import Params, measure_shards

    sections = load_yaml(ROOT / "params.yaml")
    sections["ingest"]["sources"] = {"images": {"type": "folder", "root": str(folder)}}
    params = Params.model_validate(sections["validate"])
    num_workers = os.cpu_count() or 1
    started = time.perf_counter()
    shards = Path("shards")
    shards.mkdir()
    index = ingest(
        IngestParams.model_validate(sections["ingest"]), ShardWriter(shards, 64_000_000)
    ).index
    measures = measure_shards(sorted(shards.glob("*.parquet")), params, num_workers).measures
    issues = find_issues(measures, params.issues, params.issue_fence)
    exact = measures["pixel_hash"].duplicated(keep=False)
    # As CleanVision has it; what split finds is measured by the topic `duplicates`.
    near = measures["perceptual_hash"].duplicated(keep=False) & ~exact
    scores = score_images(measures)
    seconds = time.perf_counter() - started
    paths = index.set_index("image_id")["path"].map(lambda path: path.removeprefix("images/"))
    named = measures["image_id"].map(paths)
    return {
        "seconds": seconds,
        "scores": {name: scores[name].set_axis(named).to_dict() for name in CHECKS},
        "flags": {
            name: sorted(paths[issues.loc[issues["issue"] == name, "image_id"]]) for name in CHECKS
        },
        "exact": sorted(named[exact]),
        "near": sorted(named[near]),
    }


def run_theirs(folder: Path) -> dict[str, Any]:
    """The same by CleanVision."""
    from cleanvision import Imagelab  # type: ignore[import-not-found]

    started = time.perf_counter()
    lab = Imagelab(data_path=str(folder), verbose=False)
    lab.find_issues(n_jobs=os.cpu_count() or 1, verbose=False)
    seconds = time.perf_counter() - started
    table = lab.issues.set_axis([str(Path(name).relative_to(folder)) for name in lab.issues.index])
    flagged = {
        ours: sorted(table.index[table[f"is_{theirs}_issue"]]) for ours, theirs in CHECKS.items()
    }
    return {
        "seconds": seconds,
        "scores": {name: table[f"{CHECKS[name]}_score"].to_dict() for name in CHECKS},
        "flags": flagged,
        "exact": sorted(table.index[table["is_exact_duplicates_issue"]]),
        "near": sorted(table.index[table["is_near_duplicates_issue"]]),
    }


def _run_both(setting: Setting) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    assert setting.cifar10 is not None
    results: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    for _ in range(setting.options.repeats):
        for who, done in results.items():
            say(f"{who} on {setting.cifar10 / 'test'}")
            with workspace.temporary_folder() as folder:
                out = folder / "result.json"
                command = f"--run={who}", f"--folder={setting.cifar10 / 'test'}", f"--json={out}"
                workspace.run(ROOT, "python", "-m", "benchmarks.cleanvision", *command)
                done.append(json.loads(out.read_text()))
    return results["ours"], results["theirs"]


def measure_beside(setting: Setting) -> Iterator[Row]:
    ours, theirs = _run_both(setting)
    number = len(next(iter(ours[0]["scores"].values())))
    speeds = [[number / one["seconds"] for one in runs] for runs in (ours, theirs)]
    yield make_row(
        f"beside: {number:,} images, against CleanVision", speeds[0], "images/s", speeds[1]
    )
    for check, name in CHECKS.items():
        pair = pd.DataFrame(
            {"ours": ours[0]["scores"][check], "theirs": theirs[0]["scores"][check]}
        )
        assert pair.notna().all(axis=None) and len(pair) == number
        # Where all images score alike there is no order to agree on.
        if pair["ours"].nunique() > 1 and pair["theirs"].nunique() > 2:
            correlation = float(pair["ours"].corr(pair["theirs"], method="spearman"))
            yield make_row(f"beside: {check} and {name}, rank correlation", correlation, "")
        yield from _overlap(
            f"{check} and {name}", ours[0]["flags"][check], theirs[0]["flags"][check]
        )
    for kind in ("exact", "near"):
        yield from _overlap(f"{kind} duplicates", ours[0][kind], theirs[0][kind])


def _overlap(what: str, ours: list[str], theirs: list[str]) -> Iterator[Row]:
    yield make_row(f"beside: {what}, flagged, against CleanVision's", len(ours), "", len(theirs))
    union = set(ours) | set(theirs)
    if union:
        shared = len(set(ours) & set(theirs)) / len(union)
        yield make_row(f"beside: {what}, overlap of flags", shared, "")


CELLS = (Cell("beside", measure_beside, needs_cifar10=True),)


def main(argv: list[str]) -> None:
    parser = topic_parser("cleanvision", __doc__, CELLS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--run", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.run is None:
        run_cells("cleanvision", CELLS, options)
        return
    os.chdir(options.json.parent)
    result = {"ours": run_ours, "theirs": run_theirs}[options.run](options.folder)
    options.json.write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
