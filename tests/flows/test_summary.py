"""What a run did, as text."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.summary import escape, load_verdict, markdown, may_publish, plain
from tasks.reproduce import Outcome

OUTCOMES = (Outcome("ingest", "ran", 12.34), Outcome("clean", "skipped", 0.5))


def write(root: Path, name: str, document: Any) -> None:
    (root / "metrics").mkdir(exist_ok=True)
    (root / "metrics" / f"{name}.json").write_text(json.dumps(document))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "validate", {"verdict": "fail", "reasons": ["<script>alert(1)</script>"]})
    write(tmp_path, "promote", {"verdict": "refused", "reasons": ["slice | dark: -0.1"]})
    write(tmp_path, "finetune", {"balanced_accuracy": 0.9712, "seed": "x", "ok": True})
    interval = {"value": 0.91, "low": 0.9, "high": 0.92}
    write(tmp_path, "evaluate", {"metrics": {"accuracy": interval, "macro_f1": {"value": 0.5}}})
    faults = {"truncated": {"planted": 9, "found": 8, "precision": 0.75}, "odd": {"found": 1}}
    write(tmp_path, "report", {"faults": faults})
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "quality.html").touch()
    return tmp_path


def test_the_page_of_a_run_has_verdicts_metrics_and_stages(root: Path) -> None:
    page = markdown("training", OUTCOMES, root)
    assert "**validate: fail**" in page
    assert "- &lt;script&gt;alert\\(1\\)&lt;/script&gt;" in page
    assert "- slice \\| dark: -0.1" in page
    assert "| balanced\\_accuracy | 0.9712 |" in page
    assert "| accuracy | 0.9100 \\(0.9000 to 0.9200\\) |" in page
    assert "| macro\\_f1 | 0.5 |" in page
    assert "| ingest | ran | 12.3 |" in page
    assert "<script>" not in page
    assert "seed" not in page


def test_a_terminal_gets_the_faults_and_the_pages_too(root: Path) -> None:
    text = plain(OUTCOMES, root)
    assert "ingest  ran      12.3" in text
    assert "accuracy  0.9100 (0.9000 to 0.9200)" in text
    assert "truncated      8 of 9, precision 0.75" in text
    assert "odd            1 of ?" in text
    assert "promote: refused\n  - slice | dark: -0.1" in text
    assert text.endswith("pages: reports/quality.html")


def test_nothing_measured_yet_is_no_error(tmp_path: Path) -> None:
    assert "| ingest | ran | 12.3 |" in markdown("data", OUTCOMES, tmp_path)
    assert "ingest" in plain(OUTCOMES, tmp_path)
    assert plain((), tmp_path) == "stage  outcome  seconds"


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"verdict": 3}', '{"faults": [1]}', "\x00"])
def test_files_of_another_shape_are_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics").mkdir()
    for name in ("validate", "promote", "finetune", "evaluate", "report"):
        (tmp_path / "metrics" / f"{name}.json").write_text(text)
    assert "ingest" in markdown("data", OUTCOMES, tmp_path)
    assert "ingest" in plain(OUTCOMES, tmp_path)
    assert load_verdict(tmp_path, "promote") is None
    assert not may_publish(tmp_path)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("first", True),
        ("pass", True),
        ("refused", False),
        ("is_champion", True),
        ("passed", False),
    ],
)
def test_only_a_passing_verdict_publishes(tmp_path: Path, verdict: str, expected: bool) -> None:
    write(tmp_path, "promote", {"verdict": verdict, "reasons": []})
    assert may_publish(tmp_path) is expected


def test_text_shows_as_it_is() -> None:
    assert escape("a\n| b <i>*c*</i> & `d` [e](f)") == (
        "a \\| b &lt;i&gt;\\*c\\*&lt;/i&gt; &amp; \\`d\\` \\[e\\]\\(f\\)"
    )
