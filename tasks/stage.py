"""DVC → Python: reads the params, takes the paths from flags, calls the stage's `main`.

    python -m tasks.stage clean --index data/raw/index.parquet … --out-manifest …
    python -m tasks.stage --check        checks every section of params.yaml and ends

A path argument of `main` whose name begins with `out` is an output, any other an input. Arguments
of `main` named like a key of the section `run` are handed that key's value; one named `run` is
handed them all, one named `checkpoints` the folder for them. What `main` returns was
observed, and goes to runs/ with the seconds.
"""

import argparse
import ast
import errno
import fcntl
import gc
import importlib
import inspect
import logging
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from tasks.artifacts.documents import save_json
from tasks.core.errors import ArtifactError, BusyError, ParamsError, TilthError
from tasks.core.lifetime import end_with_parent
from tasks.core.params import Run
from tasks.energy import Energy, is_measured
from tasks.fingerprint import MODEL_LIBRARIES, library_versions
from tasks.machine import describe_processor, keep_freed_memory
from tasks.processes import is_first, is_one_of, run_several, take_own_gpu
from tasks.sections import check_sections, load_sections
from tasks.telemetry import TELEMETRY_OFF

CACHE = Path(".cache")
BLAS = ("OMP", "MKL", "OPENBLAS")
# What may change the bytes of an output: mathematics, codecs and file formats.
LIBRARIES = (
    *MODEL_LIBRARIES,
    *("onnx", "onnxscript", "opencv-python-headless", "pandas", "pillow", "pyarrow"),
    *("safetensors", "scipy", "simplejpeg"),
)


def main(argv: list[str]) -> int:
    """Exit status: 0 done, 1 a user's error (told in one line), 130 interrupted."""
    os.environ.update(TELEMETRY_OFF)
    # Imports make objects that stay; looking for garbage among them costs a fifth of their time.
    gc.set_threshold(100_000, 50, 50)
    stage = argv[0] if argv else ""
    try:
        if stage == "--check":
            check_sections(load_sections())
        else:
            run_stage(stage, argv[1:])
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # Whatever a stage wrote is explained where it was written; this is its lock, or a pipe.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        print(f"{stage}: {error.filename or Path.cwd()}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{stage}: interrupted; run again to go on", file=sys.stderr)
        return 130
    return 0


def run_stage(stage: str, flags: list[str]) -> None:
    """Raises ParamsError, ArtifactError, BusyError, and whatever the stage's `main` does."""
    end_with_parent()
    sections = load_sections()
    num_threads = _num_threads(stage, sections)
    limit_threads(num_threads)
    check_sections(sections)
    if stage not in sections or stage == "run":
        raise ParamsError(f"no stage {stage!r}; expected one of {sorted(set(sections) - {'run'})}")
    run = Run.model_validate(sections["run"])
    num_processes = sections[stage].get("num_processes", 1)
    if not is_one_of(stage, num_processes):
        run_several(num_processes, stage, flags)
        return
    module, arguments = _prepared(stage, run, num_threads)
    arguments |= _paths(stage, module, flags)
    with _only_run_of(stage) if is_first() else nullcontext():
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        started = time.monotonic()
        # What does not compute draws next to nothing.
        draws = "torch" in sys.modules and is_first() and is_measured()
        with Energy() if draws else nullcontext() as energy:
            params = module.Params.model_validate(sections[stage])
            told = module.main(**arguments, params=params) or {}
        if is_first():
            measured = {"energy": energy.measured if energy else {}}
            _observe(stage, time.monotonic() - started, num_threads, told | measured)


def limit_threads(num_threads: int) -> None:
    """Before anything is imported that computes: numeric libraries read these once, when they are
    imported, and to check the sections may import them all."""
    os.environ.update({f"{name}_NUM_THREADS": str(num_threads) for name in BLAS})
    # Without it cuBLAS may add in another order at every call.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"


def _num_threads(stage: str, sections: dict[str, Any]) -> int:
    # A stage that does not ask for `num_threads` computes on one, so that its bytes cannot depend
    # on what it did not declare.
    try:
        return Run.model_validate(sections["run"]).num_threads if _asks_for_threads(stage) else 1
    except (KeyError, ValidationError):
        return 1  # no stage runs: the check that follows tells all that is wrong


def _asks_for_threads(stage: str) -> bool:
    """Whether `main` of a stage has an argument `num_threads` or `run`; it is not imported."""
    source = Path(f"tasks/{stage}.py")
    tree = ast.parse(source.read_text(encoding="utf-8")) if source.is_file() else ast.Module([], [])
    return any(
        argument.arg in ("num_threads", "run")
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
        for argument in (*node.args.args, *node.args.kwonlyargs)
    )


def _prepared(stage: str, run: Run, num_threads: int) -> tuple[ModuleType, dict[str, Any]]:
    module = importlib.import_module(f"tasks.{stage}")
    wanted = inspect.signature(module.main).parameters
    shared = {**run.model_dump(), "run": run, "checkpoints": CACHE / "checkpoints"}
    arguments = {name: value for name, value in shared.items() if name in wanted}
    if "torch" in sys.modules:
        make_torch_repeatable(num_threads)
        keep_freed_memory()
        if run.device == "cuda":
            take_own_gpu()
    return module, arguments


def make_torch_repeatable(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def _paths(stage: str, module: ModuleType, flags: list[str]) -> dict[str, Path]:
    names = [
        name
        for name, parameter in inspect.signature(module.main).parameters.items()
        if parameter.annotation is Path
    ]
    parser = argparse.ArgumentParser(prog=f"python -m tasks.stage {stage}", allow_abbrev=False)
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True)
    paths = vars(parser.parse_args(flags))
    for name, path in paths.items():
        if not name.startswith("out") and not path.exists():
            raise ArtifactError(
                f"{stage}: input {path} (--{name.replace('_', '-')}) does not exist; "
                f"`dvc repro {stage}` makes it, `dvc pull {path}` fetches it"
            )
    return paths


@contextmanager
def _only_run_of(stage: str) -> Iterator[None]:
    path = CACHE / "locks" / f"{stage}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise BusyError(f"{stage}: already runs here, as process {file.read()}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _observe(stage: str, seconds: float, num_threads: int, told: dict[str, Any]) -> None:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    observed = {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in usage), 3),
        "peak_memory_bytes": max(one.ru_maxrss for one in usage) * 1024,
        **told,
        "num_threads": num_threads,
        "device": _device(),
        "processor": describe_processor(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": library_versions(LIBRARIES),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    save_json(observed, Path("runs") / f"{stage}.json")


def _device() -> str:
    # Asked of a loaded torch alone: most stages have no use for it, and it takes seconds to load.
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return "cpu"
    return torch.cuda.get_device_name()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
