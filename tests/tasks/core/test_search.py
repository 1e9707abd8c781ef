"""What may be asked of a search, and how dotted names find params and set them."""

import re
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from tasks.core.errors import ParamsError
from tasks.core.search import (
    Choice,
    Real,
    Search,
    Whole,
    combinations,
    find_value,
    holds,
    refuse_idle_pruner,
    rounded,
    with_values,
)
from tasks.sections import load_sections
from tasks.tune import load_search, present_values

ROOT = Path(__file__).parents[3]
ASKED: dict[str, Any] = {
    "study": "a",
    "num_trials": 3,
    "seed": 0,
    "metric": "calibrated_log_loss",
    "num_folds": 0,
    "sampler": {"name": "grid"},
    "pruner": {"name": "none"},
    "space": {"finetune.epochs": {"type": "categorical", "choices": [1, 2]}},
}
SECTIONS: dict[str, Any] = {
    "pretrain": {"architecture": {"width": 8}, "views": [{"p": 0.5}, {"p": 1.0}]},
    "finetune": {"learning_rate": 0.1, "optimiser": {"name": "sgd", "momentum": 0.9}},
    "evaluate": {"num_bins": 15},
}
reals = st.floats(1e-6, 1e6)


def test_the_search_of_the_project_fits_its_params(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sections = load_sections()
    search = load_search(Path("search.yaml"), sections)
    assert present_values(search, sections) is not None


def test_the_samplers_and_pruners_in_the_comments_can_be_taken() -> None:
    text = (ROOT / "search.yaml").read_text(encoding="utf-8")
    examples = [YAML(typ="safe", pure=True).load(one) for one in re.findall(r"\{name: .*?\}", text)]
    taken = {"sampler": set(), "pruner": set()}
    for example in examples:
        part = "sampler" if example["name"] in ("tpe", "random", "grid") else "pruner"
        search = Search.model_validate({**ASKED, part: example})
        taken[part].add(getattr(search, part).name)
    assert taken == {
        "sampler": {"tpe", "random", "grid"},
        "pruner": {"median", "none", "hyperband"},
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"space": {}}, "at least 1 item"),
        ({"trials": 3}, "Extra inputs"),
        ({"study": "../a"}, "match pattern"),
        ({"num_folds": 1}, "expected 0"),
        ({"metric": "accuracy_on_test"}, "log_loss"),
        ({"space": {"a": {"type": "int", "low": 3, "high": 3, "step": 1, "log": False}}}, "low < "),
        ({"space": {"a": {"type": "int", "low": 1, "high": 9, "step": 2, "log": True}}}, "step: 1"),
        ({"space": {"a": {"type": "float", "low": 0.0, "high": 1.0, "log": True}}}, "more than 0"),
        ({"space": {"a": {"type": "float", "low": 0.1, "high": 1.0, "log": True}}}, "grid with"),
        ({"space": {"a": {"type": "categorical", "choices": [[1], [1]]}}}, "twice"),
        ({"sampler": {"name": "tpe"}}, "startup_trials"),
        (
            {
                "pruner": {
                    "name": "hyperband",
                    "least_steps": 5,
                    "most_steps": 5,
                    "reduction_factor": 3,
                }
            },
            "no trial is stopped",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(changed: dict[str, Any], said: str) -> None:
    Search.model_validate(ASKED)
    with pytest.raises(ValidationError, match=said):
        Search.model_validate({**ASKED, **changed})


@pytest.mark.parametrize(
    ("num_folds", "num_epochs", "least", "is_idle"),
    [(0, 15, 5, False), (0, 5, 5, True), (5, 15, 5, True), (5, 15, 4, True), (5, 15, 3, False)],
)
def test_a_pruner_that_stops_nothing_is_refused(num_folds, num_epochs, least, is_idle) -> None:
    median = {"name": "median", "startup_trials": 1, "warmup_steps": least}
    factors = {"most_steps": 99, "reduction_factor": 3}
    hyperband = {"name": "hyperband", "least_steps": least, **factors}
    for pruner in (median, hyperband):
        search = Search.model_validate({**ASKED, "num_folds": num_folds, "pruner": pruner})
        refusal = pytest.raises(ParamsError, match="stopped early") if is_idle else nullcontext()
        with refusal:
            refuse_idle_pruner(search, num_epochs)
    refuse_idle_pruner(Search.model_validate({**ASKED, "num_folds": num_folds}), num_epochs)


def test_a_grid_has_every_combination_once() -> None:
    space: dict[str, Any] = {
        "b": Whole(type="int", low=1, high=6, step=2, log=False),
        "a": Choice(type="categorical", choices=[{"name": "sgd"}, None]),
    }
    sgd = {"name": "sgd"}
    expected = [(1, sgd), (1, None), (3, sgd), (3, None), (5, sgd), (5, None)]
    assert [(point["b"], point["a"]) for point in combinations(space)] == expected


@given(reals, reals, st.floats(0, 1))
def test_rounding_stays_within_bounds_and_near(one: float, other: float, share: float) -> None:
    low, high = sorted((one, other))
    if low == high:
        return
    kind = Real(type="float", low=low, high=high, log=False)
    value = min(high, low + share * (high - low))
    near = rounded(kind, value)
    assert low <= near <= high
    assert abs(near - value) <= 5.001e-4 * abs(value)
    assert holds(kind, near)


def test_a_kind_holds_what_it_can_draw_and_nothing_else() -> None:
    whole = Whole(type="int", low=32, high=96, step=32, log=False)
    assert [value for value in (32, 64, 96, 48, 128, 64.0, True, "64") if holds(whole, value)] == [
        32,
        64,
        96,
    ]
    real = Real(type="float", low=0.0, high=1.0, log=False)
    assert holds(real, 0) and holds(real, 0.1234) and not holds(real, 0.12345)
    assert not holds(real, 1.1) and not holds(real, True)


def test_values_are_set_at_any_depth_in_a_copy() -> None:
    before = deepcopy(SECTIONS)
    after = with_values(
        SECTIONS,
        {
            "finetune.optimiser.learning_rate": 0.3,
            "finetune.optimiser": {"name": "adam", "learning_rate": 1.0},
            "pretrain.views.1.p": 0.2,
        },
    )
    assert before == SECTIONS
    assert after["finetune"]["optimiser"] == {"name": "adam", "learning_rate": 0.3}
    assert after["pretrain"]["views"] == [{"p": 0.5}, {"p": 0.2}]
    assert after["evaluate"] == SECTIONS["evaluate"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("finetune.lerning_rate", "finetune has no 'lerning_rate'; expected one of"),
        ("finetune.learning_rate.x", "finetune.learning_rate has no 'x'"),
        ("pretrain.views.2.p", "pretrain.views has no '2'"),
        ("evaluate.num_bins", "expected a param of pretrain or finetune"),
        ("finetune", "expected a param of pretrain or finetune"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name: str, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        find_value(SECTIONS, name)
    with pytest.raises(ParamsError, match=said):
        with_values(SECTIONS, {name: 1})
