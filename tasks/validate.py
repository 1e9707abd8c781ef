"""Stage validate: judges what came in; ends well whatever the data."""

from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
from pydantic import Field, PositiveInt

from expectations.asked import MeasuresRule, RowsRule, extend
from expectations.check import Checked, check, preload
from expectations.suites import add_asked_columns, measures_suite, raw_suite
from pages.arrivals import arrivals_sections, verdict_notice
from pages.render import render_page
from tasks.artifacts.documents import save_json, save_text
from tasks.artifacts.images import load_row_group
from tasks.artifacts.memory import Memory
from tasks.artifacts.tables import load_table, save_table
from tasks.core.errors import ImageError
from tasks.core.params import Section
from tasks.core.pixels import Measures, measure
from tasks.pool import Piece, find_pieces, map_pieces
from tasks.progress import progress

_REJECTED = ["image_id", "reason", "detail"]


class Expectations(Section):
    """What users expect of the index and of the measures, beyond the suites."""

    raw: list[RowsRule]
    measures: list[MeasuresRule]


class Params(Section):
    max_pixels: PositiveInt
    min_size: PositiveInt
    max_rejected_fraction: Annotated[float, Field(ge=0, lt=1)]
    expectations: Expectations


class Measured(NamedTuple):
    """`measures`: a row per image that decoded. `rejected`: image_id, reason, detail of others."""

    measures: pd.DataFrame
    rejected: pd.DataFrame


def main(
    index: Path,
    shards: Path,
    out_measures: Path,
    out_quarantine: Path,
    out_verdict: Path,
    out_page: Path,
    params: Params,
    num_threads: int,
) -> None:
    preload()
    arrived = load_table(index)
    measured = measure_shards(sorted(shards.glob("*.parquet")), params, num_threads)
    quarantine = find_rejected(arrived, measured.rejected)
    measures = measured.measures[~measured.measures["image_id"].isin(quarantine["image_id"])]
    accepted = arrived[~arrived["image_id"].isin(quarantine["image_id"])]
    asked, suite = params.expectations, measures_suite(params.max_rejected_fraction, len(arrived))
    checks = [
        check(extend(raw_suite(), asked.raw), add_asked_columns(accepted)),
        check(extend(suite, asked.measures), measures),
    ]
    verdict = {**judge(arrived, quarantine, checks), "max_pixels": params.max_pixels}
    save_table(measures, out_measures)
    save_table(quarantine, out_quarantine)
    save_json(verdict, out_verdict)
    page = render_page(
        "Arrivals",
        "What came in, before anything is cleaned.",
        arrivals_sections(arrived, measures, quarantine, verdict),
        verdict_notice(verdict),
    )
    save_text(page, out_page)


def measure_shards(shards: list[Path], params: Params, num_workers: int) -> Measured:
    """Decodes and measures every image once; shards measured before are remembered."""
    arguments = (params.max_pixels, params.min_size)
    memory = Memory("validate", ".parquet", *arguments)
    remembered = {shard: memory.path(shard) for shard in shards}
    memory.keep_only(set(remembered.values()))
    pieces = find_pieces({shard: None for shard in shards if not remembered[shard].is_file()})
    results = map_pieces(measure_row_group, pieces, arguments, num_workers)
    parts: list[pd.DataFrame] = []
    for piece, part in progress(results, len(pieces), "validate"):
        parts.append(part)
        if piece.is_last:
            save_table(pd.concat(parts, ignore_index=True), remembered[piece.shard])
            parts = []
    rows = pd.concat([load_table(remembered[shard]) for shard in shards], ignore_index=True)
    rejected = rows["reason"].notna()
    measures = rows.loc[~rejected].drop(columns=["reason", "detail"]).reset_index(drop=True)
    return Measured(
        measures.astype({"width": "int64", "height": "int64", "channels": "int64"}),
        rows.loc[rejected, _REJECTED].reset_index(drop=True),
    )


def measure_row_group(piece: Piece, max_pixels: int, min_size: int) -> pd.DataFrame:
    """One row per image: its measures, or the reason why it is rejected."""
    measured, rejected = [], []
    for image in load_row_group(piece.shard, piece.group):
        try:
            measures = measure(image.data, max_pixels)
            if min(measures.width, measures.height) < min_size:
                size = f"{measures.width} × {measures.height} pixels"
                raise ImageError("too_small", f"{size}; expected {min_size} or more on each side")
            measured.append((image.image_id, *measures, None, None))
        except ImageError as error:
            rejected.append(
                (image.image_id, *[None] * len(Measures._fields), error.reason, error.detail)
            )
    columns = ["image_id", *Measures._fields, "reason", "detail"]
    frame = pd.DataFrame(measured + rejected, columns=columns)
    floats = dict.fromkeys(("brightness", "contrast", "sharpness"), "float64")
    integers = dict.fromkeys(("width", "height", "channels"), "Int64")
    texts = ("format", "pixel_hash", "perceptual_hash", "reason", "detail")
    strings = dict.fromkeys(texts, "string")
    return frame.astype({**floats, **integers, **strings})


def find_rejected(arrived: pd.DataFrame, rejected: pd.DataFrame) -> pd.DataFrame:
    """The quarantine: image_id, path, reason, detail of every row that must not go on."""
    unread = arrived.loc[arrived["problem"] != "", ["image_id", "problem"]]
    unread = unread.rename(columns={"problem": "detail"}).assign(reason="unreadable")
    known = rejected[~rejected["image_id"].isin(unread["image_id"])]
    reasons = pd.concat([unread, known], ignore_index=True)
    quarantine = arrived[["image_id", "path"]].merge(reasons, on="image_id")
    return quarantine[["image_id", "path", "reason", "detail"]].astype("string")


def judge(arrived: pd.DataFrame, quarantine: pd.DataFrame, checks: list[Checked]) -> dict:
    """The verdict as a document: `pass`, or `fail` with a reason per critical finding."""
    failed = [line for checked in checks for line in checked.broken()]
    by_reason = quarantine["reason"].value_counts().sort_index()
    return {
        "verdict": "fail" if failed else "pass",
        "reasons": failed,
        "num_arrived": len(arrived),
        "num_rejected": len(quarantine),
        "rejected_fraction": len(quarantine) / len(arrived) if len(arrived) else 0.0,
        "rejected_by_reason": {str(reason): int(count) for reason, count in by_reason.items()},
        "suites": [checked.document() for checked in checks],
    }
