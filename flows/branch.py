"""The branch `production`, which scheduled runs advance in clones of their own.

In a clone on that branch a run begins with what others pushed, and ends with a commit that is
pushed: fast-forward only, and one run at a time among all clones. A checkout on any other branch
belongs to people, and is left as it is.

BranchError(TilthError)     the clone and its remote have parted, or somebody edited the clone
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.events import emit_event

from tasks.core.errors import BusyError, TilthError
from tasks.releasing import commit
from tasks.reproduce import has_remote

BRANCH = "production"
# Told when a run has pushed, so that whoever serves may follow.
ADVANCED = "tilth.production.advanced"
_WRITER = "tilth-production"
_WRITTEN = ("dvc.lock", "snapshot.yaml", "metrics", "models")
_CHAMPION = "models/champion.dvc"

RunModule = Callable[..., None]


class BranchError(TilthError):
    """Says what to do."""


def is_production(root: Path) -> bool:
    """Whether a checkout is on the branch that scheduled runs advance."""
    return _git(root, "symbolic-ref", "--short", "-q", "HEAD").stdout.strip() == BRANCH


@contextmanager
def only_writer(wait_seconds: float) -> Iterator[None]:
    """Holds the one place of those who advance the branch, in whichever clone; Prefect's server
    gives it to the next if the holder dies.

    Raises BusyError if another run still has it after `wait_seconds`.
    """
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(_WRITER, 1)
    # A time-out would also end a first try that is slow, so no patience is told by no second try.
    patience: dict[str, Any] = (
        {"timeout_seconds": wait_seconds} if wait_seconds else {"max_retries": 0}
    )
    with ExitStack() as held:
        try:
            # A training outlives a server that is away for a while.
            place = concurrency(
                _WRITER, strict=True, raise_on_lease_renewal_failure=False, **patience
            )
            held.enter_context(place)
        except (TimeoutError, ConcurrencySlotAcquisitionError) as error:
            if not isinstance(error, TimeoutError) and not _is_taken(error):
                raise
            raise BusyError(f"another run advances {BRANCH}; run again when it has ended") from None
        yield


def _is_taken(error: Exception) -> bool:
    said = error.__cause__
    return (
        isinstance(said, httpx.HTTPStatusError) and said.response.status_code == httpx.codes.LOCKED
    )


def follow(root: Path, run_module: RunModule) -> None:
    """Brings a clone to what its remote has, code and data alike; what a run that failed has left
    uncommitted is dropped, which costs little: DVC's run cache has what it made.

    Raises BranchError if people edited the clone, or it cannot be fast-forwarded.
    """
    _drop_leftovers(root)
    remote = find_remote(root)
    if remote and _git(root, "ls-remote", "--exit-code", "--heads", remote, BRANCH).stdout:
        _must(root, "fetch", "--quiet", remote, BRANCH)
        merged = _git(root, "merge", "--ff-only", "--quiet", "FETCH_HEAD")
        if merged.returncode:
            raise BranchError(_parted(root, remote, merged.stderr))
    if has_remote(root) and (root / _CHAMPION).is_file():
        run_module("dvc", "--wait-for-lock", "pull", "--quiet", _CHAMPION)
    # Outputs of another state than that of dvc.lock would have their stages run again, in a clone
    # that may lack what they need. What the cache has not is removed, and pulled when it is needed.
    run_module("dvc", "--wait-for-lock", "checkout", "--quiet", "--force", "--allow-missing")


def advance(root: Path, subject: str, run_module: RunModule) -> None:
    """Commits what a run left, and pushes: first the bytes, then the commit that names them.

    Raises BranchError if the remote has gone on meanwhile.
    """
    if has_remote(root):
        run_module("dvc", "--wait-for-lock", "push", "--quiet")
    commit(lambda _: subject)
    remote = find_remote(root)
    if not remote:
        return
    head = _must(root, "rev-parse", "HEAD")
    pushed = _git(root, "push", "--quiet", remote, f"HEAD:refs/heads/{BRANCH}")
    if pushed.returncode:
        raise BranchError(_parted(root, remote, pushed.stderr))
    emit_event(
        event=ADVANCED,
        resource={"prefect.resource.id": f"tilth.branch.{BRANCH}"},
        payload={"commit": head.strip(), "subject": subject},
    )


def find_remote(root: Path) -> str:
    """The remote of git that the branch follows, or the only one; "" if there is none."""
    named = _git(root, "config", "--get", f"branch.{BRANCH}.remote").stdout.strip()
    remotes = _git(root, "remote").stdout.split()
    return named or (remotes[0] if len(remotes) == 1 else "")


def _drop_leftovers(root: Path) -> None:
    tracked = _must(root, "ls-tree", "--name-only", "HEAD", "--", *_WRITTEN).split()
    if tracked:
        _must(root, "restore", "--source=HEAD", "--staged", "--worktree", "--", *tracked)
    _must(root, "clean", "-d", "--force", "--quiet", "--", *_WRITTEN)
    edited = _must(root, "status", "--porcelain", "--untracked-files=no").splitlines()
    if edited:
        names = ", ".join(line[3:] for line in edited)
        raise BranchError(
            f"{root}: {names}: edited in a clone that runs write; commit it on main, merge main "
            f"into {BRANCH}, and `git restore` it here"
        )


def _parted(root: Path, remote: str, said: str) -> str:
    return (
        f"{root}: {BRANCH} and {remote}/{BRANCH} have parted, nothing was forced. Merge them here "
        f"(`git pull --no-rebase {remote} {BRANCH}`) and push (`git push {remote} {BRANCH}`), or "
        f"drop what this clone has (`git reset --hard {remote}/{BRANCH}`); then run again.\n"
        f"{said.strip()}"
    )


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("git", *arguments), cwd=root, capture_output=True, text=True)


def _must(root: Path, *arguments: str) -> str:
    done = _git(root, *arguments)
    if done.returncode:
        said = done.stderr.strip()
        raise BranchError(f"{root}: `git {' '.join(arguments)}` failed: {said}")
    return done.stdout
