"""On duty: the predictions of the last hours are checked, and whoever alerts.yaml names is told."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import PositiveFloat, StringConstraints, ValidationError

from monitoring.alerts import Alert
from monitoring.baseline import Baseline, comparable
from monitoring.channels import Channel
from monitoring.kept import moment
from monitoring.outbox import Delivered, deliver, lay_down
from monitoring.reports import make_report, save_report
from monitoring.store import Store
from monitoring.tables import CHECKS
from monitoring.telling import Span
from monitoring.watch import Readers, load_watched, watch, with_those_that_waited
from tasks.artifacts.documents import load_yaml, save_json
from tasks.core.errors import ArtifactError, ParamsError
from tasks.core.params import Section, explain_validation

Name = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[\w .-]+$")]


class Alerts(Section):
    """`hours` of predictions are checked together; `links` stand in every alert; `channels` are
    those who are told."""

    hours: PositiveFloat
    links: dict[Name, str]
    channels: dict[Name, Channel]


def load_alerts(path: Path) -> Alerts:
    """Raises ParamsError, with a line per mistake; ArtifactError if there is no such YAML."""
    values = load_yaml(path)
    try:
        return Alerts.model_validate(values)
    except ValidationError as error:
        lines = explain_validation("alerts", error, values)
        raise ParamsError("\n  ".join([f"{path}:", *lines])) from None


def watch_last(
    store: Store,
    baseline: Baseline,
    alerts: Alerts,
    as_of: datetime,
    folder: Path,
    measures: Mapping[str, str],
    former: Collection[str],
) -> dict[str, Any]:
    """The check of the last hours; beside it in `folder`, named by its window, a report to look at.
    `measures`: what is done about drift, to be told with it; `former`: models served before.

    Raises ArtifactError if the store cannot be read or written, or the folder not written.
    """
    span = Span(as_of - timedelta(hours=alerts.hours), as_of)
    seen = with_those_that_waited(store, span)
    readers = Readers(sorted(alerts.channels), alerts.links | _report_link(folder, seen), measures)
    document = watch(store, baseline, span, as_of, readers, former)
    save_json(document, folder / f"{_named(seen)}.json")
    try:
        tables = comparable(baseline, load_watched(store, seen, former))
    except ArtifactError:
        return document  # There is nothing to show; the check says why.
    most = baseline.params.num_report_rows
    report = make_report(*tables, document["summary"], most, baseline.seed)
    save_report(report, folder / f"{_named(seen)}.html")
    return document


def _report_link(folder: Path, span: Span) -> dict[str, str]:
    return {"report": str((folder / f"{_named(span)}.html").absolute())}


def _named(span: Span) -> str:
    return f"{span.start:%Y%m%dT%H%M%S}-{span.end:%Y%m%dT%H%M%S}"


def deliver_due(store: Store, alerts: Alerts, now: datetime) -> Iterable[Delivered]:
    """Tells what is due, first of all that checks are missing where they are. To be called often,
    by another than who checks.

    Raises ArtifactError if the store cannot be read or written.
    """
    tell_of_missed_checks(store, alerts, now)
    return deliver(store, {name: one.send for name, one in alerts.channels.items()}, now)


def tell_of_missed_checks(store: Store, alerts: Alerts, now: datetime) -> bool:
    """Whether the last check was made more than two periods ago; told once. Before the first one
    nothing is missed."""
    last = max((row["checked_at"] for row in store.load(CHECKS)), default=None)
    if last is None or now - moment(last) <= 2 * timedelta(hours=alerts.hours):
        return False
    at = f"{moment(last):%Y-%m-%d %H:%M} UTC"
    facts = {"last check": at, "expected": f"every {alerts.hours:g} hours"}
    alert = Alert("missed-checks", "firing", "Nobody watches the model", facts, (), alerts.links)
    lay_down(store, alert, f"since {last}", sorted(alerts.channels), now)
    return True
