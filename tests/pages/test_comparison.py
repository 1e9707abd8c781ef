"""What grew worse is marked, by share where counts grow with the data."""

from typing import Any

from pages.blocks import Notice, Table, Text
from pages.comparison import TOTALS, compare, comparison_blocks, num_worse


def measured(**changed: Any) -> dict[str, Any]:
    counts = {"train": {"a": 50, "b": 50}, "val": {"a": 5, "b": 5}}
    return {**dict.fromkeys(TOTALS, 10), "num_arrived": 1000, "class_counts": counts, **changed}


def test_without_a_former_snapshot_there_is_nothing_to_compare():
    assert compare(None, measured()) == {}
    assert num_worse({}) == 0
    assert comparison_blocks({}) == [Text("There is no snapshot before this one to compare with.")]


def test_equal_snapshots_differ_in_nothing():
    compared = compare(measured(), measured())
    assert num_worse(compared) == 0
    assert compared["totals"].keys() == TOTALS.keys() and compared["classes"] == {}
    notice = comparison_blocks(compared)[0]
    assert isinstance(notice, Notice) and notice.tone == "good"


def test_counts_are_judged_by_their_share_and_shares_as_they_are():
    totals = compare(
        measured(),
        measured(num_arrived=2000, num_to_review=19, num_leaks=21, rejected_fraction=10.5),
    )["totals"]
    worse = {key for key, change in totals.items() if change["is_worse"]}
    assert worse == {"num_leaks", "rejected_fraction"}
    assert totals["num_to_review"] == {
        "former": 10,
        "present": 19,
        "difference": 9,
        "is_worse": False,
        "is_better": True,
    }


def test_fewer_images_are_worse():
    totals = compare(measured(), measured(num_arrived=999))["totals"]
    assert totals["num_arrived"]["is_worse"] and not totals["num_arrived"]["is_better"]


def test_classes_that_lost_rows_come_first_and_those_that_are_gone_count():
    present = {"train": {"a": 70, "new": 3}, "val": {"a": 5, "b": 4}}
    compared = compare(measured(), measured(class_counts=present))
    table = comparison_blocks(compared)[-1]
    assert isinstance(table, Table)
    assert table.rows == [
        ["b", "worse", 55, 4, -51],
        ["new", "better", 0, 3, 3],
        ["a", "better", 55, 75, 20],
    ]
    assert num_worse(compared) == 1


def test_a_number_that_the_former_document_lacks_is_left_out():
    former = measured()
    del former["num_outliers"]
    assert compare(former, measured())["totals"].keys() == TOTALS.keys() - {"num_outliers"}
