"""Killed, a training ends with the bytes of one that was not: `python -m benchmarks.resume`.

kills        runs that were killed (SIGKILL) at a random moment, as often as it takes to see a
             checkpoint of theirs, and run again: whose weights and history differ (none)

The trainings write a checkpoint after every step; the moments are drawn between the first
checkpoint and the time that an uninterrupted training takes from there.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import workspace
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.record import ROOT, Row, make_row

_FILES = ("weights.safetensors", "history.json")


def begin(folder: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.killed", str(folder)], cwd=ROOT)


def written(folder: Path) -> int:
    """The step of the latest checkpoint; 0 where there is none."""
    paths = (folder / "checkpoints").glob("*/*.safetensors")
    return max((int(path.name.partition(".")[0]) for path in paths), default=0)


def wait_for_checkpoint(training: subprocess.Popen, folder: Path) -> None:
    while training.poll() is None and not written(folder):
        time.sleep(0.005)


def run_through(folder: Path) -> float:
    """Seconds from the first checkpoint to the end."""
    training = begin(folder)
    wait_for_checkpoint(training, folder)
    started = time.monotonic()
    assert training.wait() == 0
    return time.monotonic() - started


def kill_at(folder: Path, seconds: float) -> int:
    """Kills a training so long after its first checkpoint; the step that it has come to, or 0 if
    it ended before."""
    training = begin(folder)
    wait_for_checkpoint(training, folder)
    time.sleep(seconds)
    training.send_signal(signal.SIGKILL)
    return written(folder) if training.wait() == -signal.SIGKILL else 0


def measure_kills(setting: Setting) -> Iterator[Row]:
    rng = random.Random(0)
    steps, num_differing = [], 0
    with workspace.temporary_folder() as folder:
        duration = run_through(folder / "whole")
        expected = [(folder / "whole" / name).read_bytes() for name in _FILES]
        while len(steps) < setting.options.num_kills:
            run = folder / f"killed-{len(steps)}"
            step = kill_at(run, rng.uniform(0, duration))
            if not step:
                continue
            run_through(run)
            differs = [(run / name).read_bytes() for name in _FILES] != expected
            say(f"killed after step {step}: {'differs' if differs else 'the same bytes'}")
            num_differing += differs
            steps.append(step)
    of = f"of {len(steps)} killed after {len(set(steps))} different steps"
    yield make_row(f"kills: whose weights or history differ, {of}", num_differing, "")


CELLS = (Cell("kills", measure_kills),)


def main(argv: list[str]) -> None:
    parser = topic_parser("resume", __doc__, CELLS)
    parser.add_argument("--num-kills", type=int, default=20)
    run_cells("resume", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
