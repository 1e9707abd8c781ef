"""The page tells the best, the way to it and why others fell out, whatever values are called."""

from html import unescape
from typing import Any

import pytest

from pages.blocks import Lines, Notice, Parallel, Table
from pages.render import render_page
from pages.tune import Scale, Tried, Tuning, tuning_notice, tuning_sections

HOSTILE = "</title><script>alert(1)</script>\"'"
RATE, NET = "finetune.rate", "finetune.net"


def tried(number: int, score: float | None, rate: float, net: Any = "a", **changed: Any) -> Tried:
    outcome = "complete" if score is not None else "stopped"
    values = {RATE: rate, NET: net}
    return Tried(number, outcome, score, 3, values, "")._replace(**changed)


def a_tuning(**changed: Any) -> Tuning:
    trials = [
        tried(0, 0.3, 0.1),
        tried(1, None, 0.5, outcome="refused", reason="no memory", num_steps=0),
        tried(2, 0.2, 0.01, {"width": 8}),
        tried(3, None, 0.9),
        tried(4, 0.25, 1.0, "b"),
    ]
    return Tuning(
        study="first",
        metric="log_loss",
        is_lower_better=True,
        num_folds=0,
        is_done=True,
        num_asked=4,
        trials=trials,
        best=trials[2],
        present={RATE: 0.1, NET: "a"},
        importances={RATE: 0.75, NET: 0.25},
        scales={
            RATE: Scale(0.01, 1.0, True, ()),
            NET: Scale(0, 0, False, ("a", "b", {"width": 8})),
        },
        patch="-  rate: 0.1\n+  rate: 0.01\n",
    )._replace(**changed)


def page_of(tuning: Tuning) -> str:
    return render_page("Search", "", tuning_sections(tuning), tuning_notice(tuning))


def block_of(tuning: Tuning, kind: type) -> Any:
    blocks = [block for section in tuning_sections(tuning) for block in section.blocks]
    return next(block for block in blocks if isinstance(block, kind))


def test_the_best_so_far_never_grows_worse_and_gaps_stay_gaps():
    series = block_of(a_tuning(), Lines).series
    assert series["this trial"] == [0.3, None, 0.2, None, 0.25]
    assert series["best so far"] == [0.3, 0.3, 0.2, 0.2, 0.2]
    up = a_tuning(is_lower_better=False, metric="macro_f1")
    assert block_of(up, Lines).series["best so far"] == [0.3, 0.3, 0.3, 0.3, 0.3]


def test_strands_lie_where_values_lie_and_the_best_is_on_top():
    parallel = block_of(a_tuning(), Parallel)
    assert [axis.name for axis in parallel.axes] == [RATE, NET, "log loss (lower is better)"]
    assert parallel.axes[1].marks == [("a", 0.0), ("b", 0.5), ('{"width": 8}', 1.0)]
    strands = {strand.name: (strand.shares, strand.rank) for strand in parallel.strands}
    assert strands["trial 2: 0.2"] == ([0.0, 1.0, 0.0], 0)
    assert strands["trial 4: 0.25"] == ([1.0, 0.5, pytest.approx(0.5)], 2)
    assert strands["trial 0: 0.3"] == ([pytest.approx(0.5), 0.0, 1.0], 2)
    assert parallel.strands[-1].rank == 0
    assert len(strands) == 3


@pytest.mark.parametrize(
    ("changed", "tone", "said"),
    [
        ({}, "good", "Best is trial 2: log loss 0.2, where the former values had 0.3."),
        ({"patch": ""}, "good", "Nothing is better than what params.yaml has"),
        ({"is_done": False}, "warning", "The search is not done"),
        ({"best": None, "trials": []}, "bad", "No trial ended well"),
    ],
)
def test_the_notice_says_what_came_of_it(changed, tone, said):
    notice = tuning_notice(a_tuning(**changed))
    assert isinstance(notice, Notice) and notice.tone == tone and said in notice.text


def test_all_trials_are_told_with_their_outcome_and_reason():
    page = page_of(a_tuning())
    assert "stopped after 3 steps" in page and "no memory" in page
    table = block_of(a_tuning(), Table)
    assert table.rows == [[RATE, "0.1", "0.01"], [NET, "a", '{"width": 8}']]
    assert "-  rate: 0.1\n+  rate: 0.01\n" in unescape(page)


@pytest.mark.parametrize(
    "changed", [{"best": None, "trials": [], "importances": {}}, {"importances": {}}]
)
def test_a_search_that_found_little_has_a_page_too(changed):
    page = page_of(a_tuning(**changed))
    assert "Too few trials" in page


def test_a_page_is_the_same_every_time_and_escapes_what_it_is_given():
    hostile = tried(5, 0.1, 0.1, HOSTILE, reason=HOSTILE)
    tuning = a_tuning(
        study=HOSTILE,
        trials=[hostile],
        best=hostile,
        present={RATE: 0.1, NET: HOSTILE},
        importances={HOSTILE: 1.0},
        scales={RATE: Scale(0.1, 0.1, False, ()), NET: Scale(0, 0, False, (HOSTILE,))},
        patch=HOSTILE,
    )
    page = page_of(tuning)
    assert page == page_of(tuning)
    assert "<script" not in page and "&lt;script&gt;" in page
