"""DVC → Python: reads the params, takes the paths from flags, calls the stage's `main`.

    python -m tasks.stage clean --index data/raw/index.parquet … --out-manifest …
    python -m tasks.stage --check        checks every section of params.yaml and ends

A path argument of `main` whose name begins with `out` is an output, any other an input. Arguments
of `main` named like a key of the section `run` are handed that key's value.
"""

import argparse
import ast
import errno
import fcntl
import hashlib
import importlib
import inspect
import logging
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from tasks.artifacts.documents import load_yaml, save_json, save_text
from tasks.core.errors import ArtifactError, BusyError, ParamsError, TilthError
from tasks.core.lifetime import end_with_parent
from tasks.core.params import Run, Section, explain_validation, find_overlooked
from tasks.fingerprint import MODEL_LIBRARIES, library_versions
from tasks.telemetry import TELEMETRY_OFF

PARAMS, GRAPH, CACHE = Path("params.yaml"), Path("dvc.yaml"), Path(".cache")
# What may change the bytes of an output: mathematics, codecs and file formats.
LIBRARIES = (
    *MODEL_LIBRARIES,
    *("onnx", "onnxscript", "opencv-python-headless", "pandas", "pillow", "pyarrow"),
    *("safetensors", "scipy"),
)
VECTOR_FLAGS = ("sse", "ssse", "avx", "fma", "f16c", "amx", "asimd", "sve", "bf16")


def main(argv: list[str]) -> int:
    """Exit status: 0 done, 1 a user's error (told in one line), 130 interrupted."""
    os.environ.update(TELEMETRY_OFF)
    stage = argv[0] if argv else ""
    try:
        if stage == "--check":
            check_sections()
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
    check_sections()
    stages = list(load_yaml(GRAPH)["stages"])
    if stage not in stages:
        raise ParamsError(f"no stage {stage!r}; {GRAPH} has {stages}")
    sections = load_yaml(PARAMS)
    run = Run.model_validate(sections["run"])
    module, arguments = _prepared(stage, run)
    arguments |= _paths(stage, module, flags)
    with _only_process_of(stage):
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        started = time.monotonic()
        module.main(**arguments, params=module.Params.model_validate(sections[stage]))
        _observe(stage, time.monotonic() - started, arguments.get("num_threads", 1))


def _prepared(stage: str, run: Run) -> tuple[ModuleType, dict[str, Any]]:
    # Numeric libraries read these once, when they are first imported. A stage that does not ask
    # for `num_threads` computes on one, so that its bytes cannot depend on what it did not declare.
    threads = run.num_threads if "num_threads" in _arguments_in_source(stage) else 1
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    # Without it cuBLAS may add in another order at every call.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    module = importlib.import_module(f"tasks.{stage}")
    if "torch" in sys.modules:
        _make_torch_repeatable(threads)
    wanted = inspect.signature(module.main).parameters
    return module, {key: value for key, value in run.model_dump().items() if key in wanted}


def _arguments_in_source(stage: str) -> set[str]:
    """Argument names of a stage's `main`, read without importing it."""
    tree = ast.parse(Path(f"tasks/{stage}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            return {argument.arg for argument in node.args.args + node.args.kwonlyargs}
    return set()


def _make_torch_repeatable(threads: int) -> None:
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


def check_sections() -> None:
    """Checks the whole of params.yaml against the `Params` of every stage.

    What passed once is remembered until params.yaml or the code changes.

    Raises:
        ParamsError: one line for each unknown, missing or wrong value.
    """
    stamp = CACHE / "params-checked"
    state = _state_of_params()
    if stamp.is_file() and stamp.read_text() == state:
        return
    stages = list(load_yaml(GRAPH)["stages"])
    sections = load_yaml(PARAMS)
    if not isinstance(sections, dict):
        raise ParamsError(f"{PARAMS}: expected the sections {['run', *stages]}")
    mistakes = [
        f"{name}: unknown section; expected {['run', *stages]}"
        for name in sorted(set(sections) - {"run", *stages})
    ]
    mistakes += _mistakes("run", Run, sections)
    for stage in stages:
        mistakes += _mistakes(stage, importlib.import_module(f"tasks.{stage}").Params, sections)
    if mistakes:
        raise ParamsError("\n  ".join([f"{PARAMS}:", *mistakes]))
    save_text(state, stamp)


def _mistakes(name: str, model: type[Section], sections: dict) -> list[str]:
    if name not in sections:
        return [f"{name}: section is missing"]
    try:
        model.model_validate(sections[name])
    except ValidationError as error:
        return explain_validation(name, error, sections[name])
    return find_overlooked(sections[name], name)


def _state_of_params() -> str:
    digest = hashlib.sha256()
    for path in [PARAMS, GRAPH, *sorted(Path("tasks").rglob("*.py"))]:
        try:
            digest.update(path.read_bytes())
        except FileNotFoundError:
            raise ParamsError(
                f"{path}: not found in {Path.cwd()}; run from the project's root"
            ) from None
    return digest.hexdigest()


@contextmanager
def _only_process_of(stage: str) -> Iterator[None]:
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


def _observe(stage: str, seconds: float, num_threads: int) -> None:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    observed = {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in usage), 3),
        "peak_memory_bytes": max(one.ru_maxrss for one in usage) * 1024,
        "num_threads": num_threads,
        "device": _device(),
        "processor": _processor(),
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


def _processor() -> str:
    """The model, and a hash of the vector instructions, which sums are ordered by."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine()
    flags = (facts.get("flags") or facts.get("Features", "")).split()
    vectors = " ".join(sorted(flag for flag in flags if flag.startswith(VECTOR_FLAGS)))
    digest = hashlib.sha256(vectors.encode()).hexdigest()[:8]
    return f"{facts.get('model name') or platform.machine()}, vector instructions {digest}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
