"""On duty: the predictions of the last hours are checked, and whoever alerts.yaml names is told."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import PositiveFloat, StringConstraints, ValidationError

from monitoring.alerts import Alert
from monitoring.baseline import Baseline
from monitoring.channels import Channel
from monitoring.kept import moment
from monitoring.outbox import Delivered, deliver, lay_down
from monitoring.reports import NothingToShow, write_report
from monitoring.store import Store
from monitoring.tables import CHECKS
from monitoring.telling import Span
from monitoring.watch import Readers, look, tell
from tasks.artifacts.documents import load_yaml, save_json
from tasks.core.errors import ParamsError
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
    seen = look(store, Span(as_of - timedelta(hours=alerts.hours), as_of), former)
    report = folder / f"{_named(seen.span)}.html"
    links = alerts.links | {"report": str(report.absolute())}
    readers = Readers(sorted(alerts.channels), links, measures)
    document = tell(store, baseline, seen, as_of, readers)
    save_json(document, report.with_suffix(".json"))
    # Where there is nothing to show, the check says why.
    with suppress(NothingToShow):
        write_report(baseline, seen.window, document["summary"], report)
    return document


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
    last = store.find_largest(CHECKS.c.checked_at)
    if last is None or now - moment(last) <= 2 * timedelta(hours=alerts.hours):
        return False
    at = f"{moment(last):%Y-%m-%d %H:%M} UTC"
    facts = {"last check": at, "expected": f"every {alerts.hours:g} hours"}
    alert = Alert("missed-checks", "firing", "Nobody watches the model", facts, (), alerts.links)
    lay_down(store, alert, f"since {last}", sorted(alerts.channels), now)
    return True
