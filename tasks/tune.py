"""Searches params of pretrain and finetune, as search.yaml asks.

    python -m tasks.tune              goes on to the asked number of trials
    python -m tasks.tune --apply      and writes the best values into params.yaml

Leaves reports/tune.html and reports/tune.patch. Killed or interrupted, the same command goes on.
Several workers share a study in PostgreSQL: TILTH_TUNE_STORAGE=postgresql://user@host/database, or
the flag --storage, which other users of the machine can read. Outside the DAG; test rows are not
read.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tasks.artifacts.atomic import delete, left_behind
from tasks.artifacts.documents import load_yaml
from tasks.core.errors import ParamsError, TilthError
from tasks.core.lifetime import end_with_parent
from tasks.core.params import Run, explain_validation
from tasks.core.search import (
    STAGES,
    Search,
    find_value,
    holds,
    refuse_idle_pruner,
    with_values,
)
from tasks.machine import keep_freed_memory
from tasks.sections import check_sections, load_sections
from tasks.stage import limit_threads, make_torch_repeatable
from tasks.telemetry import TELEMETRY_OFF

CACHE = Path(".cache/tune")
STORAGE_VARIABLE = "TILTH_TUNE_STORAGE"


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 done, 1 a user's error, 130 interrupted."""
    os.environ.update(TELEMETRY_OFF)
    parser = argparse.ArgumentParser(
        prog="python -m tasks.tune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--search", type=Path, default=Path("search.yaml"))
    parser.add_argument("--storage", default=os.environ.get(STORAGE_VARIABLE, ""))
    parser.add_argument("--apply", action="store_true", help="write the best into params.yaml")
    asked = parser.parse_args(argv)
    try:
        print(tune(asked.search, asked.storage, asked.apply))
    except (TilthError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tune: interrupted; what is done is kept, run again to go on", file=sys.stderr)
        return 130
    return 0


def tune(path: Path, storage: str, is_applied: bool) -> str:
    """Runs the trials that are left; says what came of it. However it ends, page and patch are
    there.

    Raises:
        ParamsError: a mistake in params.yaml or the search, or a study of something else.
        ArtifactError: an input is missing, or the study's database cannot be used.
        BusyError: another worker has the study.
        TilthError: no trial ended well.
    """
    sections = load_sections()
    check_sections(sections)
    search = load_search(path, sections)
    # Stages and Optuna bring numeric libraries along, which read the number of threads on import.
    num_threads = Run.model_validate(sections["run"]).num_threads
    limit_threads(num_threads)
    from tasks import findings, trials, worker
    from tasks.artifacts.studies import opened_study, parse_storage

    make_torch_repeatable(num_threads)
    keep_freed_memory()
    url = parse_storage(storage or f"sqlite:///{CACHE / search.study}.db")
    ground = _ground(search)
    asked = what_is_asked(search, sections, trials.hash_inputs(ground.paths, search.stages))
    with opened_study(url, search, asked, present_values(search, sections)) as study:
        try:
            worker.Worker(
                study, search, sections, lambda each, report: trials.run_trial(each, ground, report)
            ).run()
        finally:
            tuning = findings.read_tuning(study, search, sections)
            findings.save_tuning(tuning)
    if tuning.is_done:
        delete(ground.scratch)
    if tuning.best is None:
        raise TilthError(f"tune: no trial ended well; {findings.PAGE} says why")
    return findings.apply(tuning) if is_applied else f"{findings.PAGE} shows what was found"


def _ground(search: Search) -> Any:
    from tasks import trials

    paths = {stage: trials.stage_paths(stage) for stage in STAGES}
    trials.check_inputs(paths)
    trials.check_made_up(paths, search)
    scratch = CACHE / search.study
    scratch.mkdir(parents=True, exist_ok=True)
    for left in left_behind(scratch, r"trial-(\d+)-.*"):
        delete(left)
    return trials.Ground(
        paths,
        search.metric,
        trials.make_folds(paths, search.num_folds, search.seed) if search.num_folds else [],
        trials.encoders_folder(scratch) if "pretrain" in search.stages else None,
        scratch,
    )


def load_search(path: Path, sections: dict[str, Any]) -> Search:
    """Raises ParamsError for every mistake in it, ArtifactError if it is missing or no YAML."""
    document = load_yaml(path)
    try:
        search = Search.model_validate(document)
    except ValidationError as error:
        lines = explain_validation(path.name, error, document)
        raise ParamsError("\n  ".join([f"{path}:", *lines])) from None
    for name in search.space:
        try:
            find_value(sections, name)
        except ParamsError as error:
            raise ParamsError(f"{path}: space: {error}") from None
    if "finetune.epochs" not in search.space:
        try:
            refuse_idle_pruner(search, sections["finetune"]["epochs"])
        except ParamsError as error:
            raise ParamsError(f"{path}: {error}") from None
    return search


def what_is_asked(search: Search, sections: dict[str, Any], data: str) -> dict[str, Any]:
    """What trials need in common to be comparable: all but their number, and the present values of
    what is searched."""
    outermost = [
        name
        for name in search.space
        if not any(name.startswith(f"{other}.") for other in search.space)
    ]
    fixed = with_values(sections, dict.fromkeys(outermost))
    params = {name: fixed[name] for name in ("run", *search.stages)}
    asked = search.model_dump(mode="json", exclude={"num_trials", "study"})
    return {**asked, "params": params, "data": data}


def present_values(search: Search, sections: dict[str, Any]) -> dict[str, Any] | None:
    """The values in params.yaml, if all of them lie in the space; a grid comes to them anyway."""
    if search.sampler.name == "grid":
        return None
    values = {name: find_value(sections, name) for name in search.space}
    return values if all(holds(search.space[name], v) for name, v in values.items()) else None


if __name__ == "__main__":
    end_with_parent(above=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
