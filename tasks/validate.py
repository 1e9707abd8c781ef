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
from tasks.artifacts.memory import Memory
from tasks.artifacts.tables import load_table, save_table
from tasks.artifacts.thumbnails import load_thumbnails
from tasks.core.gate import REASONS, Limits
from tasks.core.issues import Thresholds, find_issues
from tasks.core.measures import Measures
from tasks.core.params import Section
from tasks.decoding import MeasuredGroup, Rejected, measure_row_group
from tasks.pool import Salvaged, Workers, find_pieces
from tasks.progress import progress

_NUM_SHOWN = 6


class Expectations(Section):
    """What users expect of the index and of the measures, beyond the suites."""

    raw: list[RowsRule]
    measures: list[MeasuresRule]


class Params(Section):
    """`issues`: an image whose score is below has the issue; `issue_fence`: so has one that lies
    this many interquartile ranges below the lower quartile of all."""

    max_pixels: PositiveInt
    max_file_bytes: PositiveInt
    max_frames: PositiveInt
    min_size: PositiveInt
    max_rejected_fraction: Annotated[float, Field(ge=0, lt=1)]
    issues: Thresholds
    issue_fence: Annotated[float, Field(gt=0)]
    expectations: Expectations

    def limits(self) -> Limits:
        return Limits(
            max_file_bytes=self.max_file_bytes,
            max_pixels=self.max_pixels,
            max_frames=self.max_frames,
            min_size=self.min_size,
        )


class Measured(NamedTuple):
    """`measures`: a row per image that decoded. `rejected`: image_id, reason, detail of others."""

    measures: pd.DataFrame
    rejected: pd.DataFrame


def main(
    index: Path,
    shards: Path,
    out_measures: Path,
    out_issues: Path,
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
    issues = find_issues(measures.reset_index(drop=True), params.issues, params.issue_fence)
    asked, suite = params.expectations, measures_suite(params.max_rejected_fraction, len(arrived))
    checks = [
        check(extend(raw_suite(), asked.raw), add_asked_columns(accepted)),
        check(extend(suite, asked.measures), measures),
    ]
    verdict = judge(arrived, quarantine, issues, checks, params.limits())
    save_table(measures, out_measures)
    save_table(_with_paths(issues, arrived), out_issues)
    save_table(quarantine, out_quarantine)
    save_json(verdict, out_verdict)
    worst = _with_paths(issues.groupby("issue", sort=False).head(_NUM_SHOWN), arrived)
    pictures = load_thumbnails(shards, arrived, frozenset(worst["image_id"]), params.limits())
    page = render_page(
        "Arrivals",
        "What came in, before anything is cleaned.",
        arrivals_sections(arrived, measures, worst, pictures, quarantine, verdict),
        verdict_notice(verdict),
    )
    save_text(page, out_page)


def measure_shards(shards: list[Path], params: Params, num_workers: int) -> Measured:
    """Decodes and measures every image once; shards measured before are remembered."""
    limits = params.limits()
    memory = Memory("validate", ".parquet", limits)
    remembered = {shard: memory.path(shard) for shard in shards}
    memory.keep_only(set(remembered.values()))
    pieces = find_pieces({shard: None for shard in shards if not remembered[shard].is_file()})
    parts: list[pd.DataFrame] = []
    with Workers(num_workers, measure_row_group) as workers:
        results = workers.map(pieces, (limits,))
        for piece, result in progress(results, len(pieces), "validate"):
            groups = result.parts if isinstance(result, Salvaged) else [result]
            if isinstance(result, Salvaged):
                groups.append(_crashed(result.deadly))
            parts += [_frame(group) for group in groups]
            if piece.is_last:
                save_table(pd.concat(parts, ignore_index=True), remembered[piece.shard])
                parts = []
    rows = pd.concat([load_table(remembered[shard]) for shard in shards], ignore_index=True)
    rejected = rows["reason"].notna()
    measures = rows.loc[~rejected].drop(columns=["reason", "detail"]).reset_index(drop=True)
    return Measured(
        measures.astype({"width": "int64", "height": "int64", "channels": "int64"}),
        rows.loc[rejected, list(Rejected._fields)].reset_index(drop=True),
    )


def _crashed(image_ids: list[str]) -> MeasuredGroup:
    detail = REASONS["crashed_decoder"]
    return MeasuredGroup([], [Rejected(one, "crashed_decoder", detail) for one in image_ids])


def _frame(group: MeasuredGroup) -> pd.DataFrame:
    """One row per image: its measures, or the reason why it is rejected."""
    columns = ["image_id", *Measures._fields, "reason", "detail"]
    none = [None] * len(Measures._fields)
    rows = [(image_id, *measures, None, None) for image_id, measures in group.measured]
    rows += [(image_id, *none, reason, detail) for image_id, reason, detail in group.rejected]
    kinds = {"int": "Int64", "float": "float64", "str": "string"}
    types = {name: kinds[kind.__name__] for name, kind in Measures.__annotations__.items()}
    texts = dict.fromkeys(("image_id", "reason", "detail"), "string")
    return pd.DataFrame(rows, columns=columns).astype({**types, **texts})


def find_rejected(arrived: pd.DataFrame, rejected: pd.DataFrame) -> pd.DataFrame:
    """The quarantine: image_id, path, reason, detail, content_hash of every row that must not go
    on. What its source could not give is told before what its bytes are."""
    unread = arrived.loc[arrived["problem"] != "", ["image_id", "problem"]].astype("string")
    told = unread["problem"].str.split(": ", n=1)
    unread = unread[["image_id"]].assign(reason=told.str[0], detail=told.str[1])
    known = rejected[~rejected["image_id"].isin(unread["image_id"])]
    reasons = pd.concat([unread, known], ignore_index=True)
    quarantine = arrived[["image_id", "path"]].merge(reasons, on="image_id")
    # Files of equal content are numbered after it.
    hashes = quarantine["image_id"].astype("string").str.split("-").str[0]
    columns = ["image_id", "path", "reason", "detail", "content_hash"]
    return quarantine.assign(content_hash=hashes)[columns].astype("string")


def judge(
    arrived: pd.DataFrame,
    quarantine: pd.DataFrame,
    issues: pd.DataFrame,
    checks: list[Checked],
    limits: Limits,
) -> dict:
    """The verdict as a document: `pass`, or `fail` with a reason per critical finding."""
    failed = [line for checked in checks for line in checked.broken()]
    return {
        "verdict": "fail" if failed else "pass",
        "reasons": failed,
        "limits": limits.model_dump(),
        "num_arrived": len(arrived),
        "num_rejected": len(quarantine),
        "rejected_fraction": len(quarantine) / len(arrived) if len(arrived) else 0.0,
        "rejected_by_reason": _counts(quarantine["reason"]),
        "images_by_issue": _counts(issues["issue"]),
        "suites": [checked.document() for checked in checks],
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}


def _with_paths(issues: pd.DataFrame, arrived: pd.DataFrame) -> pd.DataFrame:
    texts = dict.fromkeys(("image_id", "issue", "against", "path"), "string")
    paths = arrived.set_index("image_id")["path"]
    return issues.assign(path=issues["image_id"].map(paths)).astype({**texts, "score": "float64"})
