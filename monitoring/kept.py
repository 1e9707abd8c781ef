"""Episodes as the store keeps them, with when people were told."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from monitoring.episodes import Episode, Kind
from monitoring.store import Store, to_micros
from monitoring.tables import EPISODES

# Of a pending episode that came to nothing: nobody was told, and it stays for whoever looks.
_PASSED = "passed"
# Each watch writes all that are not over, and of each kind the last: they are the newest rows.
_MOST_ROWS = 100


class Kept(NamedTuple):
    """Moments are microseconds since 1970. `told_at`: when people were last told of it, None if
    never; `silenced_until`: until when they are not reminded."""

    episode: Episode
    opened_at: int
    told_at: int | None
    silenced_until: int | None


def load_episodes(store: Store) -> dict[Kind, Kept]:
    """Of each kind the last one that did not come to nothing. Raises ArtifactError."""
    rows = store.load_newest(EPISODES, EPISODES.c.changed_at, _MOST_ROWS)
    kept = [_kept(row) for row in reversed(rows) if row["state"] != _PASSED]
    return {one.episode.kind: one for one in kept}


def save_episodes(
    store: Store, episodes: Iterable[Kept], passed: Iterable[Kept], at: datetime
) -> None:
    """Raises ArtifactError."""
    rows = [_row(one, one.episode.state, at) for one in episodes]
    store.save(EPISODES, [*rows, *(_row(one, _PASSED, at) for one in passed)])


def silence(store: Store, fingerprint: str, until: datetime) -> bool:
    """Nobody is reminded of an episode until then; False if there is none of that name. Raises
    ArtifactError."""
    rows = store.load(EPISODES, fingerprint=fingerprint)
    silenced = [
        row | {"document": _document(_kept(row)._replace(silenced_until=to_micros(until)))}
        for row in rows
    ]
    store.save(EPISODES, silenced)
    return bool(silenced)


def moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def _row(kept: Kept, state: str, at: datetime) -> dict[str, Any]:
    return {
        "episode_id": kept.episode.fingerprint,
        "fingerprint": kept.episode.fingerprint,
        "state": state,
        "opened_at": kept.opened_at,
        "changed_at": to_micros(at),
        "document": _document(kept),
    }


def _document(kept: Kept) -> str:
    return json.dumps({**kept._asdict(), "episode": kept.episode._asdict()}, sort_keys=True)


def _kept(row: Mapping[str, Any]) -> Kept:
    document = json.loads(row["document"])
    return Kept(**{**document, "episode": Episode(**document["episode"])})
