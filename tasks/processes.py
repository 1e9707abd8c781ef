"""Several processes for one stage, each of which computes its part of every batch.

Those of one machine are started here and find each other by a file, so that none listens to a
network; those of several machines are started by torchrun, and meet by its means.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tasks.core import lifetime
from tasks.core.errors import ParamsError, TilthError

# The file by which processes of one machine find each other.
MEETING = "TILTH_MEETING"
_POLL_SECONDS = 0.1


def is_first() -> bool:
    """Whether this process speaks for all: it alone writes what the stage leaves."""
    return os.environ.get("RANK", "0") == "0"


def is_one_of(stage: str, num_processes: int) -> bool:
    """Whether this process is all there is to be, or one of several that were started.

    Raises ParamsError if as many were started as the params do not ask for.
    """
    started = int(os.environ.get("WORLD_SIZE", "0"))
    if started not in (0, num_processes):
        raise ParamsError(
            f"params.yaml: {stage}.num_processes is {num_processes}, and {started} were started; "
            "expected the same"
        )
    return started > 0 or num_processes == 1


def take_own_gpu() -> None:
    """Of several processes of a machine each computes on a GPU of its own.

    Raises ParamsError if there are fewer GPUs than processes.
    """
    if "LOCAL_RANK" not in os.environ:
        return
    import torch

    number, num_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= num_gpus:
        raise ParamsError(
            f"params.yaml: run.device is cuda, and process {number + 1} of this machine finds "
            f"{num_gpus} GPUs; expected one for each of num_processes, or run.device: cpu"
        )
    torch.cuda.set_device(number)


def run_several(num_processes: int, stage: str, flags: list[str]) -> None:
    """Runs the stage in so many processes of this machine, which end with this one.

    Raises TilthError if one of them fails, which says why itself; the others are ended.
    """
    # Groups of their own, which end with this process however that one ends.
    command = [sys.executable, "-P", lifetime.__file__, str(os.getpid()), "tasks.stage", stage]
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                [*command, *flags],
                env=os.environ | _place(rank, num_processes, Path(folder) / "meeting"),
                process_group=0,
            )
            for rank in range(num_processes)
        ]
        try:
            if not _all_end_well(started):
                raise TilthError(
                    f"{stage}: one of its {num_processes} processes failed, as is told above"
                )
        finally:
            for process in started:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _place(rank: int, num_processes: int, meeting: Path) -> dict[str, str]:
    """What torchrun would tell a process, and where it meets the others: over loopback alone."""
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    ranks = {name: str(rank) for name in ("RANK", "LOCAL_RANK")}
    sizes = {name: str(num_processes) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
    names = {f"{library}_SOCKET_IFNAME": loopback for library in ("GLOO", "NCCL")}
    return {**ranks, **sizes, **names, MEETING: str(meeting)}


def _all_end_well(started: Sequence[subprocess.Popen[bytes]]) -> bool:
    """Waits for all of them, or for the first that fails."""
    while any(process.poll() is None for process in started):
        if any(process.poll() for process in started):
            return False
        time.sleep(_POLL_SECONDS)
    return not any(process.returncode for process in started)
