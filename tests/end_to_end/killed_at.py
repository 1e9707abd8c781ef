"""Runs a module and kills it with −9 where it is told: `killed_at.py MODULE FUNCTION`.

The function is one of the module's; the process ends the moment it returns.
"""

import importlib
import os
import signal
import sys


def main(name: str, function: str) -> None:
    sys.path.insert(0, os.getcwd())
    module = importlib.import_module(name)
    original = getattr(module, function)

    def last(*arguments, **named):
        original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, function, last)
    entry = getattr(module, name.rpartition(".")[2])
    print(entry())


if __name__ == "__main__":
    main(*sys.argv[1:])
