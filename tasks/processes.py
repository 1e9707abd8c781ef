"""Several processes for one stage, each of which computes its part of every batch (torchrun)."""

import os
import subprocess
import sys

from tasks.core import lifetime
from tasks.core.errors import ParamsError, TilthError


def is_first() -> bool:
    """Whether this process speaks for all: it alone writes what the stage leaves."""
    return os.environ.get("RANK", "0") == "0"


def is_one_of(stage: str, num_processes: int) -> bool:
    """Whether this process is all there is to be, or one of those that torchrun started.

    Raises ParamsError if torchrun started another number than the params ask for.
    """
    started = int(os.environ.get("WORLD_SIZE", "0"))
    if started not in (0, num_processes):
        raise ParamsError(
            f"params.yaml: {stage}.num_processes is {num_processes}, and torchrun started "
            f"{started}; expected the same"
        )
    return started > 0 or num_processes == 1


def take_own_gpu() -> None:
    """Of several processes of a machine each computes on a GPU of its own, if there are any."""
    if "LOCAL_RANK" in os.environ:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def run_several(num_processes: int, stage: str, flags: list[str]) -> None:
    """Runs the stage in so many processes of this machine, which end with this one.

    Raises TilthError if one of them fails, which says why itself.
    """
    launcher = [sys.executable, "-P", lifetime.__file__, str(os.getpid()), "torch.distributed.run"]
    asked = ["--standalone", "--nproc-per-node", str(num_processes), "-m", "tasks.stage", stage]
    # A group of its own, which ends with this process however that one ends.
    ran = subprocess.run([*launcher, *asked, *flags], process_group=0)
    if ran.returncode != 0:
        raise TilthError(f"{stage}: one of its {num_processes} processes failed, as is told above")
