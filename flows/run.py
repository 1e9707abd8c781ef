"""Runs stages of the graph as tasks of the flow that calls; what every flow has in common.

FlowFailed(TilthError)     a stage, the check of params.yaml or the publishing failed
"""

import argparse
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import Flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows import branch
from flows.environment import SERVED
from flows.graph import Graph, load_graph
from flows.lock import checkout_lock
from flows.server import any_server
from flows.summary import markdown
from tasks.children import Children, ChildrenStopped
from tasks.core.errors import TilthError
from tasks.core.lifetime import end_with_parent
from tasks.reproduce import Outcome, StageFailed, reproduce

COMPUTE = "compute"
CHECK_SECONDS = 300.0
# Also a stage that waits for others holds a thread, so no graph of ours may have more stages.
MAX_STAGES = 64
DEFAULT_WAIT_SECONDS = 3600.0


class FlowFailed(TilthError):
    """Says what failed, and what could not run because of that."""


def task_runner() -> TaskRunner[Any]:
    """Threads enough for every stage to wait in one of its own."""
    return ThreadPoolTaskRunner(max_workers=MAX_STAGES)


@contextmanager
def checkout(flow: str, wait_seconds: float) -> Iterator["Checkout"]:
    """Holds the checkout in the current directory for a flow; ends every child on the way out. A
    clone of the branch `production` is brought up to date first.

    Raises:
        BusyError: another run still holds it after `wait_seconds`.
        BranchError: a clone of `production` cannot be brought up to date.
    """
    _end_with_server()
    root = Path.cwd()
    with (
        checkout_lock(root, flow, wait_seconds, on_wait=get_run_logger().warning),
        beside(flow) as held,
    ):
        if not branch.is_production(root):
            yield held
            return
        with branch.only_writer(wait_seconds):
            branch.follow(root, held.run_module)
            yield held


@contextmanager
def beside(flow: str) -> Iterator["Checkout"]:
    """The same for a flow that leaves stages and their outputs alone: it waits for nobody."""
    _end_with_server()
    children = Children()
    try:
        yield Checkout(Path.cwd(), flow, children)
    except BaseException:
        children.stop()
        raise


def _end_with_server() -> None:
    if os.environ.get(SERVED):
        end_with_parent(above=False)


class Checkout:
    """A checkout that a flow works in."""

    def __init__(self, root: Path, flow: str, children: Children) -> None:
        self.root = root
        self.flow = flow
        self.children = children

    def run_stages(self, *targets: str) -> tuple[Outcome, ...]:
        """Checks all params, then has DVC reproduce the targets and all they depend on.

        A stage that fails stops those that read from it and no others.

        Raises:
            GraphError: dvc.yaml cannot be run.
            FlowFailed: the params are wrong, or stages failed.
        """
        graph = load_graph(self.root / "dvc.yaml")
        names = graph.ancestors(*targets)
        self.run_module("tasks.stage", "--check", timeout_seconds=CHECK_SECONDS)
        futures = self._submit(graph, names)
        wait(list(futures.values()))
        outcomes = tuple(
            future.result() for future in futures.values() if future.state.is_completed()
        )
        create_markdown_artifact(
            key=f"tilth-{self.flow}",
            markdown=markdown(self.flow, outcomes, self.root),
            description=f"What the last run of {self.flow} did",
        )
        raise_failures(futures)
        return outcomes

    def advance(self, subject: str) -> None:
        """In a clone of `production`, commits and pushes what the run left; elsewhere nothing.

        Raises:
            FlowFailed: data could not be pushed.
            BranchError: the remote has gone on meanwhile.
        """
        if branch.is_production(self.root):
            branch.advance(self.root, subject, self.run_module)

    def run_module(self, *arguments: str, timeout_seconds: float | None = None) -> None:
        """Runs a module of the checkout, and logs what it prints.

        Raises:
            FlowFailed: it ended with an error; carries its last lines.
        """
        logger = get_run_logger()
        ended = self.children.run(arguments, self.root, logger.info, timeout_seconds)
        if ended.status != 0:
            how = "took too long" if ended.status is None else f"exit status {ended.status}"
            lines = "\n".join(ended.last_lines)
            raise FlowFailed(f"python -m {' '.join(arguments)}: {how}\n{lines}")

    def _submit(self, graph: Graph, names: Sequence[str]) -> dict[str, PrefectFuture[Any]]:
        if len(names) > MAX_STAGES:
            raise FlowFailed(f"{len(names)} stages, expected {MAX_STAGES} at most")
        futures: dict[str, PrefectFuture[Any]] = {}
        for name in names:
            options = graph.stages[name].options
            configured = reproduce.with_options(
                tags=options.tags,
                retries=options.retries,
                retry_delay_seconds=options.retry_delay_seconds,
            )
            futures[name] = configured.submit(
                name,
                self.root,
                self.children,
                compute=COMPUTE in options.tags,
                timeout_seconds=options.timeout_seconds,
                return_state=False,
                wait_for=[futures[above] for above in sorted(graph.upstream(name))],
            )
        return futures


def raise_failures(futures: Mapping[str, PrefectFuture[Any]]) -> None:
    """Ends the flow's run as failed if a stage did not complete.

    Raises:
        FlowFailed: names the stages that failed and those that could not run.
    """
    failures: list[str] = []
    not_run: list[str] = []
    for name, future in futures.items():
        if future.state.is_completed():
            continue
        if future.state.is_pending():
            not_run.append(name)
            continue
        error = future.state.result(raise_on_failure=False)
        if isinstance(error, StageFailed | ChildrenStopped):
            failures.append(str(error))
        else:
            failures.append(f"stage {name!r} ended as {future.state.name}: {error}")
    if failures:
        rest = [f"not run because of that: {', '.join(not_run)}"] if not_run else []
        raise FlowFailed("\n".join([*failures, *rest]))


def main(flow: Flow[..., Any], argv: Sequence[str]) -> int:
    """Runs a flow for the command line; returns its exit status."""
    module = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m flows.{module}", description=flow.__doc__)
    taken = inspect.signature(flow.fn).parameters
    if "wait_seconds" in taken:
        parser.add_argument(
            "--no-wait",
            dest="wait_seconds",
            action="store_const",
            const=0.0,
            default=DEFAULT_WAIT_SECONDS,
            help="leave at once if another run holds this checkout",
        )
    if "take_in" in taken:
        parser.add_argument("--take-in", action="store_true", help="read the sources again")
    if "publish" in taken:
        parser.add_argument("--no-publish", dest="publish", action="store_false")
    if "as_of" in taken:
        parser.add_argument("--as-of", default="now", help="now, or a time in UTC to make up for")
    arguments = vars(parser.parse_args(argv))

    def run() -> None:
        any_server(Path.cwd())
        flow(**arguments)

    return exit_status(flow.name, run)


def exit_status(name: str, action: Callable[[], object]) -> int:
    """Does it: 0, or 1 after a user's error, told without a traceback. Ends with 130 at Ctrl-C."""
    try:
        action()
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted; run again to go on", file=sys.stderr, flush=True)
        # Not `sys.exit`: Prefect then waits for a thread of its own that the interrupt has ended.
        os._exit(130)
    return 0
