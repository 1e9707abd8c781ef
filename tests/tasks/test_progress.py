"""A log gets a line now and then, with the speed and the time left."""

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

from tasks import progress
from tasks.progress import LearningBar

ROOT = Path(__file__).parents[2]


def test_a_log_gets_what_was_told_with_speed_and_time_left(monkeypatch, capsys):
    clock = iter([100.0, 110.0, 116.0, 116.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    bar = LearningBar("finetune", num_images=5000, num_done=1000)
    assert not bar.advance(300)
    assert bar.advance(340)
    bar.show("epoch 1 of 3, loss 0.5")
    bar.close()
    # 640 images in 16 seconds, and 3,360 are left.
    assert capsys.readouterr().err == (
        "finetune: epoch 1 of 3, loss 0.5, 40 images/s, 0:01:24 left\n"
    )


SCRIPT = """
from tasks import progress
progress._SECONDS_BETWEEN_UPDATES = 0
bar = progress.LearningBar("finetune", 1000, 0)
assert bar.advance(250)
bar.show("loss 0.5, accuracy 0.75")
bar.close()
"""


def test_a_terminal_gets_a_bar():
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, stderr=theirs)
    shown = os.read(ours, 10_000).decode()
    assert done.returncode == 0, shown
    assert re.search(r"finetune: +25%.*250/1000.*images/s, loss 0\.5, accuracy 0\.75", shown), shown
