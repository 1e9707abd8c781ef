"""The flow where a model is served: takes over what others pushed to the branch `production`."""

import os
import sys
from pathlib import Path

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import flow, get_run_logger

from flows import branch
from flows.lock import checkout_lock
from flows.run import DEFAULT_WAIT_SECONDS, beside, main


@flow(name="following", persist_result=False)
def following(wait_seconds: float = DEFAULT_WAIT_SECONDS) -> None:
    """Brings a clone of `production` to what its remote has, with the champion, which a service in
    it then takes on.

    Raises:
        BusyError: another run still holds the checkout after `wait_seconds`.
        BranchError: it cannot be fast-forwarded.
    """
    root, logger = Path.cwd(), get_run_logger()
    if not branch.is_production(root):
        logger.info("the checkout is on another branch, which follows nothing")
        return
    # It writes nothing that others wait for, and so waits for none of those who advance the branch.
    with (
        checkout_lock(root, "following", wait_seconds, on_wait=logger.warning),
        beside("following") as held,
    ):
        branch.follow(root, held.run_module)


if __name__ == "__main__":
    sys.exit(main(following, sys.argv[1:]))
