"""Episodes as the store keeps them, with when people were told and what they said to it."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from monitoring.episodes import Episode, Kind
from monitoring.store import Store, to_micros
from monitoring.tables import ANSWERS, EPISODES

# Of a pending episode that came to nothing: nobody was told, and it stays for whoever looks.
_PASSED = "passed"
# Each watch writes all that are not over, and of each kind the last: they are the newest rows.
_MOST_ROWS = 100


class Kept(NamedTuple):
    """Moments are microseconds since 1970. `told_at`: when people were last told of it, None if
    never; `silenced_until`: until when they are not reminded; `acknowledged_at`: when somebody took
    it on (`acknowledged_by`, "" if nobody was named), after which they are not reminded at all."""

    episode: Episode
    opened_at: int
    told_at: int | None
    silenced_until: int | None
    acknowledged_at: int | None = None
    acknowledged_by: str | None = None


def load_episodes(store: Store) -> dict[Kind, Kept]:
    """Of each kind the last one that did not come to nothing. Raises ArtifactError."""
    rows = store.load_newest(EPISODES, EPISODES.c.changed_at, _MOST_ROWS)
    kept = [kept_of(row) for row in reversed(rows) if row["state"] != _PASSED]
    last: dict[Kind, Kept] = {one.episode.kind: one for one in kept}
    return {kind: answered(store, one) for kind, one in last.items()}


def save_episodes(
    store: Store, episodes: Iterable[Kept], passed: Iterable[Kept], at: datetime
) -> None:
    """Raises ArtifactError."""
    rows = [_row(one, one.episode.state, at) for one in episodes]
    store.save(EPISODES, [*rows, *(_row(one, _PASSED, at) for one in passed)])


def silence(store: Store, fingerprint: str, until: datetime) -> bool:
    """Nobody is reminded of an episode until then; False if there is none of that name. Raises
    ArtifactError."""
    return _answer(store, fingerprint, {"silenced_until": to_micros(until)})


def acknowledge(store: Store, fingerprint: str, by: str, at: datetime) -> bool:
    """Somebody takes an episode on, and nobody is reminded of it any more; they are told when it is
    over. False if there is none of that name. Raises ArtifactError."""
    told = {"acknowledged_at": to_micros(at), "acknowledged_by": by}
    return _answer(store, fingerprint, told)


def _answer(store: Store, fingerprint: str, said: Mapping[str, Any]) -> bool:
    known = store.load(EPISODES, fingerprint=fingerprint)
    store.save(ANSWERS, [{"episode_id": row["episode_id"], **said} for row in known])
    return bool(known)


def answered(store: Store, kept: Kept) -> Kept:
    """With what people said to it. Raises ArtifactError."""
    for row in store.load(ANSWERS, episode_id=kept.episode.fingerprint):
        said = {name: row[name] for name in Kept._fields if row.get(name) is not None}
        kept = kept._replace(**said)
    return kept


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


def kept_of(row: Mapping[str, Any]) -> Kept:
    """An episode from its row, without what people said to it."""
    document = json.loads(row["document"])
    return Kept(**{**document, "episode": Episode(**document["episode"])})
