"""Makes the previous champion the champion again, while nobody else works in the checkout.

    python -m flows.reverting --of 3

What `python -m tasks.rollback` does, for those who see a page and not the checkout: refused while
another run holds it, or if the champion is another one by now than they were shown.
"""

import argparse
import sys
from pathlib import Path

from flows.lock import checkout_lock
from tasks.artifacts.registry import REGISTRY, load_registry
from tasks.core.errors import ArtifactError
from tasks.releasing import exit_status
from tasks.rollback import rollback


def rollback_of(champion: int) -> str:
    """What was done, in a sentence.

    Raises:
        BusyError: another run holds the checkout.
        ArtifactError: the champion is another one, or as `tasks.rollback` says.
    """
    with checkout_lock(Path.cwd(), "rollback", 0.0, on_wait=print):
        found = load_registry(REGISTRY).aliases.champion
        if found != champion:
            raise ArtifactError(
                f"{REGISTRY}: the champion is version {found}, not {champion}; nothing was done"
            )
        return rollback()


def main(argv: list[str]) -> int:
    """Exit status: 0 rolled back, 1 a user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.reverting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--of", type=int, required=True, help="the version that is the champion")
    asked = parser.parse_args(argv)
    return exit_status(lambda: rollback_of(asked.of))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
