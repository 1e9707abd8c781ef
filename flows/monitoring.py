"""The flow on duty: checks what the served model was asked lately, and tells people."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import flow
from prefect.events import emit_event

from flows.run import beside, main

if TYPE_CHECKING:
    from monitoring.kept import Kept


@flow(name="monitoring", persist_result=False)
def monitoring(as_of: str = "now") -> tuple[str, ...]:
    """Checks the hours before `as_of` (now, or a time in UTC to make up for), tells people by the
    channels of alerts.yaml, and emits an event for each episode that lasts. The same window twice
    counts once. Gives the names of the episodes.

    Raises:
        FlowFailed: the store, the champion or alerts.yaml cannot be read.
    """
    with beside("monitoring") as held:
        held.run_module("monitoring", "watch", "--as-of", as_of)
        held.run_module("monitoring", "deliver", "--as-of", as_of)
    firing = [kept for kept in _episodes() if kept.episode.state == "firing"]
    for kept in firing:
        emit_event(
            event=f"tilth.{kept.episode.kind}.firing",
            resource={"prefect.resource.id": f"tilth.episode.{kept.episode.fingerprint}"},
            payload={"kind": kept.episode.kind, "opened_at": kept.opened_at},
        )
    return tuple(kept.episode.fingerprint for kept in firing)


def _episodes() -> list["Kept"]:
    from monitoring.kept import load_episodes
    from monitoring.store import DEFAULT_STORE, Store, parse_store

    store = Store(parse_store(os.environ.get("TILTH_SERVE_STORE", DEFAULT_STORE)))
    try:
        return list(load_episodes(store).values())
    finally:
        store.close()


@flow(name="delivery", persist_result=False)
def delivery() -> None:
    """Tells people what is due, and of checks that were missed.

    Raises:
        FlowFailed: the store or alerts.yaml cannot be read.
    """
    with beside("delivery") as held:
        held.run_module("monitoring", "deliver")


if __name__ == "__main__":
    sys.exit(main(monitoring, sys.argv[1:]))
