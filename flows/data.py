"""The flow of the data team: everything up to the page on the quality of the data."""

import os
import sys
from pathlib import Path

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import flow

from flows.run import DEFAULT_WAIT_SECONDS, Checkout, checkout, main, task_runner
from tasks.reproduce import Outcome

TARGETS = ("quality",)


@flow(name="data", task_runner=task_runner(), persist_result=False)
def data(take_in: bool = False, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> tuple[Outcome, ...]:
    """Brings the data up to date in the checkout that is the current directory; with `take_in`,
    under the name of a new snapshot, so that the sources are read again.

    Raises:
        BusyError: another run still holds the checkout after `wait_seconds`.
        FlowFailed: the params are wrong, or a stage failed.
        BranchError: a clone of `production` and its remote have parted.
    """
    with checkout("data", wait_seconds) as held:
        return bring_up_to_date(held, take_in)


def bring_up_to_date(held: Checkout, take_in: bool) -> tuple[Outcome, ...]:
    """The data flow in a checkout that is held already. Raises as that does."""
    if take_in:
        export_kept(held)
        held.run_module("tasks.snapshot")
    outcomes = held.run_stages(*TARGETS)
    held.advance("Take in a snapshot" if take_in else "Bring the data up to date")
    return outcomes


def export_kept(held: Checkout) -> None:
    """Writes the images that the service kept where the source `production` of ingest is read
    from, if there is such a source.

    Raises:
        FlowFailed: the store cannot be read.
    """
    from monitoring.retraining import find_source  # takes a second

    folder = find_source(held.root / "params.yaml")
    if folder is not None:
        held.run_module("monitoring.images", "--out", str(folder))


if __name__ == "__main__":
    sys.exit(main(data, sys.argv[1:]))
