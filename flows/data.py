"""The flow of the data team: everything up to the page on the quality of the data."""

import os
import sys
from pathlib import Path

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import flow

from flows.run import DEFAULT_WAIT_SECONDS, checkout, main, task_runner
from tasks.reproduce import Outcome

TARGETS = ("quality",)


@flow(name="data", task_runner=task_runner(), persist_result=False)
def data(take_in: bool = False, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> tuple[Outcome, ...]:
    """Brings the data up to date in the checkout that is the current directory; with `take_in`,
    under the name of a new snapshot, so that the sources are read again.

    Raises:
        BusyError: another run still holds the checkout after `wait_seconds`.
        FlowFailed: the params are wrong, or a stage failed.
    """
    with checkout("data", wait_seconds) as held:
        if take_in:
            held.run_module("tasks.snapshot")
        return held.run_stages(*TARGETS)


if __name__ == "__main__":
    sys.exit(main(data, sys.argv[1:]))
