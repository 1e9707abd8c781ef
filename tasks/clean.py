"""Stage clean: what was accepted → canonical pixels and the manifest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import PositiveInt, model_validator

from tasks.artifacts.atomic import replacing_folder
from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.memory import Memory, link
from tasks.artifacts.tables import load_table, save_table
from tasks.core.classes import map_classes
from tasks.core.duplicates import find_duplicates
from tasks.core.errors import VerdictError
from tasks.core.gate import Limits
from tasks.core.names import Label
from tasks.core.params import Section
from tasks.core.pixels import Canonical
from tasks.decoding import clean_row_group
from tasks.pool import Piece, Workers, find_pieces, intact
from tasks.progress import progress

MANIFEST_COLUMNS = [
    "image_id", "label", "given_label", "group", "split", "path", "captured_at", "width", "height",
    "brightness", "contrast", "sharpness", "pixel_hash", "perceptual_hash", "shard", "row",
]  # fmt: skip


class Params(Section):
    """`classes` renames labels (two with one new name are merged); `ignored` leaves labels out."""

    image_size: PositiveInt
    channels: Literal[1, 3]
    resize: Literal["crop", "pad", "squash"]
    classes: dict[Label, Label]
    ignored: list[Label]

    @model_validator(mode="after")
    def _renames_what_stays(self) -> Self:
        if both := sorted(set(self.classes) & set(self.ignored)):
            raise ValueError(f"{both}: named in `classes` and in `ignored`; expected one of both")
        return self


def main(
    index: Path,
    shards: Path,
    measures: Path,
    quarantine: Path,
    verdict: Path,
    out_images: Path,
    out_manifest: Path,
    out_dropped: Path,
    out_canonical: Path,
    params: Params,
    num_threads: int,
) -> None:
    judged = load_json(verdict)
    _refuse_failed(judged)
    canonical = Canonical(
        size=params.image_size,
        channels=params.channels,
        resize=params.resize,
        limits=Limits.model_validate(judged["limits"]),
    )
    with Workers(num_threads, clean_row_group) as workers:
        accepted = _find_accepted(index, measures, quarantine, params)
        dropped = find_dropped(accepted)
        manifest = accepted[~accepted["image_id"].isin(dropped["image_id"])]
        manifest = _in_order_of_shards(manifest)
        with replacing_folder(out_images) as folder:
            cleaned = write_images(manifest, shards, folder, canonical, workers)
    # Remembered once all is on the disk: a torn file must not be taken for a whole one.
    for name, remembered in cleaned.items():
        link(out_images / name, remembered)
    save_table(manifest[MANIFEST_COLUMNS], out_manifest)
    save_table(dropped, out_dropped)
    save_json(canonical.model_dump(), out_canonical)


def _find_accepted(index: Path, measures: Path, quarantine: Path, params: Params) -> pd.DataFrame:
    arrived = load_table(index)
    rejected = load_table(quarantine, ["image_id"])["image_id"]
    accepted = arrived[~arrived["image_id"].isin(rejected)].merge(
        load_table(measures), on="image_id"
    )
    labels = map_classes(accepted["label"], params.classes, params.ignored)
    return accepted.assign(given_label=accepted["label"], label=labels)


def _refuse_failed(verdict: dict) -> None:
    if verdict["verdict"] != "pass":
        raise VerdictError(
            "the data did not pass validation; see reports/arrivals.html:\n  "
            + "\n  ".join(verdict["reasons"])
        )


def find_dropped(accepted: pd.DataFrame) -> pd.DataFrame:
    """Rows that do not go on, though nothing is wrong with their files: image_id, path, reason
    (`ignored_class`, `duplicate`, `duplicate_with_other_label`), twin_id."""
    ignored = accepted["given_label"].notna() & accepted["label"].isna()
    left_out = accepted.loc[ignored, ["image_id"]].assign(reason="ignored_class", twin_id=None)
    duplicates = find_duplicates(accepted[~ignored])
    reasons = np.where(duplicates["conflict"], "duplicate_with_other_label", "duplicate")
    duplicates = duplicates[["image_id", "twin_id"]].assign(reason=reasons)
    dropped = pd.concat([left_out, duplicates]).merge(accepted[["image_id", "path"]])
    return dropped[["image_id", "path", "reason", "twin_id"]].astype("string")


def _in_order_of_shards(manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows as `Images` numbers them: by shard name, then by row; `row` counts what stayed."""
    ordered = manifest.sort_values(["shard", "row"], ignore_index=True)
    return ordered.assign(row=ordered.groupby("shard").cumcount())


def write_images(
    manifest: pd.DataFrame, shards: Path, folder: Path, canonical: Canonical, workers: Workers
) -> dict[str, Path]:
    """Writes uint8 (N, size, size, C) per shard, or links what is remembered of it.

    Returns the names of the files that were written, each with where it is to be remembered.
    """
    memory = Memory("clean", ".npy", canonical)
    kept = {
        shards / str(shard): frozenset(rows["image_id"])
        for shard, rows in manifest.groupby("shard")
    }
    paths = {shard: memory.path(shard, sorted(ids)) for shard, ids in kept.items()}
    memory.keep_only(set(paths.values()))
    missing = {shard: kept[shard] for shard, path in paths.items() if not path.is_file()}
    pieces = find_pieces(missing)
    results = intact(workers.map(pieces, (canonical,)))
    arrays = progress(results, len(pieces), "clean")
    for shard, path in paths.items():
        if shard not in missing:
            link(path, folder / f"{shard.stem}.npy")
    for shard, image_ids in missing.items():
        shape = (len(image_ids), canonical.size, canonical.size, canonical.channels)
        _fill(folder / f"{shard.stem}.npy", shape, arrays)
    return {f"{shard.stem}.npy": paths[shard] for shard in missing}


def _fill(path: Path, shape: tuple[int, ...], arrays: Iterator[tuple[Piece, np.ndarray]]) -> None:
    """Writes one shard's arrays, which come in order, until it is full."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    # Not through a memory map: the system kills a process that writes to one on a full disk.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece, images in arrays:
            file.write(images.data)
            if piece.is_last:
                break
