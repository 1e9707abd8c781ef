"""One trial of a search: the stages themselves, on other params, rows and outputs."""

import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import ValidationError

from tasks import finetune, pretrain
from tasks.artifacts.documents import load_json, load_yaml
from tasks.artifacts.embeddings import load_synthetic
from tasks.artifacts.tables import load_rows, load_table, save_rows
from tasks.core.errors import ArtifactError, ParamsError
from tasks.core.label_quality import divide, group_numbers
from tasks.core.params import Run, explain_validation
from tasks.core.search import Search
from tasks.fingerprint import content_hash, hash_dependencies

_STAGES = {"pretrain": pretrain, "finetune": finetune}
_SCORES = {
    "calibrated_log_loss": "val_calibrated_loss",
    "balanced_accuracy": "val_balanced_accuracy",
    "macro_f1": "val_macro_f1",
}
# Told of a step (an epoch, or a fold where there are several) and the score so far.
Report = Callable[[int, float], None]


class Fold(NamedTuple):
    """Rows to learn from, with repeats, and rows to judge by."""

    taught: np.ndarray
    judged: np.ndarray


class Ground(NamedTuple):
    """What all trials share. `paths`: by stage and argument, as dvc.yaml has them; no `folds`: val
    judges; `encoders`: where those of other params are kept, None where they are not searched."""

    paths: dict[str, dict[str, Path]]
    metric: str
    folds: Sequence[Fold]
    encoders: Path | None
    scratch: Path


def stage_paths(stage: str) -> dict[str, Path]:
    """The paths that a stage's command in dvc.yaml hands to the arguments of its `main`."""
    words = shlex.split(load_yaml(Path("dvc.yaml"))["stages"][stage]["cmd"])[4:]
    return {
        flag.removeprefix("--").replace("-", "_"): Path(path)
        for flag, path in zip(words[::2], words[1::2], strict=True)
    }


def inputs_of(paths: dict[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in paths.items() if not name.startswith("out_")}


def check_inputs(paths: dict[str, dict[str, Path]]) -> None:
    """Raises ArtifactError for an input that is not there."""
    for stage, of_stage in paths.items():
        for path in inputs_of(of_stage).values():
            if not path.exists():
                raise ArtifactError(
                    f"tune: {path}, an input of {stage}, does not exist; `dvc repro finetune` "
                    f"makes it, `dvc pull {path}` fetches it"
                )


def hash_inputs(paths: dict[str, dict[str, Path]], searched: Sequence[str]) -> str:
    """Of what the searched stages learn from."""
    inputs = {path for stage in searched for path in inputs_of(paths[stage]).values()}
    if "pretrain" in searched:
        inputs.discard(paths["finetune"]["encoder"])
    digest = hashlib.sha256()
    for path in sorted(inputs):
        digest.update(f"{path}\0{content_hash(path)}".encode())
    return digest.hexdigest()


def encoders_folder(scratch: Path) -> Path:
    """Of encoders that today's code taught today's data."""
    text = json.dumps(hash_dependencies("pretrain"), sort_keys=True)
    return scratch / "encoders" / hashlib.sha256(text.encode()).hexdigest()[:16]


def check_made_up(paths: dict[str, dict[str, Path]], search: Search) -> None:
    """Raises ParamsError where embeddings that rebalance made up do not suit the search."""
    path = paths["finetune"]["synthetic"]
    if not len(load_synthetic(path).labels_S):
        return
    if search.num_folds:
        what = f"num_folds: {search.num_folds}, but {path} was made up of rows of all folds"
    elif "pretrain" in search.stages:
        what = f"space: has params of pretrain, but {path} was made up with the present encoder"
    else:
        return
    raise ParamsError(
        f"search.yaml: {what}; expected a rebalance.sampler that makes nothing up, such as "
        "RandomOverSampler"
    )


def make_folds(paths: dict[str, dict[str, Path]], num_folds: int, seed: int) -> list[Fold]:
    """Train rows, stratified by label; groups stay together. Val rows stay out of it, so that they
    can check what was chosen.

    Raises ParamsError if train has fewer groups than folds.
    """
    tuned = paths["finetune"]
    train, balanced = load_rows(paths["pretrain"]["train"]), load_rows(tuned["balanced"])
    labels = load_table(tuned["labels"], ["label"])["label"]
    codes = pd.Categorical(labels, categories=list(load_json(tuned["priors"]))).codes
    groups = group_numbers(load_table(paths["pretrain"]["manifest"], ["group"])["group"])
    train = train[codes[train] >= 0]
    divided = divide(codes[train].astype(np.int64), groups[train], num_folds, seed)
    return [
        Fold(balanced[np.isin(balanced, train[learnt])], train[judged])
        for learnt, judged in divided
    ]


def check_params(sections: dict[str, Any]) -> dict[str, Any]:
    """The sections as the stages' own `Params`. Raises ParamsError, a line for each mistake."""
    params, mistakes = {}, []
    for stage, module in _STAGES.items():
        try:
            params[stage] = module.Params.model_validate(sections[stage])
        except ValidationError as error:
            mistakes += explain_validation(stage, error, sections[stage])
    if mistakes:
        raise ParamsError("; ".join(mistakes))
    return params


def run_trial(sections: dict[str, Any], ground: Ground, report: Report) -> float:
    """The score that the params of the sections come to; with folds the mean over them.

    Raises ParamsError for params that no stage takes, and what a stage or `report` raises.
    """
    params, run = check_params(sections), Run.model_validate(sections["run"])
    encoder = _encoder(params, run, ground)
    with _scratch_folder(ground) as name:
        folder = Path(name)
        if not ground.folds:
            paths = {**ground.paths["finetune"], "encoder": encoder}
            return _finetuned(paths, folder, params["finetune"], run, ground.metric, report)
        scores: list[float] = []
        for number, fold in enumerate(ground.folds):
            paths = {**ground.paths["finetune"], "encoder": encoder, **_save(fold, folder)}
            args = (paths, folder, params["finetune"], run, ground.metric)
            scores.append(_finetuned(*args, lambda step, score: None))
            report(number, float(np.mean(scores)))
        return float(np.mean(scores))


def _scratch_folder(ground: Ground) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=ground.scratch, prefix=f"trial-{os.getpid()}-")


def _save(fold: Fold, folder: Path) -> dict[str, Path]:
    paths = {"balanced": folder / "taught.npy", "val": folder / "judged.npy"}
    save_rows(fold.taught, paths["balanced"])
    save_rows(fold.judged, paths["val"])
    return paths


def _finetuned(
    paths: dict[str, Path],
    folder: Path,
    params: finetune.Params,
    run: Run,
    metric: str,
    report: Report,
) -> float:
    """The stage's own score of the epoch that it keeps."""
    paths = paths | _outputs(paths, folder)
    field = _SCORES[metric]
    finetune.main(
        **paths,
        params=params,
        run=run,
        watch=lambda entry: report(entry["epoch"], entry[field]),
    )
    return float(load_json(paths["out_metrics"])[metric])


def _encoder(params: dict[str, Any], run: Run, ground: Ground) -> Path:
    """The graph's encoder, or the one that the params give: taught once, whatever the number of
    trials that share them."""
    if ground.encoders is None:
        return ground.paths["finetune"]["encoder"]
    asked: pretrain.Params = params["pretrain"]
    if params["finetune"].initialisation == "scratch":
        # Only its architecture is of use then.
        asked = asked.model_copy(update={"epochs": 0})
    key = json.dumps([asked.model_dump(mode="json"), run.model_dump()], sort_keys=True)
    path = ground.encoders / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"
    if not path.is_file():
        with _scratch_folder(ground) as name:
            paths = ground.paths["pretrain"] | _outputs(ground.paths["pretrain"], Path(name))
            pretrain.main(**{**paths, "out_encoder": path}, params=asked, run=run)
    return path


def _outputs(paths: dict[str, Path], folder: Path) -> dict[str, Path]:
    return {name: folder / path.name for name, path in paths.items() if name.startswith("out_")}
