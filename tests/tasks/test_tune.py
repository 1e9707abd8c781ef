"""A search from its command to params.yaml, on images of which each class has its brightness."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tasks import finetune, trials
from tasks.artifacts.documents import load_json, load_yaml
from tasks.artifacts.embeddings import Synthetic, save_synthetic
from tasks.artifacts.tables import load_rows, save_rows
from tasks.core.errors import ArtifactError, ParamsError
from tasks.core.params import Run
from tasks.core.search import Search
from tasks.core.yaml_edits import edit_values, value_at
from tasks.tune import main
from tests.tasks.small_project import TRAIN, make_project

SEARCH: dict[str, Any] = {
    "study": "small",
    "num_trials": 2,
    "seed": 0,
    "metric": "calibrated_log_loss",
    "num_folds": 0,
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
    "space": {"finetune.dropout": {"type": "float", "low": 0.0, "high": 0.5, "log": False}},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an encoder and the search that all tests begin with."""
    monkeypatch.chdir(made)
    if not Path("models/encoder.safetensors").is_file():
        sections = load_yaml(Path("params.yaml"))
        ground = ground_of(made, Path("."))
        params = trials.check_params(sections)
        encoder = trials._encoder(params, Run.model_validate(sections["run"]), ground)
        encoder.rename("models/encoder.safetensors")
    ask(made)
    return made


def ask(project: Path, **changed: Any) -> None:
    (project / "search.yaml").write_text(json.dumps({**SEARCH, **changed}))


def ground_of(project: Path, scratch: Path, **changed: Any) -> trials.Ground:
    paths = {stage: trials.stage_paths(stage) for stage in ("pretrain", "finetune")}
    (project / "models").mkdir(exist_ok=True)
    return trials.Ground(
        paths, "calibrated_log_loss", [], project / "models/encoders", scratch
    )._replace(**changed)


def ignored(step: int, score: float) -> None:
    pass


def test_the_best_values_go_into_params_and_nothing_else_changes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Path("params.yaml").read_bytes().decode()
    try:
        assert main([]) == 0
        told = capsys.readouterr()
        assert "reports/tune.html" in told.out
        assert (
            "trial present values: calibrated_log_loss" in told.err and "trial 2 of 2" in told.err
        )
        page = Path("reports/tune.html").read_bytes()
        assert Path("params.yaml").read_bytes().decode() == old

        assert main(["--apply"]) == 0
        new = Path("params.yaml").read_bytes().decode()
        dropout = value_at(load_yaml(Path("params.yaml")), "finetune.dropout")
        assert new == edit_values(old, {"finetune.dropout": dropout})
        assert "begins" not in capsys.readouterr().err
        assert main(["--apply"]) == 0
        assert "best values already" in capsys.readouterr().out

        Path("params.yaml").write_bytes(old.encode())
        Path(".cache/tune/small.db").unlink()
        assert main([]) == 0
        assert Path("reports/tune.html").read_bytes() == page
    finally:
        Path("params.yaml").write_bytes(old.encode())


def test_a_trial_is_what_the_stage_makes_of_its_params(project: Path, tmp_path: Path) -> None:
    sections = load_yaml(Path("params.yaml"))
    steps: list[tuple[int, float]] = []
    ground = ground_of(project, tmp_path, encoders=None)
    score = trials.run_trial(sections, ground, lambda *told: steps.append(told))
    paths = ground.paths["finetune"]
    outs = {name: tmp_path / path.name for name, path in paths.items() if name.startswith("out_")}
    finetune.main(
        **cast(Any, {**paths, **outs}),
        params=finetune.Params.model_validate(sections["finetune"]),
        run=Run.model_validate(sections["run"]),
    )
    assert score == load_json(outs["out_metrics"])["calibrated_log_loss"]
    assert [step for step, _ in steps] == [0, 1, 2]
    assert min(told for _, told in steps) == pytest.approx(score)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in outs.values()
    )


def test_an_encoder_is_taught_once_for_trials_that_differ_in_finetune_alone(
    project: Path, tmp_path: Path
) -> None:
    sections = load_yaml(Path("params.yaml"))
    ground = ground_of(project, tmp_path, encoders=tmp_path / "encoders")

    def encoders(**changed: Any) -> dict[str, int]:
        each = {**sections, **{k: {**sections[k], **v} for k, v in changed.items()}}
        trials.run_trial(each, ground, ignored)
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "encoders").iterdir()}

    first = encoders()
    assert encoders(finetune={"dropout": 0.4}) == first and len(first) == 1
    wide = {**sections["pretrain"]["architecture"], "width": 8}
    both = encoders(pretrain={"architecture": wide})
    assert len(both) == 2 and first.items() <= both.items()


def test_encoders_of_other_data_are_taught_anew(project: Path, tmp_path: Path) -> None:
    first = trials.encoders_folder(tmp_path)
    assert trials.encoders_folder(tmp_path) == first
    path = trials.stage_paths("pretrain")["train"]
    rows = load_rows(path)
    save_rows(rows[1:], path)
    assert trials.encoders_folder(tmp_path) != first
    save_rows(rows, path)
    assert trials.encoders_folder(tmp_path) == first


def test_folds_judge_every_train_row_once_and_part_no_group(project: Path) -> None:
    paths = ground_of(project, project).paths
    folds = trials.make_folds(paths, 3, 0)
    assert sorted(np.concatenate([fold.judged for fold in folds])) == list(TRAIN)
    for fold in folds:
        assert not set(fold.taught) & set(fold.judged)
        assert set(fold.taught) | set(fold.judged) == set(TRAIN)
        assert len(fold.taught) == 90 - len(fold.judged) + np.isin(TRAIN[:5], fold.taught).sum()
        pairs = [{row // 2 for row in rows if row < 30} for rows in fold]
        assert not pairs[0] & pairs[1]
        counts = np.bincount(fold.judged % 3, minlength=3)
        assert counts.max() - counts.min() <= 3
    again = trials.make_folds(paths, 3, 0)
    assert all(np.array_equal(a.judged, b.judged) for a, b in zip(folds, again, strict=True))


def test_with_folds_the_score_is_their_mean_and_val_stays_out(
    project: Path, tmp_path: Path
) -> None:
    folds = trials.make_folds(ground_of(project, project).paths, 2, 0)
    steps: list[tuple[int, float]] = []
    sections = load_yaml(Path("params.yaml"))
    ground = ground_of(project, tmp_path, encoders=None, folds=folds)
    without_val = {**ground.paths["finetune"], "val": Path("data/rows/no-such.npy")}
    ground = ground._replace(paths={**ground.paths, "finetune": without_val})
    score = trials.run_trial(sections, ground, lambda *told: steps.append(told))
    assert [step for step, _ in steps] == [0, 1] and steps[1][1] == score
    single = ground._replace(folds=folds[:1])
    assert trials.run_trial(sections, single, ignored) == steps[0][1]
    assert score == pytest.approx(
        (steps[0][1] + trials.run_trial(sections, ground._replace(folds=folds[1:]), ignored)) / 2
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_folds": 3}, "num_folds: 3, but"),
        ({"space": {"pretrain.epochs": {"type": "categorical", "choices": [1]}}}, "of pretrain"),
    ],
)
def test_made_up_rows_suit_neither_folds_nor_other_encoders(
    project: Path, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    made_up = tmp_path / "synthetic.parquet"
    save_synthetic(Synthetic(np.ones((2, 4), np.float32), np.array(["a", "b"])), made_up)
    paths = ground_of(project, project).paths
    trials.check_made_up(paths, Search.model_validate({**SEARCH, **changed}))
    paths = {**paths, "finetune": {**paths["finetune"], "synthetic": made_up}}
    trials.check_made_up(paths, Search.model_validate(SEARCH))
    with pytest.raises(ParamsError, match=said):
        trials.check_made_up(paths, Search.model_validate({**SEARCH, **changed}))


def test_params_that_no_stage_takes_are_told_one_by_one(project: Path, tmp_path: Path) -> None:
    sections = load_yaml(Path("params.yaml"))
    sections["finetune"]["dropout"] = 2
    sections["pretrain"]["architecture"]["width"] = "wide"
    with pytest.raises(ParamsError, match=r"pretrain\.architecture\.width.*finetune\.dropout"):
        trials.run_trial(sections, ground_of(project, tmp_path), ignored)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"space": {}}, "search.yaml.space: "),
        ({"space": {"finetune.x": {"type": "categorical", "choices": [1]}}}, "has no 'x'"),
        ({"sampler": {"name": "best"}}, "search.yaml.sampler"),
        ({"num_folds": 3, "pruner": {"name": "median", "startup_trials": 1, "warmup_steps": 2}},
         "search.yaml: pruner: warmup_steps 2, and a trial's last step is 2"),
        ({"space": {"finetune.dropout": {"type": "categorical", "choices": [2.0, 3.0]}}},
         "no trial ended well"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_words(
    project: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], said: str
) -> None:
    ask(project, study="wrong", **changed)
    assert main([]) == 1
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told


def test_a_missing_input_is_told_with_the_command_that_makes_it(project: Path) -> None:
    paths = ground_of(project, project).paths
    trials.check_inputs(paths)
    for stage, name in (("finetune", "policy"), ("pretrain", "train"), ("finetune", "encoder")):
        lacking = {**paths, stage: {**paths[stage], name: Path("data/none.npy")}}
        with pytest.raises(ArtifactError, match=r"data/none.npy.*`dvc repro finetune` makes"):
            trials.check_inputs(lacking)
