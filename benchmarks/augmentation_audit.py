"""What the audit of augmentation flags: `python -m benchmarks.augmentation_audit`.

digits       a vertical flip and a turn by 180° must be flagged, shifts by one pixel of 16 in eight
             directions (6.25 % of the side) must not, nor the policy that the project has
taught       the same where the encoder was pretrained with vertical flips among its views: how far
             the audit hangs on pretrain.views
cifar10      photographs: what it makes of the presets `standard` and `heavy` (needs TILTH_CIFAR10)

Each seed has an encoder of its own, trained by the stages themselves. Seconds are those of the
stage's `main`: policy, sheet and audit together.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import Row, make_row
from benchmarks.sources import take_cifar10

VERTICAL, TURNED = "vertical flip", "turned by 180°"
SHIFTS = [
    {"name": "Affine", "arguments": {"translate_px": {"x": [x, x], "y": [y, y]}, "p": 1.0}}
    for x in (-1, 0, 1)
    for y in (-1, 0, 1)
    if (x, y) != (0, 0)
]
CIFAR10 = {
    "clean.image_size": 32,
    "clean.channels": 3,
    "pretrain.views": "ssl",
    "pretrain.epochs": 15,
}


def audited(root: Path) -> pd.DataFrame:
    """The audit of a clone, everything before it included."""
    workspace.repro(root, "augment")
    return pd.read_parquet(root / "data" / "augmentation_audit.parquet")


def audited_again(root: Path, transforms: Any) -> pd.DataFrame:
    """The audit of another policy, through the same encoder."""
    workspace.set_params(root, {"augment.transforms": transforms})
    return audited(root)


def of_whole(audit: pd.DataFrame, transform: str) -> pd.Series:
    """The entry of a transform for all classes together."""
    return audit[(audit["transform"] == transform) & audit["label"].isna()].iloc[0]


def num_flagged_classes(audit: pd.DataFrame, transform: str) -> int:
    chosen = audit[(audit["transform"] == transform) & audit["label"].notna()]
    return int(chosen["is_flagged"].sum())


def measure_digits(setting: Setting) -> Iterator[Row]:
    own, shifts, seconds = [], [], []
    for seed in range(setting.options.num_seeds):
        say(f"digits, seed {seed}")
        root = setting.clones.new()
        workspace.set_params(root, {"run.seed": seed})
        own.append(audited(root))
        seconds.append(workspace.stage_seconds(root, "augment"))
        shifts.append(audited_again(root, SHIFTS))
    yield from suspects_rows("digits", own)
    for name, tables in (("the project's policy", own), ("shifts by 6.25 % of the side", shifts)):
        tried = pd.concat(table[table["in_policy"]] for table in tables)
        flagged = int(tried["is_flagged"].sum())
        yield make_row(f"digits: {name}: flags, of transforms × classes", flagged, "", len(tried))
    moved = [float(table[table["in_policy"]]["difference"].max()) for table in shifts]
    yield make_row("digits: shifts: most labels changed in a class", moved, "")
    count = int(of_whole(own[0], VERTICAL)["num_images"])
    yield make_row(f"digits: seconds for {count:,} images", seconds, "s")


def measure_taught(setting: Setting) -> Iterator[Row]:
    tables = []
    for seed in range(setting.options.num_seeds):
        say(f"taught, seed {seed}")
        root = setting.clones.new()
        views = workspace.load_params(root)["pretrain"]["views"]
        flip = {"name": "VerticalFlip", "arguments": {"p": 0.5}}
        workspace.set_params(root, {"run.seed": seed, "pretrain.views": [*views, flip]})
        tables.append(audited(root))
    yield from suspects_rows("taught", tables)


def suspects_rows(cell: str, tables: list[pd.DataFrame]) -> Iterator[Row]:
    """How often the two are flagged, what they change beside the untouched, and in how many
    classes."""
    for transform in (VERTICAL, TURNED):
        found = [of_whole(table, transform) for table in tables]
        times = sum(bool(one["is_flagged"]) for one in found)
        yield make_row(f"{cell}: {transform}: flagged, of the seeds", times, "", len(tables))
        changed = [float(one["changed_fraction"]) for one in found]
        identity = [float(one["identity_fraction"]) for one in found]
        name = f"{cell}: {transform}: labels changed, against untouched"
        yield make_row(name, changed, "", identity)
        classes = [num_flagged_classes(table, transform) for table in tables]
        yield make_row(f"{cell}: {transform}: classes flagged, of 10", classes, "", 10)


def measure_cifar10(setting: Setting) -> Iterator[Row]:
    assert setting.cifar10 is not None
    with workspace.temporary_folder() as folder:
        source = take_cifar10(setting.cifar10, setting.options.num_images, folder / "images")
        root = setting.clones.new()
        sources = {"images": {"type": "folder", "root": str(source)}}
        workspace.set_params(root, {"ingest.sources": sources, **CIFAR10})
        for preset in ("standard", "heavy"):
            say(f"cifar10, preset {preset}")
            audit = audited_again(root, preset)
            own = audit[audit["in_policy"]]
            flagged = int(own["is_flagged"].sum())
            name = f"cifar10: preset {preset}: flags, of transforms × classes"
            yield make_row(name, flagged, "", len(own))
        suspects = audit[~audit["in_policy"] & audit["label"].isna()]
        for one in suspects.to_dict("records"):
            name = f"cifar10: {one['transform']}: labels changed, against untouched"
            yield make_row(name, one["changed_fraction"], "", one["identity_fraction"])
        seconds = workspace.stage_seconds(root, "augment")
        count = int(suspects["num_images"].iloc[0])
        yield make_row(f"cifar10: seconds for {count:,} images", seconds, "s")


CELLS = (
    Cell("digits", measure_digits),
    Cell("taught", measure_taught),
    Cell("cifar10", measure_cifar10, needs_cifar10=True),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("augmentation_audit", __doc__, CELLS)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--num-images", type=int, default=10_000, help="of CIFAR-10")
    run_cells("augmentation_audit", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
