"""From checks to episodes, so that one cause makes one alarm: pending → firing → resolved.

An episode begins at a check that alarms, fires once `fire_after` in a row do, and is resolved once
`resolve_after` in a row are quiet. A check between the two, neither alarm nor quiet, counts as
neither; a window that waits for more rows changes nothing. Broken data fires at once: it needs no
second look, and is another kind of episode than drift.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal, NamedTuple

Kind = Literal["incident", "drift", "accuracy"]
Signal = Literal["alarm", "unclear", "quiet", "nothing"]
TITLES: Mapping[Kind, str] = {
    "incident": "The data is broken",
    "drift": "Drift",
    "accuracy": "Accuracy fell",
}
KINDS: tuple[Kind, ...] = tuple(TITLES)


class Patience(NamedTuple):
    """How many checks in a row it takes."""

    fire_after: int
    resolve_after: int


class Episode(NamedTuple):
    """`since` and `last` are the windows (their SHA-256) that began it and that it saw last;
    `num_alarms` and `num_quiet` are in a row, up to that one."""

    kind: Kind
    fingerprint: str
    state: Literal["pending", "firing", "resolved"]
    since: str
    last: str
    num_alarms: int
    num_quiet: int


def advance(
    episodes: Mapping[Kind, Episode], check: Mapping[str, Any], patience: Patience
) -> dict[Kind, Episode]:
    """The episodes after a check (a document of `check_window`). A pending one that came to nothing
    is gone; a resolved one stays until its next alarm. The same check twice counts once."""
    after: dict[Kind, Episode] = {}
    for kind in KINDS:
        is_urgent = kind == "incident"
        asked = patience._replace(fire_after=1, resolve_after=1) if is_urgent else patience
        episode = next_episode(episodes.get(kind), kind, signal_of(kind, check), check, asked)
        if episode is not None:
            after[kind] = episode
    return after


def signal_of(kind: Kind, check: Mapping[str, Any]) -> Signal:
    """What a check says about one kind of episode."""
    verdict = check["verdict"]
    if verdict == "waiting":
        return "nothing"
    if kind == "incident":
        return "alarm" if verdict == "incident" else "quiet"
    if verdict == "incident":
        return "nothing"
    if kind == "drift":
        return "alarm" if verdict == "drift" else verdict
    measured = check["accuracy"]["measured"]
    if measured is None:
        return "nothing"
    return "alarm" if measured["is_worse"] else "quiet"


def next_episode(
    episode: Episode | None,
    kind: Kind,
    signal: Signal,
    check: Mapping[str, Any],
    patience: Patience,
) -> Episode | None:
    window = check["window"]["sha256"]
    if signal == "nothing" or (episode is not None and episode.last == window):
        return episode
    if episode is None or episode.state == "resolved":
        if signal != "alarm":
            return episode
        name = sha256(f"{kind}\n{check['model']['sha256']}\n{window}".encode()).hexdigest()[:16]
        episode = Episode(kind, name, "pending", window, window, 0, 0)
    num_alarms = {"alarm": episode.num_alarms + 1, "unclear": episode.num_alarms}.get(signal, 0)
    num_quiet = {"quiet": episode.num_quiet + 1, "unclear": episode.num_quiet}.get(signal, 0)
    state = episode.state
    if state == "pending":
        if num_quiet:
            return None
        state = "firing" if num_alarms >= patience.fire_after else "pending"
    elif num_quiet >= patience.resolve_after:
        state = "resolved"
    return episode._replace(state=state, last=window, num_alarms=num_alarms, num_quiet=num_quiet)
