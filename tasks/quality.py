"""Stage quality: one page that says what the data is worth."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import PositiveInt

from pages.blocks import Picture
from pages.quality import Pictures, quality_notice, quality_sections
from pages.quality_numbers import Quality, measure_quality
from pages.render import render_page
from tasks.artifacts.documents import load_json, save_json, save_text
from tasks.artifacts.images import Images
from tasks.artifacts.tables import load_csv, load_table
from tasks.core.errors import ArtifactError
from tasks.core.params import Section
from tasks.core.thumbnails import fit_png, png_pair, png_thumbnail

_MOST_PIXELS = 96
_NUM_WORST = 6
# Of each of five galleries, and of the sheet. In base64 a third more; what is left of 4 MB is for
# the words.
_MOST_BYTES, _MOST_BYTES_OF_SHEET = 300_000, 1_000_000


class Params(Section):
    """`num_thumbnails` of each kind are shown, or as many as 4 MB hold."""

    num_thumbnails: PositiveInt


def main(
    index: Path,
    measures: Path,
    issues: Path,
    quarantine: Path,
    verdict: Path,
    images: Path,
    manifest: Path,
    dropped: Path,
    leaks: Path,
    splits: Path,
    queue: Path,
    embedding_duplicates: Path,
    audit: Path,
    rebalanced: Path,
    sheet: Path,
    augmentation: Path,
    previous: Path,
    out_page: Path,
    out_metrics: Path,
    params: Params,
) -> None:
    quality = Quality(
        arrived=load_table(index),
        measures=load_table(measures),
        issues=load_table(issues),
        quarantine=load_table(quarantine),
        dropped=load_table(dropped),
        leaks=load_table(leaks),
        missed_leaks=load_table(embedding_duplicates),
        queue=load_csv(queue).astype({"score": float}),
        verdict=load_json(verdict),
        splits=load_json(splits),
        audit=load_json(audit),
        rebalanced=load_json(rebalanced),
        augmentation=load_table(augmentation),
        previous=load_previous(previous),
    )
    gallery = Gallery(Images(images), load_table(manifest, ["image_id", "path", "label"]))
    pictures = show(quality, gallery, fit_png(sheet.read_bytes(), _MOST_BYTES_OF_SHEET), params)
    numbers = measure_quality(quality)
    page = render_page(
        "Data quality",
        "What came in, what was done about it, and what a person should look at.",
        quality_sections(quality, numbers, pictures),
        quality_notice(numbers),
    )
    save_text(page, out_page)
    save_json(numbers, out_metrics)


def load_previous(path: Path) -> dict[str, Any] | None:
    """What was measured of the snapshot before, if there was one.

    Raises ArtifactError if the document is not what `python -m tasks.snapshot` writes.
    """
    document = load_json(path)
    try:
        quality = document["quality"]
        if quality is None or isinstance(quality["class_counts"], dict):
            return quality
    except (TypeError, KeyError):
        pass
    raise ArtifactError(
        f'{path}: expected {{"quality": null}}, or there what metrics/quality.json held'
    )


class Gallery:
    """Pictures of rows of the manifest (image_id, path, label), by image_id."""

    def __init__(self, pixels: Images, manifest: pd.DataFrame) -> None:
        self._pixels = pixels
        self._rows = {image_id: row for row, image_id in enumerate(manifest["image_id"])}
        self.paths, self.labels = (
            dict(zip(manifest["image_id"], manifest[name], strict=True))
            for name in ("path", "label")
        )

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._rows

    def one(self, image_id: str) -> bytes:
        return png_thumbnail(self._image(image_id), _MOST_PIXELS)

    def pair(self, image_id: str, twin_id: str) -> bytes:
        return png_pair(self._image(image_id), self._image(twin_id), _MOST_PIXELS)

    def _image(self, image_id: str) -> np.ndarray:
        return self._pixels[np.array([self._rows[image_id]])][0]


def show(quality: Quality, gallery: Gallery, sheet: bytes, params: Params) -> Pictures:
    def some(pictures: Iterable[Picture]) -> list[Picture]:
        return list(take(pictures, params.num_thumbnails, _MOST_BYTES))

    worst, odd = show_odd(quality.issues, gallery)
    conflicts = quality.dropped["reason"] == "duplicate_with_other_label"
    repeats = quality.dropped["reason"] == "duplicate"
    labels = dict(zip(quality.arrived["image_id"], quality.arrived["label"], strict=True))
    return Pictures(
        worst=worst,
        odd=odd,
        conflicts=some(show_conflicts(quality.dropped[conflicts], gallery, labels)),
        duplicates=some(show_duplicates(quality.dropped[repeats], gallery)),
        leaks=some(show_pairs(quality.leaks, gallery)),
        missed_leaks=some(show_pairs(quality.missed_leaks, gallery)),
        suspicious=some(show_suspicious(quality.queue, gallery)),
        sheet=sheet,
    )


def show_odd(issues: pd.DataFrame, gallery: Gallery) -> tuple[pd.DataFrame, dict[str, bytes]]:
    """The rows that head each issue, as many as fit, and their pictures by image_id.

    issues: image_id, issue, worst first; what repeats another image is left out, as it has no
    pixels of its own.
    """
    kept = issues[[image_id in gallery for image_id in issues["image_id"]]]
    ranks = kept.groupby("issue", sort=False).cumcount().sort_values(kind="stable")
    # The worst of every issue before the second worst of any.
    worst = kept.loc[ranks[ranks < _NUM_WORST].index]
    pictures = [gallery.one(image_id) for image_id in worst["image_id"]]
    fitting = int((np.cumsum([len(png) for png in pictures]) <= _MOST_BYTES).sum())
    worst = worst.head(fitting)
    return worst, dict(zip(worst["image_id"], pictures, strict=False))


def take(pictures: Iterable[Picture], most: int, most_bytes: int) -> Iterator[Picture]:
    """The first of them, as many as fit."""
    num_bytes = 0
    for number, picture in enumerate(pictures):
        num_bytes += len(picture.png)
        if number == most or num_bytes > most_bytes:
            return
        yield picture


def show_conflicts(
    dropped: pd.DataFrame, gallery: Gallery, labels: dict[str, str]
) -> Iterator[Picture]:
    """What was dropped (image_id, path, twin_id) with its label, above the copy that stays."""
    for image_id, path, twin_id in dropped[["image_id", "path", "twin_id"]].to_numpy():
        if twin_id in gallery:
            lines = [f"{path}: {labels[image_id]}"]
            lines.append(f"{gallery.paths[twin_id]}: {gallery.labels[twin_id]}")
            yield Picture(gallery.one(twin_id), path, lines)


def show_duplicates(dropped: pd.DataFrame, gallery: Gallery) -> Iterator[Picture]:
    """What was dropped (path, twin_id), above the copy that stays."""
    for path, twin_id in dropped[["path", "twin_id"]].to_numpy():
        if twin_id in gallery:
            yield Picture(gallery.one(twin_id), path, [path, gallery.paths[twin_id]])


def show_pairs(leaks: pd.DataFrame, gallery: Gallery) -> Iterator[Picture]:
    """leaks: image_id, split, twin_id, twin_split."""
    for image_id, split, twin_id, twin_split in leaks[
        ["image_id", "split", "twin_id", "twin_split"]
    ].to_numpy():
        path, twin_path = gallery.paths[image_id], gallery.paths[twin_id]
        lines = [f"{split}: {path}", f"{twin_split}: {twin_path}"]
        yield Picture(gallery.pair(image_id, twin_id), f"{path} beside {twin_path}", lines)


def show_suspicious(queue: pd.DataFrame, gallery: Gallery) -> Iterator[Picture]:
    columns = ["image_id", "path", "label", "suggested_label"]
    for image_id, path, label, suggested in queue[columns].to_numpy():
        yield Picture(gallery.one(image_id), path, [f"{label} → {suggested}", path])
