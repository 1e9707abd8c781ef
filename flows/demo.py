"""The whole way once, in one process: `python -m flows.demo`."""

import argparse
import os
import sys
from pathlib import Path

from flows.environment import prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from flows.data import data
from flows.run import exit_status
from flows.server import any_server
from flows.summary import plain
from flows.training import training
from tasks.reproduce import Outcome


def demo(publish: bool) -> None:
    """Runs the data flow, then the training flow, then rehearses production with what was
    published, and prints what came of it.

    Raises:
        BusyError: another run holds the checkout.
        FlowFailed: the params are wrong, or a stage or the publishing failed.
    """
    outcomes: dict[str, Outcome] = {}
    any_server(Path.cwd())
    first = data(wait_seconds=0.0)
    second = training(publish=publish, wait_seconds=0.0)
    for outcome in (*first, *second):
        # The second flow skips what the first has just done, which is no news.
        outcomes.setdefault(outcome.stage, outcome)
    print(f"\n{plain(outcomes.values(), Path.cwd())}")
    if publish:
        from flows.rehearsal import describe, rehearse  # what serves and watches takes a second

        print(f"\n{describe(rehearse(Path.cwd()))}")


def main(argv: list[str]) -> int:
    """Exit status: 0, 1 after a failure, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description=__doc__)
    parser.add_argument("--no-publish", dest="publish", action="store_false")
    arguments = parser.parse_args(argv)
    return exit_status("demo", lambda: demo(arguments.publish))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
