"""What the dashboard is given: plain values, every text of them as somebody else may have it."""

import io
from typing import Any

from PIL import Image

NOW, DAY, HOUR = 1_772_366_400.0, 86_400.0, 3600.0
START = NOW - 7 * DAY


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (40, 120, 80)).save(buffer, "PNG")
    return buffer.getvalue()


def a_check(text: str, at: float = NOW - DAY, verdict: str = "drift") -> dict[str, Any]:
    families = ("probabilities", "embeddings", "outliers", "classes", text)
    return {
        "start": at - DAY, "end": at, "at": at, "model_sha256": text, "verdict": verdict,
        "summary": text, "window": {"num_rows": 300}, "examples": [text, "b" * 32],
        "params": {"alpha": 0.01, "floors": dict.fromkeys(families, 0.05)},
        "families": {
            name: {"effect": 0.2, "adjusted": 0.001, "shows": verdict == "drift"}
            for name in families
        },
        "accuracy": {"expected": {"value": 0.9, "low": 0.8, "high": 0.95, "unreliable": True}},
    }  # fmt: skip


def an_episode(text: str, state: str = "firing", **changed: Any) -> dict[str, Any]:
    return {
        "title": "Drift", "kind": "drift", "fingerprint": text, "state": state,
        "opened_at": NOW - 3 * DAY, "changed_at": NOW - DAY, "num_alarms": 2,
        "told_at": NOW - DAY, "silenced_until": None, "acknowledged_at": None,
        "acknowledged_by": "",
    } | changed  # fmt: skip


def a_version(number: int, text: str, **changed: Any) -> dict[str, Any]:
    return {
        "version": number, "sha256": text, "onnx_sha256": text, "md5": text, "commit": text,
        "classes": [text], "metrics": {text: 0.9, "accuracy": 0.95}, "rolled_back": False,
    } | changed  # fmt: skip


def an_overview(text: str) -> dict[str, Any]:
    slots = [
        {"at": START + HOUR * n, "requests": 3, "predictions": 5, "refused": 1, "abstained": 1,
         "p50": 0.002, "p95": 0.004, "p99": None if n == 3 else 0.01}
        for n in range(168)
    ]  # fmt: skip
    return {
        "start": START, "end": NOW, "num_days": 7, "slot_seconds": 3600, "traffic": slots,
        "refusals": {text: 7}, "classes": [{"name": text, "now": 3, "before": 4}],
        "measured": [{"at": NOW - DAY, "count": 40, "value": 0.8, "low": 0.7, "high": 0.9}],
        "checks": [a_check(text, NOW - 2 * DAY, "quiet"), a_check(text)], "num_unread": 1,
        "last_checked_at": NOW - HOUR, "deliveries": {text: 2, "delivered": 3},
        "episodes": [
            an_episode(text),
            an_episode(text, acknowledged_at=NOW, acknowledged_by=text, silenced_until=NOW + DAY),
            an_episode(text, "resolved", acknowledged_by=text),
        ],
    }  # fmt: skip


def a_content(text: str = "plain", **changed: Any) -> dict[str, Any]:
    found = {"prediction_id": "b" * 32, "predicted": text, "abstained": True, "is_far": False}
    versions = [a_version(1, text), a_version(2, text, rolled_back=True), a_version(3, text)]
    return {
        "now": NOW,
        "overview": an_overview(text),
        "failure": "",
        "worst": [{"check": a_check(text), "examples": [found], "pictures": {"b" * 32: png()}}],
        "models": {"versions": versions, "champion": 3, "previous": 1, "failure": ""},
        "served": 3,
        "rollback": {"is_possible": True, "why_not": "", "tone": "good", "outcome": text},
        "reports": ["20260301T000000-20260302T000000.html"],
        "by": text,
    } | changed
