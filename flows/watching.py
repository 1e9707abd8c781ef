"""The flow on duty: checks what the served model was asked lately, and tells people."""

import os
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import flow
from prefect.events import emit_event

from flows.run import DEFAULT_WAIT_SECONDS, Checkout, beside, checkout, main
from tasks.artifacts.documents import load_json
from tasks.artifacts.registry import REGISTRY, load_registry

if TYPE_CHECKING:
    from monitoring.kept import Kept
    from monitoring.store import Store

PREVIOUS, SHADOW = Path("runs/monitoring/previous"), Path("runs/monitoring/shadow.json")


@flow(name="monitoring", persist_result=False)
def monitoring(as_of: str = "now", wait_seconds: float = DEFAULT_WAIT_SECONDS) -> tuple[str, ...]:
    """Checks the hours before `as_of` (now, or a time in UTC to make up for), brings the previous
    model back if it is surely better, tells people by the channels of alerts.yaml, and emits an
    event for each episode that lasts. The same window twice counts once. Gives the names of the
    episodes.

    Raises:
        FlowFailed: the store, the champion or alerts.yaml cannot be read.
        BusyError: it is to go back, and another run still holds the checkout after `wait_seconds`.
    """
    with beside("monitoring") as held:
        held.run_module("monitoring", "watch", "--as-of", as_of)
        if as_of == "now":
            reconsider(held, wait_seconds)
        held.run_module("monitoring", "deliver", "--as-of", as_of)
    firing = [kept for kept in _episodes() if kept.episode.state == "firing"]
    for kept in firing:
        emit_event(
            event=f"tilth.{kept.episode.kind}.firing",
            resource={"prefect.resource.id": f"tilth.episode.{kept.episode.fingerprint}"},
            payload={"kind": kept.episode.kind, "opened_at": kept.opened_at},
        )
    return tuple(kept.episode.fingerprint for kept in firing)


def reconsider(held: Checkout, wait_seconds: float) -> None:
    """Asks the previous model about what the champion was asked, and goes back to it if the
    champion is significantly worse. Raises as `monitoring` does."""
    from monitoring.shadow import tell, way_back

    if way_back(load_registry(REGISTRY)) is None:
        return
    held.run_module("tasks.rollback", "--look", str(PREVIOUS))
    held.run_module("monitoring.shadow", "--previous", str(PREVIOUS), "--out", str(SHADOW))
    document = load_json(SHADOW)
    if document["verdict"] != "worse":
        return
    with checkout("rollback", wait_seconds) as own:
        champion = load_registry(REGISTRY).champion
        # While it waited another model may have been published.
        if champion is None or champion.onnx_sha256 != document["champion"]["sha256"]:
            return
        own.run_module("tasks.rollback")
        own.advance("Roll back")
    from monitoring.duty import load_alerts

    with _store() as store:
        tell(store, load_alerts(Path("alerts.yaml")), document, "resolved", datetime.now(UTC))


def _episodes() -> list["Kept"]:
    from monitoring.kept import load_episodes

    with _store() as store:
        return list(load_episodes(store).values())


def _store() -> "closing[Store]":
    from monitoring.store import DEFAULT_STORE, Store, parse_store

    return closing(Store(parse_store(os.environ.get("TILTH_SERVE_STORE", DEFAULT_STORE))))


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
