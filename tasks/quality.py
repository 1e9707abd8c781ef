"""Stage quality: one page that says what the data is worth."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import PositiveInt

from pages.blocks import Picture
from pages.quality import Quality, measure_quality, quality_notice, quality_sections
from pages.render import render_page
from tasks.artifacts.documents import load_json, save_json, save_text
from tasks.artifacts.images import Images
from tasks.artifacts.tables import load_csv, load_table
from tasks.core.params import Section


class Params(Section):
    """`num_thumbnails` of each kind are shown."""

    num_thumbnails: PositiveInt


def main(
    index: Path,
    quarantine: Path,
    verdict: Path,
    images: Path,
    manifest: Path,
    dropped: Path,
    leaks: Path,
    splits: Path,
    queue: Path,
    audit: Path,
    rebalanced: Path,
    sheet: Path,
    augmentation: Path,
    out_page: Path,
    out_metrics: Path,
    params: Params,
) -> None:
    pixels, numbers = Images(images), _row_numbers(load_table(manifest, ["image_id"]))
    suspicious, twins = load_csv(queue), load_table(dropped)
    quality = Quality(
        arrived=load_table(index),
        quarantine=load_table(quarantine),
        dropped=twins,
        leaks=load_table(leaks),
        queue=suspicious.astype({"score": float}),
        verdict=load_json(verdict),
        splits=load_json(splits),
        audit=load_json(audit),
        rebalanced=load_json(rebalanced),
        suspicious=[
            _picture(pixels, numbers[image_id], path, [f"{label} → {suggested}"])
            for image_id, path, label, suggested in suspicious.head(params.num_thumbnails)[
                ["image_id", "path", "label", "suggested_label"]
            ].to_numpy()
        ],
        duplicates=[
            _picture(pixels, numbers[twin_id], path, [path])
            for path, twin_id in twins[["path", "twin_id"]].to_numpy()
            if twin_id in numbers
        ][: params.num_thumbnails],
        sheet=sheet.read_bytes(),
        augmentation=load_table(augmentation),
    )
    page = render_page(
        "Data quality",
        "What came in, what was done about it, and what a person should look at.",
        quality_sections(quality),
        quality_notice(quality),
    )
    save_text(page, out_page)
    save_json(measure_quality(quality), out_metrics)


def _row_numbers(manifest: pd.DataFrame) -> dict[str, int]:
    return {image_id: row for row, image_id in enumerate(manifest["image_id"])}


def _picture(pixels: Images, row: int, path: str, lines: list[str]) -> Picture:
    file = io.BytesIO()
    Image.fromarray(pixels[np.array([row])][0].squeeze()).save(file, format="PNG")
    return Picture(file.getvalue(), path, lines)
