"""The command as a user types it: what it writes, says and returns."""

import json
from pathlib import Path

import numpy as np
import pytest

from monitoring.__main__ import main
from tasks.artifacts.tables import save_table
from tests.monitoring.planted import a_window


def check(*more: str, window: str = "window1.parquet") -> list[str]:
    return ["check", "--reference", "reference.parquet", "--window", window,
            "--out-check", "check.json", *more]  # fmt: skip


def test_a_check_is_written_told_and_verified(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(check("--as-of", "2026-03-01T12:00")) == 0
    assert capsys.readouterr().out.startswith("check.json: drift; ")
    first = Path("check.json").read_bytes()
    assert main(check("--as-of", "2026-03-01 13:00+01:00")) == 0
    assert Path("check.json").read_bytes() == first
    again = ["verify", "check.json", "--reference", "reference.parquet", "--window"]
    capsys.readouterr()
    assert main([*again, "window1.parquet"]) == 0
    assert capsys.readouterr().out == "check.json: the same again\n"
    document = json.loads(first)
    Path("check.json").write_text(json.dumps(document | {"verdict": "quiet"}))
    assert main([*again, "window1.parquet"]) == 1
    assert capsys.readouterr().out == "check.json: differs in verdict\n"
    assert main([*again, "window0.parquet"]) == 2
    assert "the window is" in capsys.readouterr().err


def test_several_windows_are_judged_as_one(project: Path) -> None:
    both = ["window0.parquet", "window1.parquet"]
    flags = ["--reference", "reference.parquet", "--window", *both, "--out-check", "check.json"]
    assert main(["check", *flags]) == 0
    assert json.loads(Path("check.json").read_bytes())["window"]["num_rows"] == 600


def test_a_report_is_written_and_where_there_is_none_that_is_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(check("--out-report", "reports/one.html")) == 0
    assert {path.suffix for path in Path("reports").iterdir()} == {".html", ".js"}
    save_table(a_window(0), Path("empty.parquet"))
    capsys.readouterr()
    assert main(check("--out-report", "none.html", window="empty.parquet")) == 0
    assert "none.html: no report: the window has no usable predictions" in capsys.readouterr().out
    assert not Path("none.html").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (check(window="nowhere.parquet"), "nowhere.parquet: does not exist"),
        (check(window="params.yaml"), "params.yaml: is not a readable Parquet file"),
        (check("--model", "nowhere.onnx"), "nowhere.onnx: no such model"),
        (check("--model", "params.yaml"), "params.yaml: not a readable ONNX model"),
        (check("--as-of", "yesterday"), "--as-of yesterday: expected now, or a time"),
        (
            ["check", "--reference", "window0.parquet", "--window", "window1.parquet",
             "--out-check", "check.json"],
            "window0.parquet: the reference lacks the columns ['image_id']",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert main(flags) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not Path("check.json").exists()


def test_a_model_that_is_not_the_one_of_the_window_is_an_incident(project: Path) -> None:
    window = a_window(200).assign(model_sha256=np.array(["0" * 64] * 200, dtype=object))
    save_table(window, Path("other.parquet"))
    assert main(check(window="other.parquet")) == 0
    document = json.loads(Path("check.json").read_bytes())
    assert [breach["rule"] for breach in document["breaches"]] == ["model"]
