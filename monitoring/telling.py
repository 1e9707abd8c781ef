"""What people are told of episodes after a check: once when they fire, at most daily while they
last, once when they are over; all that happens at a check in one alert."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd

from monitoring.alerts import Alert, State
from monitoring.baseline import Baseline
from monitoring.check import farthest
from monitoring.diagnosis import Finding, in_words
from monitoring.drift import Family
from monitoring.episodes import TITLES, Kind
from monitoring.kept import Kept, moment
from monitoring.preconditions import refused
from monitoring.rows import read_rows

_REMIND_AFTER = timedelta(days=1)


class Span(NamedTuple):
    """From when to when predictions are looked at, the end left out."""

    start: datetime
    end: datetime


class News(NamedTuple):
    """What is told in one alert."""

    state: State
    episodes: Sequence[Kept]


def find_news(before: Mapping[Kind, Kept], after: Iterable[Kept], now: datetime) -> Iterator[News]:
    states: dict[State, list[Kept]] = {"firing": [], "reminder": [], "resolved": []}
    for kept in after:
        was = before.get(kept.episode.kind)
        is_same = was is not None and was.episode.fingerprint == kept.episode.fingerprint
        fired = was is not None and is_same and was.episode.state == "firing"
        if kept.episode.state == "firing" and not fired:
            states["firing"].append(kept)
        elif kept.episode.state == "firing" and _is_due(kept, now):
            states["reminder"].append(kept)
        elif kept.episode.state == "resolved" and fired:
            states["resolved"].append(kept)
    yield from (News(state, episodes) for state, episodes in states.items() if episodes)


def _is_due(kept: Kept, now: datetime) -> bool:
    if kept.acknowledged_at is not None:
        return False
    is_silenced = kept.silenced_until is not None and now < moment(kept.silenced_until)
    was_told = kept.told_at is not None and now - moment(kept.told_at) < _REMIND_AFTER
    return not is_silenced and not was_told


def is_about_the_model(news: News) -> bool:
    """Whether another model may help: not against broken data, nor when it is over."""
    kinds = {one.episode.kind for one in news.episodes}
    return news.state != "resolved" and bool(kinds & {"drift", "accuracy"})


def compose(
    news: News,
    document: Mapping[str, Any],
    span: Span,
    examples: tuple[str, ...],
    links: Mapping[str, str],
) -> Alert:
    kinds: list[Kind] = [one.episode.kind for one in news.episodes]
    since = moment(min(one.opened_at for one in news.episodes))
    return Alert(
        fingerprint="+".join(one.episode.fingerprint for one in news.episodes),
        state=news.state,
        title=_title(kinds, document),
        facts={**_facts(document, span), "since": _written(since)},
        examples=examples if news.state != "resolved" else (),
        links=links,
    )


def _title(kinds: Sequence[Kind], document: Mapping[str, Any]) -> str:
    title = " and ".join(TITLES[kind] for kind in kinds)
    causes = [Finding(**cause) for cause in document["causes"]]
    return f"{title}: {in_words(causes)}" if causes else title


def _facts(document: Mapping[str, Any], span: Span) -> dict[str, str]:
    families = {
        name: f"apart by {one['effect']:.3g} (p {one['adjusted']:.2g})"
        for name, one in (document["families"] or {}).items()
        if Family(**{key: one[key] for key in Family._fields}).shows(document["params"]["alpha"])
    }
    num_rows = document["window"]["num_rows"]
    return {
        "check": document["summary"],
        **families,
        "window": f"{_written(span.start)} to {_written(span.end)}, {num_rows:,} predictions",
        "model": document["model"]["sha256"][:12],
        "reference": document["reference"]["sha256"][:12],
    }


def find_examples(baseline: Baseline, window: pd.DataFrame) -> tuple[str, ...]:
    """Ids of the predictions that lie farthest from the reference; none of a window that cannot
    be read."""
    if not {"prediction_id", "refused", "embedding", "probabilities"} <= set(window.columns):
        return ()
    decoded = window[~refused(window)]
    rows, is_used_M = read_rows(decoded, baseline.width, len(baseline.model.classes))
    if not is_used_M.any():
        return ()
    distance_N = baseline.divided.fitted.distances(rows.embeddings_ND)
    return tuple(farthest(decoded[is_used_M], distance_N))


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
