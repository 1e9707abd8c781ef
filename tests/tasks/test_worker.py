"""Trials repeat, go on after any death as if nothing had been, and are run once by many workers."""

import signal
import traceback
from pathlib import Path
from typing import Any

import pytest

from tasks.artifacts.studies import opened_study, parse_storage
from tasks.core.errors import ArtifactError, BusyError, ParamsError
from tasks.core.search import combinations
from tests.tasks.studying import PRESENT, bowl, run, search_of, start

KINDS: dict[str, dict[str, Any]] = {
    "tpe": {},
    "random": {"sampler": {"name": "random"}},
    "hyperband": {
        "pruner": {
            "name": "hyperband", "least_steps": 1, "most_steps": 3, "reduction_factor": 2
        }
    },
}  # fmt: skip
GRID: dict[str, Any] = {
    "sampler": {"name": "grid"},
    "num_trials": 100,
    "space": {
        "finetune.net": {"type": "categorical", "choices": [{"width": 8}, {"width": 16}]},
        "finetune.batch": {"type": "int", "low": 16, "high": 64, "step": 16, "log": False},
    },
}


def url_of(folder: Path, name: str = "a") -> str:
    return f"sqlite:///{folder / name}.db"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_trials_at_one_go_or_at_two(tmp_path: Path, kind: str) -> None:
    whole = run(url_of(tmp_path), search_of(**KINDS[kind]))
    assert [one["place"] for one in whole] == [*range(-1, 5)]
    run(url_of(tmp_path, "b"), search_of(**KINDS[kind], num_trials=3))
    assert run(url_of(tmp_path, "b"), search_of(**KINDS[kind])) == whole
    other = run(url_of(tmp_path, "c"), search_of(**KINDS[kind], seed=1))
    assert other[0] == whole[0]
    assert other[1:] != whole[1:]


def test_the_first_trial_has_the_present_values(tmp_path: Path) -> None:
    first = run(url_of(tmp_path), search_of(num_trials=1))[0]
    assert first["params"]["finetune.rate"] == PRESENT["finetune.rate"]
    assert first["value"] == bowl({"finetune": {"rate": 0.1, "net": {"width": 8}, "batch": 16}},
                                  lambda step, score: None)  # fmt: skip


def test_a_grid_is_gone_through_once_and_ends(tmp_path: Path) -> None:
    search = search_of(**GRID)
    drawn = [one["params"] for one in run(url_of(tmp_path), search, bowl)[1:]]
    points = combinations(search.space)
    assert len(drawn) == len(points) == 8
    assert len({str(one) for one in drawn}) == 8


def test_what_does_not_fit_is_refused_with_its_reason_and_the_search_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = run(url_of(tmp_path), search_of(**GRID))
    refused = [one for one in trials if one["params"]["finetune.batch"] == 64]
    assert len(refused) == 2
    assert all(one["state"] == "PRUNED" for one in refused)
    assert "refused: finetune: no memory for <64>" in capsys.readouterr().err


# By a pruner's name: its params, and how many steps it lets a hopeless trial take.
PRUNERS: dict[str, tuple[dict[str, int], int]] = {
    "median": ({"startup_trials": 1, "warmup_steps": 2}, 3),
    "hyperband": ({"least_steps": 3, "most_steps": 4, "reduction_factor": 2}, 4),
}


@pytest.mark.parametrize("name", PRUNERS)
def test_a_hopeless_trial_is_stopped(tmp_path: Path, name: str) -> None:
    steps: list[int] = []

    def objective(sections: dict[str, Any], report: Any) -> float:
        score = 100.0 if sections["finetune"]["net"]["width"] == 16 else 0.0
        for step in range(5):
            steps.append(step)
            report(step, score)
        return score

    params, least = PRUNERS[name]
    search = search_of(**GRID, pruner={"name": name, **params})
    trials = run(url_of(tmp_path), search, objective)
    stopped = [one for one in trials if one["state"] == "PRUNED"]
    assert [one["params"]["finetune.net"] for one in stopped] == ['{"width": 16}'] * 4
    assert len(steps) == 5 * 5 + 4 * least


def test_hyperband_asks_some_trials_early_and_others_late(tmp_path: Path) -> None:
    """Its brackets ask first after the least steps, and by the factor later, up to the most."""
    last_steps: list[int] = []

    def worse_and_worse(sections: dict[str, Any], report: Any) -> float:
        last_steps.append(0)
        for step in (0, 1, 2, 3, 8, 9, 11):
            last_steps[-1] = step
            report(step, float(len(last_steps)))
        return float(len(last_steps))

    asked = {"least_steps": 1, "most_steps": 9, "reduction_factor": 3}
    search = search_of(
        sampler={"name": "random"}, num_trials=12, pruner={"name": "hyperband", **asked}
    )
    run(url_of(tmp_path), search, worse_and_worse)
    assert set(last_steps) == {1, 3, 9, 11}
    # The first of each of the three brackets has none to be worse than.
    assert last_steps.count(11) == 3


def test_an_interrupted_trial_is_run_again_as_if_nothing_had_been(
    tmp_path: Path,
) -> None:
    whole = run(url_of(tmp_path), search_of())
    num_calls = 0

    def interrupted(sections: dict[str, Any], report: Any) -> float:
        nonlocal num_calls
        num_calls += 1
        if num_calls in errors:
            raise errors[num_calls]
        return bowl(sections, report)

    errors = {1: KeyboardInterrupt(), 4: AssertionError(), 6: KeyboardInterrupt()}
    # A disk that is full is no fault of a trial, however often it is.
    errors |= {number: ArtifactError("no space is left") for number in (7, 8, 9, 10)}
    errors[11] = OSError("no space is left")
    for error in errors.values():
        with pytest.raises(type(error)):
            run(url_of(tmp_path, "b"), search_of(), interrupted)
    assert run(url_of(tmp_path, "b"), search_of(), interrupted) == whole


def test_killed_at_any_trial_it_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole = run(url_of(tmp_path), search_of())
    killed = (
        "count = 0\n"
        "def objective(sections, report):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return bowl(sections, report)\n"
    )
    for _ in range(2):
        worker = start(url_of(tmp_path, "b"), killed)
        assert worker.wait(60) == -signal.SIGKILL
        worker.communicate()
    assert run(url_of(tmp_path, "b"), search_of()) == whole


def test_a_trial_that_ends_every_worker_is_refused_in_the_end(tmp_path: Path) -> None:
    killed = (
        "def objective(sections, report):\n"
        "    if sections['finetune']['net']['width'] == 16: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return bowl(sections, report)\n"
    )
    space = {"finetune.net": GRID["space"]["finetune.net"]}
    statuses = []
    for _ in range(4):
        worker = start(url_of(tmp_path), killed, **{**GRID, "space": space})
        worker.communicate(timeout=60)
        statuses.append(worker.returncode)
    assert statuses == [-signal.SIGKILL] * 3 + [0]
    trials = run(url_of(tmp_path), search_of(**{**GRID, "space": space}))
    assert [(one["place"], one["state"]) for one in trials] == [
        (-1, "COMPLETE"),
        (0, "COMPLETE"),
        (1, "PRUNED"),
    ]


def test_a_second_worker_of_a_file_is_refused(tmp_path: Path) -> None:
    url = parse_storage(url_of(tmp_path))
    with (
        opened_study(url, search_of(), {"space": []}, None),
        pytest.raises(BusyError, match="PostgreSQL"),
        opened_study(url, search_of(), {"space": []}, None),
    ):
        pass


def test_a_study_of_something_else_is_no_comparison(tmp_path: Path) -> None:
    run(url_of(tmp_path), search_of(num_trials=1))
    with pytest.raises(ParamsError, match="begun with other seed"):
        run(url_of(tmp_path), search_of(num_trials=1, seed=2))


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("mysql://u:secret@h/d", ParamsError, "expected postgresql"),
        ("mysql://u@h/d?password=secret", ParamsError, "expected postgresql"),
        ("secret", ParamsError, "no address"),
        ("sqlite://", ParamsError, "expected postgresql"),
        ("postgresql://u:secret@127.0.0.1:1/d", ArtifactError, "the study's database"),
        ("postgresql://u@127.0.0.1:1/d?password=secret", ArtifactError, "the study's database"),
        ("sqlite:////proc/none/a.db", ArtifactError, "/proc/none"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(
    address: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        run(address, search_of())
    assert "secret" not in "".join(traceback.format_exception(raised.value, chain=True))
