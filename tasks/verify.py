"""Proves that recorded results can be made again: `python -m tasks.verify [STAGE…]`.

Each stage in dvc.lock gets a scratch workspace that holds the code as it stands, the inputs and
params that were recorded, and nothing else. The recorded command runs there, and what it writes is
hashed as DVC does it and compared with what was recorded. The checkout itself stays as it is.

Exit status: 0 all the same; 1 a stage differs or cannot be checked; 2 nothing could be asked;
130 interrupted.
"""

import argparse
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tasks.artifacts.documents import load_json, load_yaml
from tasks.artifacts.dvc_cache import Cache, Recorded, hash_as_dvc, load_lock
from tasks.artifacts.scratch import Checkout, is_code, known_to_git, scratch_workspace
from tasks.children import Children
from tasks.core.errors import ArtifactError, TilthError
from tasks.core.lifetime import end_with_parent

_LOCK, _GRAPH = Path("dvc.lock"), Path("dvc.yaml")
_CONDITIONS = ("seed", "precision", "num_threads", "device", "processor", "platform", "python")


class Verdict(NamedTuple):
    """`details`: which outputs differ and why, or why the stage cannot be checked."""

    stage: str
    outcome: Literal["same", "differs", "cannot be checked"]
    details: tuple[str, ...]
    seconds: float


def main(argv: Sequence[str]) -> int:
    """Verifies the stages asked for, or all, in the order in which they depend on each other."""
    parser = argparse.ArgumentParser(
        prog="python -m tasks.verify", description="Makes recorded results again and compares."
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="all in dvc.lock if left out")
    asked = parser.parse_args(argv).stages
    verdicts = []
    try:
        stages = asked_of(load_lock(_LOCK), asked)
        checkout = open_checkout(Path.cwd())
        for recorded in stages:
            verdicts.append(verify(recorded, checkout))
            print(describe(verdicts[-1]), flush=True)
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing is left behind", file=sys.stderr)
        return 130
    num_same = sum(verdict.outcome == "same" for verdict in verdicts)
    print(f"{num_same} of {len(verdicts)} stages gave the same bytes again")
    return 0 if num_same == len(verdicts) else 1


def asked_of(recorded: dict[str, Recorded], names: Sequence[str]) -> list[Recorded]:
    """The named stages, or all, in the order of `recorded`.

    Raises ArtifactError for a stage that was never recorded.
    """
    for name in names:
        if name not in recorded:
            raise ArtifactError(
                f"{_LOCK}: has no stage {name!r}; expected one of {list(recorded)} "
                "(`dvc repro` runs a stage and records it)"
            )
    return [stage for name, stage in recorded.items() if not names or name in names]


def open_checkout(root: Path) -> Checkout:
    """Raises ArtifactError if git or DVC do not take the folder for a checkout."""
    ended = Children().run(["dvc", "cache", "dir"], root, lambda line: None)
    if ended.status != 0:
        raise ArtifactError(f"{root}: `dvc cache dir` failed: {' '.join(ended.last_lines)}")
    return Checkout(root, known_to_git(root), Cache(Path(ended.last_lines[-1])))


def verify(recorded: Recorded, checkout: Checkout) -> Verdict:
    """Makes the outputs of one stage again and compares them.

    Raises ArtifactError if dvc.yaml cannot be read; all else becomes part of the verdict.
    """
    started = time.monotonic()
    code = changed_code(recorded, checkout.root)
    try:
        with _made_again(recorded, checkout) as scratch:
            hashes = _hashes(recorded, scratch)
            different = [out for out, md5 in recorded.outs.items() if hashes[out] != md5]
            if not different:
                return Verdict(recorded.stage, "same", code, time.monotonic() - started)
            why = (*code, *_changed(recorded, different, checkout, scratch))
        why = why or (_unexplained(recorded, checkout, hashes),)
    except (TilthError, OSError) as error:
        seconds = time.monotonic() - started
        return Verdict(recorded.stage, "cannot be checked", (str(error), *code), seconds)
    which = (f"{out}: {hashes[out]}, recorded {recorded.outs[out]}" for out in different)
    return Verdict(recorded.stage, "differs", (*which, *why), time.monotonic() - started)


def _changed(
    recorded: Recorded, different: Sequence[str], checkout: Checkout, scratch: Path
) -> list[str]:
    changes = changed_conditions(recorded.stage, checkout.root, scratch)
    for out in different:
        if out.endswith(".safetensors"):
            made = checkout.cache.object_path(recorded.outs[out])
            changes |= changed_fingerprint(made, scratch / out)
    return sorted(changes)


@contextmanager
def _made_again(recorded: Recorded, checkout: Checkout) -> Iterator[Path]:
    words = shlex.split(recorded.cmd)
    if words[:2] != ["python", "-m"] or "&&" in words:
        raise ArtifactError(f"its command is {recorded.cmd!r}; expected one `python -m …`")
    with scratch_workspace(recorded, checkout) as scratch:
        ended = Children().run(words[2:], scratch, lambda line: None)
        if ended.status != 0:
            raise ArtifactError(
                f"its command ended with exit status {ended.status}: {_error_in(ended.last_lines)}"
            )
        yield scratch


def _error_in(lines: Sequence[str]) -> str:
    starts = [number for number, line in enumerate(lines) if re.match(r"[\w.]+Error\b", line)]
    return " ".join(line.strip() for line in lines[starts[-1] if starts else -1 :])


def _hashes(recorded: Recorded, scratch: Path) -> dict[str, str]:
    return {
        out: hash_as_dvc(scratch / out) if (scratch / out).exists() else "was not written"
        for out in recorded.outs
    }


def _unexplained(recorded: Recorded, checkout: Checkout, hashes: dict[str, str]) -> str:
    """Told by a second run: a stage that cannot repeat itself from a record made otherwise."""
    with _made_again(recorded, checkout) as scratch:
        if _hashes(recorded, scratch) != hashes:
            return "two runs here differ from each other: the stage does not repeat itself"
    return "two runs here agree: the record was made of something that is recorded nowhere"


def changed_code(recorded: Recorded, root: Path) -> tuple[str, ...]:
    """What of the stage's code is not as it was recorded, a line each."""
    changes = []
    for path, md5 in recorded.deps.items():
        if not is_code(path):
            continue
        if not (root / path).is_file():
            changes.append(f"code is gone: {path}")
        elif hash_as_dvc(root / path) != md5:
            changes.append(f"code changed since: {path}")
    stage = load_yaml(root / _GRAPH)["stages"].get(recorded.stage, {})
    declared = {dep if isinstance(dep, str) else next(iter(dep)) for dep in stage.get("deps", [])}
    for path in sorted(declared ^ recorded.deps.keys()):
        verb = "now" if path in declared else "no longer"
        changes.append(f"dependencies changed since: {_GRAPH} {verb} names {path}")
    return tuple(changes)


def changed_conditions(stage: str, before: Path, after: Path) -> set[str]:
    """Libraries, threads, device and processor, where two runs observed them and they differ."""
    path = Path("runs") / f"{stage}.json"
    if not (before / path).is_file() or not (after / path).is_file():
        return set()
    return _differences(load_json(before / path), load_json(after / path))


def changed_fingerprint(before: Path, after: Path) -> set[str]:
    """The same of two models, which carry what they were made of."""
    # Torch takes seconds to load, and models that are the same need no look inside.
    from tasks.artifacts.weights import load_weights

    if not before.is_file() or not after.is_file():
        return set()
    made = [load_weights(path).description.get("fingerprint", {}) for path in (before, after)]
    return _differences(*({**one.get("run", {}), **one} for one in made))


def _differences(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    flat = [
        {key: value for key, value in one.items() if key in _CONDITIONS}
        | {f"library {name}": value for name, value in one.get("versions", {}).items()}
        for one in (before, after)
    ]
    return {
        f"{key}: {flat[0][key]} when recorded, {flat[1][key]} now"
        for key in flat[0].keys() & flat[1].keys()
        if flat[0][key] != flat[1][key]
    }


def describe(verdict: Verdict) -> str:
    """A line for the outcome, and one for each detail beneath it."""
    first = f"{verdict.stage}: {verdict.outcome} ({verdict.seconds:.1f} s)"
    return "\n    ".join((first, *verdict.details))


if __name__ == "__main__":
    end_with_parent()
    # Ended by a signal, Python would leave the scratch workspace behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
