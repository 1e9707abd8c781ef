"""Checks of predictions against the reference of the model that made them.

    python -m monitoring check --reference models/champion/reference.parquet \\
        --window predictions.parquet --out-check check.json --out-report report.html
    python -m monitoring verify check.json --reference … --window …

`check` writes what it found as a document, and on request a report by Evidently to look at; several
windows are judged as one. `verify` computes a document again and compares the bytes. The model is
the `classifier.onnx` beside the reference, unless --model names another. Without --as-of (`now`, or
a time in UTC) the age of the predictions is not judged.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import ArtifactError, ParamsError, TilthError

if TYPE_CHECKING:
    import pandas as pd

    from monitoring.baseline import Baseline
    from monitoring.preconditions import Model

PARAMS = Path("params.yaml")
_THREADS = ("OMP", "MKL", "OPENBLAS")


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 done, whatever was found; 1 a document differs; 2 a user's error; 130
    interrupted."""
    asked = _parser().parse_args(argv)
    # Evidently would otherwise tell its makers.
    os.environ["DO_NOT_TRACK"] = "1"
    try:
        return verify(asked) if asked.command == "verify" else check(asked)
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="judge a window of predictions")
    verifying = commands.add_parser("verify", help="compute a check again, compare the bytes")
    verifying.add_argument("document", type=Path)
    for command in (checking, verifying):
        command.add_argument("--reference", type=Path, required=True)
        command.add_argument("--window", type=Path, nargs="+", required=True)
    checking.add_argument("--model", type=Path, help="the ONNX file that made the predictions")
    checking.add_argument("--as-of", default=None, help="when it is checked: now, or a time in UTC")
    checking.add_argument("--out-check", type=Path, required=True)
    checking.add_argument("--out-report", type=Path)
    return parser


def check(asked: argparse.Namespace) -> int:
    """Raises ParamsError for a mistake in params.yaml, ArtifactError for a table or a model that
    cannot be read."""
    from monitoring.params import load_params

    params, run = load_params(PARAMS)
    # Numeric libraries read this once, when they are imported.
    os.environ.update({f"{name}_NUM_THREADS": str(run.num_threads) for name in _THREADS})
    from monitoring.baseline import Baseline
    from monitoring.check import check_window
    from tasks.artifacts.documents import save_json
    from tasks.artifacts.tables import load_table

    reference, window = load_table(asked.reference), load_windows(asked.window)
    model = load_model(asked.model or asked.reference.with_name("classifier.onnx"))
    try:
        baseline = Baseline(reference, model, params, run.seed)
    except ArtifactError as error:
        raise ArtifactError(f"{asked.reference}: {error}") from error
    document = check_window(baseline, window, parse_time(asked.as_of))
    save_json(document, asked.out_check)
    print(f"{asked.out_check}: {document['summary']}")
    if asked.out_report is not None:
        _report(baseline, window, document["summary"], asked.out_report)
    return 0


def _report(baseline: "Baseline", window: "pd.DataFrame", said: str, path: Path) -> None:
    from monitoring.baseline import comparable
    from monitoring.reports import make_report, save_report

    params = baseline.params
    try:
        tables = comparable(baseline, window)
        report = make_report(*tables, said, params.num_report_rows, baseline.seed)
        save_report(report, path)
        print(path)
    except ArtifactError as error:
        # What was found of the window is written, and says why there is nothing to show.
        print(f"{path}: {error}")


def verify(asked: argparse.Namespace) -> int:
    from monitoring.check import check_again
    from tasks.artifacts.documents import load_json
    from tasks.artifacts.tables import load_table

    document = load_json(asked.document)
    again = check_again(document, load_table(asked.reference), load_windows(asked.window))
    if again == document:
        print(f"{asked.document}: the same again")
        return 0
    different = sorted(name for name in again if again[name] != document.get(name))
    print(f"{asked.document}: differs in {', '.join(different)}")
    return 1


def load_model(path: Path) -> "Model":
    """Raises ArtifactError if there is none, or none of ours."""
    from monitoring.preconditions import Model
    from tasks.core.onnx_model import describe_session, make_session

    if not path.is_file():
        raise ArtifactError(f"{path}: no such model; --model names the one that was served")
    data = path.read_bytes()
    try:
        classes = describe_session(make_session(data, 1)).classes
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
    return Model(hashlib.sha256(data).hexdigest(), tuple(classes))


def load_windows(paths: Sequence[Path]) -> "pd.DataFrame":
    import pandas as pd

    from tasks.artifacts.tables import load_table

    return pd.concat([load_table(path) for path in paths], ignore_index=True)


def parse_time(text: str | None) -> "pd.Timestamp | None":
    """Raises ParamsError for what is no time."""
    import pandas as pd

    if text is None:
        return None
    try:
        time = pd.Timestamp.now("UTC") if text == "now" else pd.Timestamp(text)
    except ValueError:
        raise ParamsError(
            f"--as-of {text}: expected now, or a time such as 2026-03-01T06:00"
        ) from None
    return time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
