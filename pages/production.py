"""What the dashboard shows of traffic, drift and accuracy: numbers of
`monitoring.overview.look_back` in, blocks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages.blocks import (
    Bars,
    Beside,
    Block,
    Folded,
    Link,
    Links,
    Moment,
    Notice,
    Picture,
    Table,
    Text,
    Thumbnails,
    Trend,
)
from pages.text import shorten, written_moment

_FAMILIES = {
    "probabilities": "Probabilities: largest gap between distributions of a class",
    "embeddings": "Embeddings: maximum mean discrepancy",
    "outliers": "Outliers: rise of the share of images unlike the reference",
    "classes": "Classes: share of predictions that changed class",
}
_LONGEST, _MOST_ROWS = 200, 50
_TONES = {"incident": "bad", "drift": "bad", "unclear": "warning"}
Slots = Sequence[Mapping[str, Any]]


def drift_blocks(overview: Mapping[str, Any], reports: Sequence[str]) -> list[Block]:
    """How far apart window and reference were, family by family, with the floors of the last
    check; then all checks as a table."""
    checks = overview["checks"]
    blocks: list[Block] = []
    if overview["num_unread"]:
        count = overview["num_unread"]
        blocks.append(
            Notice("warning", f"Left out, as they cannot be read: {count} of the checks.")
        )
    if not checks:
        said = "No window was checked in these days: `python -m monitoring watch` checks one."
        return [*blocks, Text(said)]
    judged = [one for one in checks if one["families"]]
    params = checks[-1]["params"]
    blocks.append(
        Text(
            "How far the predictions of a window lie from the reference, by four families of "
            "tests. An alarm lies beyond the floor and is sure, too: p at most "
            f"{params['alpha']:g}, for all families together."
        )
    )
    trends = [_family(overview, judged, name, params["floors"]) for name in _FAMILIES]
    blocks += [Beside(trends), Folded(f"Checks: {len(checks)}", [_checks(checks)])]
    if reports:
        ways = [Link(_period(name), f"/watch/reports/{name}") for name in reports]
        blocks += [Text("By Evidently, column by column:"), Links("reports of windows", ways)]
    return blocks


def _period(name: str) -> str:
    """Of the window of a report, `20260301T110000-20260302T110000.html`."""
    days = [f"{one[:4]}-{one[4:6]}-{one[6:8]} {one[9:11]}:{one[11:13]}" for one in name.split("-")]
    return " to ".join(days)


def _family(
    overview: Mapping[str, Any], judged: Slots, name: str, floors: Mapping[str, float]
) -> Trend:
    found = [(one["end"], one["families"][name]) for one in judged if name in one["families"]]
    moments = [Moment(at, one["effect"], is_marked=one["shows"]) for at, one in found]
    limits = {"floor": floors[name]} if name in floors else {}
    return Trend({"apart by": moments}, overview["start"], overview["end"], _FAMILIES[name],
                 limits, "alarm")  # fmt: skip


def _checks(checks: Slots) -> Table:
    rows = []
    for check in reversed(checks[-_MOST_ROWS:]):
        families = check["families"] or {}
        cells = [
            f"{one['effect']:.3g} (p {one['adjusted']:.2g})" if one is not None else None
            for one in (families.get(name) for name in _FAMILIES)
        ]
        rows.append((written_moment(check["end"]), cut(check["verdict"], 40),
                     check["window"]["num_rows"], *cells))  # fmt: skip
    columns = ["window until", "verdict", "predictions", *_FAMILIES]
    return Table(columns, rows, f"The newest checks, {_MOST_ROWS} at most")


def accuracy_blocks(overview: Mapping[str, Any]) -> list[Block]:
    """Expected from checks, true from what people told."""
    expected = [
        Moment(one["end"], found["value"], found["low"], found["high"], found["unreliable"])
        for one in overview["checks"]
        if (found := one["accuracy"]["expected"]) is not None
    ]
    true = [
        Moment(one["at"], one["value"], one["low"], one["high"]) for one in overview["measured"]
    ]
    if not expected and not true:
        return [Text("Nothing is known yet: no window was judged, and nobody told a true class.")]
    num_labelled = sum(one["count"] for one in overview["measured"])
    return [
        Text(
            "Expected from how sure the model is, without labels; true where people told the class "
            f"by /feedback: {num_labelled:,} predictions of these days. Bands hold 95 %."
        ),
        Trend({"expected": expected, "true": true}, overview["start"], overview["end"],
              "Share of right predictions", marked_name="unreliable, as images differ",
              is_from_zero=False),
    ]  # fmt: skip


def traffic_blocks(overview: Mapping[str, Any]) -> list[Block]:
    slots = overview["traffic"]
    if not any(one["predictions"] or one["requests"] for one in slots):
        return [Text("Nobody asked in these days.")]
    per = "hour" if overview["slot_seconds"] < 86_400 else "day"
    charts: list[Block] = [
        _trend(overview, {"predictions": "predictions", "requests": "requests"}, f"Per {per}"),
        _trend(overview, {"abstained": "abstained", "refused": "refused"},
               f"Predictions without a label, per {per}"),
        _trend(overview, {"p50": "half within", "p95": "95 % within", "p99": "99 % within"},
               "Milliseconds from request to prediction", 1000),
    ]  # fmt: skip
    if overview["refusals"]:
        rows = [(cut(reason, 60), count) for reason, count in overview["refusals"].items()]
        charts.append(Table(["refused as", "images"], rows, "Why images were refused"))
    return [Beside(charts)]


def _trend(
    overview: Mapping[str, Any], names: Mapping[str, str], caption: str, factor: float = 1
) -> Trend:
    series = {
        shown: [
            Moment(one["at"], None if one[name] is None else factor * one[name])
            for one in overview["traffic"]
        ]
        for name, shown in names.items()
    }
    return Trend(series, overview["start"], overview["end"], caption)


def class_blocks(overview: Mapping[str, Any]) -> list[Block]:
    """Shares of the commonest classes, beside those of as many days before."""
    classes = overview["classes"]
    totals = {when: sum(one[when] for one in classes) for when in ("now", "before")}
    names = {"now": "these days", "before": "as many days before"}
    series = {
        names[when]: {cut(one["name"], 60): round(100 * one[when] / total, 1) for one in classes}
        for when, total in totals.items()
        if total
    }
    if not series:
        return [Text("No class was predicted in these days.")]
    return [Bars(series, f"Per cent of predictions; the {len(classes)} commonest classes")]


def worst_blocks(worst: Slots) -> list[Block]:
    """Windows, the worst first, with predictions to look at."""
    blocks: list[Block] = []
    for one in worst:
        check, pictures = one["check"], one["pictures"]
        blocks.append(
            Notice(
                _TONES.get(check["verdict"], "warning"),
                f"{written_moment(check['start'])} to {written_moment(check['end'])}\n"
                f"{cut(check['summary'], 600)}",
            )
        )
        shown = [
            Picture(pictures[found["prediction_id"]], f"predicted {_predicted(found)}",
                    [_predicted(found), "far from the reference" if found["is_far"] else "kept",
                     found["prediction_id"]])
            for found in one["examples"]
            if found["prediction_id"] in pictures
        ]  # fmt: skip
        if shown:
            blocks.append(Thumbnails(shown, "Images that were kept, as the model sees them"))
        if check["examples"]:
            far = "\n".join(cut(name, 80) for name in check["examples"][:10])
            blocks.append(Folded("Predictions farthest from the reference", [Text(far)]))
    return blocks or [Text("No window of these days differed.")]


def _predicted(found: Mapping[str, Any]) -> str:
    predicted = "none" if found["predicted"] is None else cut(found["predicted"], 60)
    return f"{predicted} (abstained)" if found["abstained"] else predicted


def cut(text: str, length: int = _LONGEST) -> str:
    return shorten(text, length)
