"""The flow that trains: up to the verdict, the explanations and the report, then publishing."""

import os
import sys
from pathlib import Path

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import flow

from flows.run import DEFAULT_WAIT_SECONDS, checkout, main, task_runner
from flows.summary import may_publish
from tasks.reproduce import Outcome

TARGETS = ("card", "report")


@flow(name="training", task_runner=task_runner(), persist_result=False)
def training(
    publish: bool = True, wait_seconds: float = DEFAULT_WAIT_SECONDS
) -> tuple[Outcome, ...]:
    """Brings the model up to date in the current directory, and publishes what may be.

    Raises:
        BusyError: another run still holds the checkout after `wait_seconds`.
        FlowFailed: the params are wrong, or a stage or the publishing failed.
        BranchError: a clone of `production` and its remote have parted.
    """
    with checkout("training", wait_seconds) as held:
        outcomes = held.run_stages(*TARGETS)
        if publish and may_publish(held.root):
            held.run_module("tasks.publish")
        held.advance("Train a candidate")
        return outcomes


if __name__ == "__main__":
    sys.exit(main(training, sys.argv[1:]))
