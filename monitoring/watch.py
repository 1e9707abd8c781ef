"""One watch: a window is checked, what it says is kept, and people are told once.

What is to be told is laid down first, then the episodes are written, then the check, which says
that all is done. So the same call after a crash goes on where it stopped, and a window that was
watched before changes nothing.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from monitoring.baseline import Baseline
from monitoring.check import check_window
from monitoring.episodes import Episode, Patience, advance
from monitoring.kept import Kept, load_episodes, moment, save_episodes
from monitoring.outbox import lay_down
from monitoring.store import Store, to_micros
from monitoring.tables import CHECKS
from monitoring.telling import Span, compose, find_examples, find_news, is_about_the_model


class Seen(NamedTuple):
    """What a watch looks at: a span, and the predictions in it."""

    span: Span
    window: pd.DataFrame


class Readers(NamedTuple):
    """Whom to tell, by the names of channels, where they read on, by name, and what is done about
    it, by name, while it lasts."""

    channels: Sequence[str]
    links: Mapping[str, str]
    measures: Mapping[str, str] = MappingProxyType({})


def watch(
    store: Store,
    baseline: Baseline,
    span: Span,
    as_of: datetime,
    readers: Readers,
    former: Collection[str] = (),
) -> dict[str, Any]:
    """The check of the predictions of a span, together with those before it that were too few.
    `former`: models that were served before, by their sha256 (`load_watched`).

    Raises ArtifactError if the store cannot be read or written.
    """
    return tell(store, baseline, look(store, span, former), as_of, readers)


def look(store: Store, span: Span, former: Collection[str] = ()) -> Seen:
    """The predictions of a span, together with those before it that were too few. Raises
    ArtifactError."""
    span = with_those_that_waited(store, span)
    return Seen(span, load_watched(store, span, former))


def tell(
    store: Store, baseline: Baseline, seen: Seen, as_of: datetime, readers: Readers
) -> dict[str, Any]:
    """The check of what was seen; what follows from it is laid down. Raises ArtifactError."""
    span, window = seen
    document = check_window(baseline, window, pd.Timestamp(as_of))
    check = _check_row(document, span, as_of)
    if store.load(CHECKS, check_id=check["check_id"]):
        return document
    before = load_episodes(store)
    patience = Patience(baseline.params.fire_after, baseline.params.resolve_after)
    advanced = advance({kind: one.episode for kind, one in before.items()}, document, patience)
    after = {kind: _keep(before.get(kind), one, span) for kind, one in advanced.items()}
    for news in find_news(before, after.values(), as_of):
        alert = compose(news, document, span, find_examples(baseline, window), readers.links)
        if is_about_the_model(news):
            alert = alert._replace(facts={**alert.facts, **readers.measures})
        occasion = f"reminder {as_of:%Y-%m-%d}" if news.state == "reminder" else news.state
        lay_down(store, alert, occasion, readers.channels, as_of)
        told = {one.episode.kind: one._replace(told_at=to_micros(as_of)) for one in news.episodes}
        after |= told
    passed: list[Kept] = [one for kind, one in before.items() if kind not in after]
    save_episodes(store, after.values(), passed, as_of)
    store.save(CHECKS, [check])
    return document


def load_watched(store: Store, span: Span, former: Collection[str]) -> pd.DataFrame:
    """Predictions of a span without those of former models, where another has taken over: what they
    said is past. If they alone were asked, nobody has, and the check shall say so. Raises
    ArtifactError."""
    window = store.load_window(span.start, span.end)
    is_past_N = window["model_sha256"].isin(list(former))
    return window if is_past_N.all() else window[~is_past_N].reset_index(drop=True)


def with_those_that_waited(store: Store, span: Span) -> Span:
    """Begun where the last check began that had too few rows, if it ended where this begins."""
    start = to_micros(span.start)
    while (before := _start_of_waiting(store, start)) < start:
        start = before
    return span._replace(start=moment(start))


def _start_of_waiting(store: Store, end: int) -> int:
    """When the windows began that ended then with too few rows; `end` if none did."""
    ended = store.load(CHECKS, window_end=end)
    waiting = [row for row in ended if json.loads(row["document"])["verdict"] == "waiting"]
    return min((row["window_start"] for row in waiting), default=end)


def _keep(before: Kept | None, episode: Episode, span: Span) -> Kept:
    if before is not None and before.episode.fingerprint == episode.fingerprint:
        return before._replace(episode=episode)
    return Kept(episode, to_micros(span.start), None, None)


def _check_row(document: Mapping[str, Any], span: Span, as_of: datetime) -> dict[str, Any]:
    named: dict[str, Any] = {
        f"{name}_sha256": document[name]["sha256"] for name in ("window", "reference", "model")
    }
    named |= {"window_start": to_micros(span.start), "window_end": to_micros(span.end)}
    words = json.dumps(named, sort_keys=True)
    return {
        "check_id": hashlib.sha256(words.encode()).hexdigest()[:32],
        "checked_at": to_micros(as_of),
        **named,
        "document": json.dumps(document, sort_keys=True),
    }
