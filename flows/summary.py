"""What a run did, as text: tables for Prefect's page of a run and for a terminal."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tasks.reproduce import Outcome

# The champion too: a publication that was cut short is completed, a whole one left as it is.
PASSING = ("first", "pass", "is_champion")
MEASURED = ("finetune", "evaluate")
VERDICTS = ("validate", "promote")


class Metric(NamedTuple):
    """A measured value and the ends of its 95 % interval, where it has one."""

    name: str
    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


class Verdict(NamedTuple):
    """What a gate decided, and why."""

    word: str
    reasons: tuple[str, ...]


def load_verdict(root: Path, gate: str) -> Verdict | None:
    """The verdict of `validate` or `promote`, or None where there is none to read."""
    document = _load(root / "metrics" / f"{gate}.json")
    if not isinstance(document.get("verdict"), str):
        return None
    reasons = document.get("reasons")
    return Verdict(
        document["verdict"],
        tuple(str(reason) for reason in reasons) if isinstance(reasons, list) else (),
    )


def may_publish(root: Path) -> bool:
    """Whether `promote` let the candidate through."""
    verdict = load_verdict(root, "promote")
    return verdict is not None and verdict.word in PASSING


def load_metrics(root: Path, stage: str) -> tuple[Metric, ...]:
    """The numbers in a stage's metrics file; none where there is no such file."""
    document = _load(root / "metrics" / f"{stage}.json")
    nested = document.get("metrics")
    entries = nested if isinstance(nested, dict) else document
    metrics = (_metric(str(name), entry) for name, entry in entries.items())
    return tuple(metric for metric in metrics if metric is not None)


def load_faults(root: Path) -> tuple[tuple[str, str], ...]:
    """For each kind of planted fault, how many were found and how precisely."""
    faults = _load(root / "metrics" / "report.json").get("faults")
    if not isinstance(faults, dict):
        return ()
    return tuple((str(kind), _found(entry)) for kind, entry in faults.items())


def markdown(flow: str, outcomes: Iterable[Outcome], root: Path) -> str:
    """A page on a run for Prefect: verdicts, metrics and stages."""
    parts = [f"# {escape(flow)}"]
    for gate in VERDICTS:
        if verdict := load_verdict(root, gate):
            reasons = "".join(f"\n- {escape(reason)}" for reason in verdict.reasons)
            parts.append(f"**{gate}: {escape(verdict.word)}**{reasons and chr(10) + reasons}")
    for stage in MEASURED:
        if metrics := load_metrics(root, stage):
            rows = [(metric.name, str(metric)) for metric in metrics]
            parts.append(f"## {stage}\n\n" + _markdown_table((stage, "value (95 %)"), rows))
    stages = [(o.stage, o.outcome, f"{o.seconds:.1f}") for o in outcomes]
    parts.append("## stages\n\n" + _markdown_table(("stage", "outcome", "seconds"), stages))
    return "\n\n".join(parts) + "\n"


def plain(outcomes: Iterable[Outcome], root: Path) -> str:
    """The same for a terminal, with the planted faults found and where the pages are."""
    stages = [(o.stage, o.outcome, f"{o.seconds:.1f}") for o in outcomes]
    parts = [_plain_table(("stage", "outcome", "seconds"), stages)]
    if metrics := load_metrics(root, "evaluate"):
        rows = [(metric.name, str(metric)) for metric in metrics]
        parts.append(_plain_table(("on test", "value (95 % interval)"), rows))
    if faults := load_faults(root):
        parts.append(_plain_table(("planted fault", "found"), faults))
    for gate in VERDICTS:
        if verdict := load_verdict(root, gate):
            parts.append("\n  - ".join((f"{gate}: {verdict.word}", *verdict.reasons)))
    if pages := sorted(path.relative_to(root) for path in root.glob("reports/*.html")):
        parts.append("pages: " + "  ".join(str(page) for page in pages))
    return "\n\n".join(parts)


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    flat = " ".join(text.split())
    safe = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", safe)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _metric(name: str, entry: Any) -> Metric | None:
    ends: Mapping[str, Any] = entry if isinstance(entry, dict) else {"value": entry}
    value, low, high = (_number(ends.get(key)) for key in ("value", "low", "high"))
    return None if value is None else Metric(name, value, low, high)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _found(entry: Any) -> str:
    if not isinstance(entry, dict):
        return escape(str(entry))
    text = f"{entry.get('found', '?')} of {entry.get('planted', '?')}"
    precision = _number(entry.get("precision"))
    return text if precision is None else f"{text}, precision {precision:.2f}"


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
