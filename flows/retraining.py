"""The flow that drift starts: enough new labels begin another training, too few are asked for."""

import os
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import flow, get_run_logger
from prefect.events import emit_event

from flows.data import bring_up_to_date
from flows.run import DEFAULT_WAIT_SECONDS, Checkout, checkout, main, task_runner
from tasks.artifacts.registry import REGISTRY

if TYPE_CHECKING:
    from monitoring.retraining import Decision
    from monitoring.store import Store

# What starts the deployment `training`, wherever that runs.
DATA_READY = "tilth.data.ready"
PARAMS = Path("params.yaml")


@flow(name="retraining", task_runner=task_runner(), persist_result=False)
def retraining(wait_seconds: float = DEFAULT_WAIT_SECONDS) -> str:
    """Decides whether the model is trained again; if so, takes in the new labels, brings the data
    up to date, and emits the event on which training begins. Gives what it decided.

    Raises:
        BusyError: another run still holds the checkout after `wait_seconds`.
        FlowFailed: the params are wrong, or a stage failed.
        ArtifactError: the store cannot be read or written.
    """
    from monitoring.store import DEFAULT_STORE, Store, parse_store

    with closing(Store(parse_store(os.environ.get("TILTH_SERVE_STORE", DEFAULT_STORE)))) as store:
        decision = _consider(store)
        # Mostly there is nothing to do, for which nobody need wait.
        if decision.action != "retrain":
            return decision.action
        with checkout("retraining", wait_seconds) as held:
            return _retrain(held, store)


def _consider(store: "Store") -> "Decision":
    from monitoring.retraining import consider

    decision = consider(store, REGISTRY, PARAMS, datetime.now(UTC))
    get_run_logger().info("retraining %s", decision.said)
    return decision


def _retrain(held: Checkout, store: "Store") -> str:
    from monitoring.retraining import note_begin

    begun, decision = datetime.now(UTC), _consider(store)
    if decision.action == "retrain":
        bring_up_to_date(held, take_in=True)
        emit_event(event=DATA_READY, resource={"prefect.resource.id": "tilth.data"})
        # Noted last: what fails before is tried again when drift asks next.
        note_begin(store, decision, begun)
    return decision.action


if __name__ == "__main__":
    sys.exit(main(retraining, sys.argv[1:]))
