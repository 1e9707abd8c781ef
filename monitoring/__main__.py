"""Checks of predictions against the reference of the model that made them.

    python -m monitoring check --reference models/champion/reference.parquet \\
        --window predictions.parquet --out-check check.json --out-report report.html
    python -m monitoring verify check.json --reference … --window …
    python -m monitoring watch                      every day, say, by cron or `python -m flows`
    python -m monitoring deliver                    every few minutes
    python -m monitoring silence 3f2a… --hours 48

`check` writes what it found as a document, and on request a report by Evidently to look at; several
windows are judged as one. `verify` computes a document again and compares the bytes. The model is
the `classifier.onnx` beside the reference, unless --model names another. Without --as-of (`now`, or
a time in UTC) the age of the predictions is not judged.

`watch` checks what the service has kept of the last hours, and lays down what people are to be
told; `deliver` tells them, by the channels of alerts.yaml, and tells of checks that were missed;
`silence` ends reminders of an episode, by the name that its alert has, for some time.
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
    from monitoring.params import Params
    from monitoring.preconditions import Model
    from monitoring.store import Store
    from tasks.core.params import Run

PARAMS = Path("params.yaml")
_THREADS = ("OMP", "MKL", "OPENBLAS")


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 done, whatever was found; 1 a document differs; 2 a user's error; 130
    interrupted."""
    asked = _parser().parse_args(argv)
    # Evidently would otherwise tell its makers.
    os.environ["DO_NOT_TRACK"] = "1"
    try:
        return _COMMANDS[asked.command](asked)
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
    watching = commands.add_parser("watch", help="check the last hours, lay down alerts")
    delivering = commands.add_parser("deliver", help="tell people what is due")
    silencing = commands.add_parser("silence", help="end reminders of an episode for some time")
    for command in (watching, delivering, silencing):
        command.add_argument("--store", default=os.environ.get("TILTH_SERVE_STORE"))
    for command in (watching, delivering):
        command.add_argument("--alerts", type=Path, default=Path("alerts.yaml"))
        command.add_argument("--as-of", default="now")
    watching.add_argument("--champion", type=Path, default=Path("models/champion"))
    watching.add_argument("--out", type=Path, default=Path("runs/monitoring/checks"))
    silencing.add_argument("fingerprint")
    silencing.add_argument("--hours", type=float, required=True)
    return parser


def check(asked: argparse.Namespace) -> int:
    """Raises ParamsError for a mistake in params.yaml, ArtifactError for a table or a model that
    cannot be read."""
    from monitoring.params import load_params
    from tasks.artifacts.documents import save_json

    baseline = load_baseline(asked.reference, asked.model, *load_params(PARAMS))
    from monitoring.check import check_window

    window = load_windows(asked.window)
    document = check_window(baseline, window, parse_time(asked.as_of))
    save_json(document, asked.out_check)
    print(f"{asked.out_check}: {document['summary']}")
    if asked.out_report is not None:
        _report(baseline, window, document["summary"], asked.out_report)
    return 0


def _report(baseline: "Baseline", window: "pd.DataFrame", said: str, path: Path) -> None:
    from monitoring.reports import NothingToShow, write_report

    try:
        write_report(baseline, window, said, path)
        print(path)
    except NothingToShow as error:
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


def watch(asked: argparse.Namespace) -> int:
    from monitoring.params import load_params
    from tasks.artifacts.registry import NO_CHAMPION

    if (asked.champion / NO_CHAMPION).is_file():
        print(f"{asked.champion}: no model is published yet; there is nothing to watch")
        return 0
    reference = asked.champion / "reference.parquet"
    baseline = load_baseline(reference, None, *load_params(PARAMS))
    from monitoring.duty import load_alerts, watch_last
    from monitoring.retraining import consider
    from tasks.artifacts.registry import load_registry

    alerts, store = load_alerts(asked.alerts), _store(asked)
    as_of = parse_time(asked.as_of)
    assert as_of is not None
    at = as_of.to_pydatetime()
    registry = asked.champion.parent / "registry.json"
    told = {"retraining": consider(store, registry, PARAMS, at).said}
    known = {version.onnx_sha256 or "" for version in load_registry(registry).versions}
    former = known - {baseline.model.sha256}
    document = watch_last(store, baseline, alerts, at, asked.out, told, former)
    print(document["summary"])
    return 0


def deliver(asked: argparse.Namespace) -> int:
    from monitoring.duty import deliver_due, load_alerts

    as_of = parse_time(asked.as_of)
    assert as_of is not None
    for one in deliver_due(_store(asked), load_alerts(asked.alerts), as_of.to_pydatetime()):
        print(f"{one.channel}: {one.state}{one.reason and f', {one.reason}'}")
    return 0


def silence(asked: argparse.Namespace) -> int:
    from datetime import UTC, datetime, timedelta

    from monitoring.kept import silence

    until = datetime.now(UTC) + timedelta(hours=asked.hours)
    if not silence(_store(asked), asked.fingerprint, until):
        raise ParamsError(f"no episode is named {asked.fingerprint!r}; its alert names it")
    print(f"{asked.fingerprint}: no reminder before {until:%Y-%m-%d %H:%M} UTC")
    return 0


def _store(asked: argparse.Namespace) -> "Store":
    from monitoring.store import DEFAULT_STORE, Store, parse_store

    return Store(parse_store(asked.store or DEFAULT_STORE))


def load_baseline(reference: Path, model: Path | None, params: "Params", run: "Run") -> "Baseline":
    """Raises ArtifactError for a table or a model that cannot be compared with."""
    # Numeric libraries read this once, when they are imported.
    os.environ.update({f"{name}_NUM_THREADS": str(run.num_threads) for name in _THREADS})
    from monitoring.baseline import Baseline
    from tasks.artifacts.tables import load_table

    table = load_table(reference)
    described = load_model(model or reference.with_name("classifier.onnx"))
    try:
        return Baseline(table, described, params, run.seed)
    except ArtifactError as error:
        raise ArtifactError(f"{reference}: {error}") from error


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


_COMMANDS = {
    "check": check,
    "verify": verify,
    "watch": watch,
    "deliver": deliver,
    "silence": silence,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
