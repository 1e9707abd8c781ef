"""What a study has found: as a page, as a patch, and in params.yaml."""

from pathlib import Path
from typing import Any

from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pages.render import render_page
from pages.tune import Scale, Tried, Tuning, tuning_notice, tuning_sections
from tasks.artifacts.documents import save_bytes, save_text
from tasks.core.samplers import IS_SURPLUS, REASON, RETRY_OF, decoded, is_drawn, num_draws, place_of
from tasks.core.search import Choice, Kind, Search, find_value
from tasks.core.yaml_edits import edit_values, make_patch
from tasks.sections import PARAMS

PAGE, PATCH = Path("reports/tune.html"), Path("reports/tune.patch")
_LEAST_COMPLETE = 4
_OUTCOMES = {TrialState.PRUNED: "stopped", TrialState.FAIL: "interrupted"}


def read_tuning(study: Study, search: Search, sections: dict[str, Any]) -> Tuning:
    """What the study has found so far; the same for equal trials, whatever interrupted them."""
    trials = study.get_trials(deepcopy=False)
    repeated = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    tried = []
    for trial in trials:
        if trial.number in repeated or trial.user_attrs.get(IS_SURPLUS):
            continue
        place = place_of(trial, trials)
        tried.append(_tried(trial, 0 if place is None else place + 1, search))
    tried.sort(key=lambda one: one.number)
    complete = [one for one in tried if one.outcome == "complete"]
    sign = 1 if search.is_lower_better else -1
    best = min(complete, key=lambda one: sign * (one.score or 0.0), default=None)
    old = _params_text()
    new = edit_values(old, best.values) if best else old
    unfinished = any(one.outcome in ("running", "waiting") for one in tried)
    return Tuning(
        study=search.study,
        metric=search.metric,
        is_lower_better=search.is_lower_better,
        num_folds=search.num_folds,
        is_done=not unfinished and sum(map(is_drawn, trials)) >= num_draws(search),
        num_asked=num_draws(search),
        trials=tried,
        best=best,
        present={name: find_value(sections, name) for name in search.space},
        importances=_importances(study, len(complete)),
        scales={name: _scale(kind) for name, kind in search.space.items()},
        patch=make_patch(old, new, str(PARAMS)),
    )


def _tried(trial: FrozenTrial, number: int, search: Search) -> Tried:
    outcome = _OUTCOMES.get(trial.state, trial.state.name.lower())
    reason = trial.user_attrs.get(REASON, "")
    values = {name: decoded(search.space[name], drawn) for name, drawn in trial.params.items()}
    return Tried(
        number=number,
        outcome="refused" if reason else outcome,
        score=round(trial.value or 0.0, 6) if trial.state == TrialState.COMPLETE else None,
        num_steps=len(trial.intermediate_values),
        values=values,
        reason=reason,
    )


def _scale(kind: Kind) -> Scale:
    if isinstance(kind, Choice):
        return Scale(0, 0, False, kind.choices)
    return Scale(kind.low, kind.high, kind.log, ())


def _importances(study: Study, num_complete: int) -> dict[str, float]:
    """Shares of the scores' variance (fANOVA: Hutter et al., 2014); empty where there is nothing to
    divide."""
    scores = {
        trial.value for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()
    }
    if num_complete < _LEAST_COMPLETE or len(scores - {None}) < 2:
        return {}
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: round(share, 6) for name, share in shares.items()}


def save_tuning(tuning: Tuning) -> None:
    page = render_page(
        f"Search: {tuning.study}",
        "Which params were tried, what came of them, and which are best on rows that nothing was "
        "taught with.",
        tuning_sections(tuning),
        tuning_notice(tuning),
    )
    save_text(page, PAGE)
    save_text(tuning.patch, PATCH)


def apply(tuning: Tuning) -> str:
    """Writes the best values into params.yaml; says what was done."""
    assert tuning.best is not None
    old = _params_text()
    new = edit_values(old, tuning.best.values)
    if new == old:
        return f"{PARAMS} has the best values already"
    save_bytes(new.encode(), PARAMS)
    return f"{PARAMS} has the best values; `dvc repro` makes the model of them"


def _params_text() -> str:
    # As bytes: reading text would change line ends.
    return PARAMS.read_bytes().decode("utf-8")
