"""The flow where a model is served: takes over what others pushed to the branch `production`."""

import os
import sys
from pathlib import Path

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import flow, get_run_logger

from flows import branch
from flows.run import DEFAULT_WAIT_SECONDS, checkout, main


@flow(name="following", persist_result=False)
def following(wait_seconds: float = DEFAULT_WAIT_SECONDS) -> None:
    """Brings a clone of `production` to what its remote has, with the champion, which a service in
    it then takes on.

    Raises:
        BusyError: another run still holds the checkout after `wait_seconds`.
        BranchError: it cannot be fast-forwarded.
    """
    if not branch.is_production(Path.cwd()):
        get_run_logger().info("the checkout is on another branch, which follows nothing")
        return
    with checkout("following", wait_seconds):
        """All is done by holding it."""


if __name__ == "__main__":
    sys.exit(main(following, sys.argv[1:]))
