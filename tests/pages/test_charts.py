"""Bars and lines lie where their values say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages import charts

ANY_VALUE = st.none() | st.floats() | st.integers() | st.just(10**400)


def test_bars_are_as_long_as_their_values():
    chart = charts.bar_chart({"train": {"cat": 40, "dog": 10}, "val": {"dog": 5, "owl": 0}})
    assert chart is not None

    widths = {(g.label, bar.name): bar.width for g in chart.groups for bar in g.bars}
    assert widths["cat", "train"] == charts.BAR_SPAN
    assert widths["dog", "train"] == charts.BAR_SPAN / 4
    assert widths["dog", "val"] == charts.BAR_SPAN / 8
    assert widths["owl", "val"] == widths["cat", "val"] == 0


def test_categories_keep_the_order_of_their_first_appearance():
    chart = charts.bar_chart({"a": {"z": 1, "b": 1}, "c": {"a": 1, "z": 1}})

    assert chart is not None and [group.label for group in chart.groups] == ["z", "b", "a"]


def test_negative_bars_end_at_the_base_line():
    chart = charts.bar_chart({"change": {"down": -1.0, "up": 3.0}})
    assert chart is not None

    down, up = (group.bars[0] for group in chart.groups)
    assert chart.zero == charts.BAR_SPAN / 4
    assert down.x == 0 and down.end == chart.zero
    assert up.x == chart.zero and up.width == 3 * down.width


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), ANY_VALUE), max_size=3))
def test_bars_never_leave_the_chart(series):
    chart = charts.bar_chart(series)

    for group in chart.groups if chart else ():
        for bar in group.bars:
            assert bar.x >= 0 and bar.width >= 0
            assert bar.end <= charts.BAR_SPAN


def test_lines_rise_with_their_values_and_reach_both_sides():
    chart = charts.line_chart({"loss": [3.0, 2.0, 0.0]})
    assert chart is not None

    points = chart.lines[0].points
    assert [point.x for point in points] == [
        charts.PLOT_LEFT,
        charts.PLOT_LEFT + charts.PLOT_WIDTH / 2,
        charts.PLOT_LEFT + charts.PLOT_WIDTH,
    ]
    assert points[0].y < points[1].y < points[2].y == charts.PLOT_BOTTOM
    assert points[1].y - points[0].y == pytest.approx((points[2].y - points[0].y) / 3, abs=0.01)


def test_a_gap_breaks_a_line_and_a_lone_value_is_a_dot():
    values = [1.0, 2.0, math.nan, 3.0, None, *[4.0] * charts.MARKED_POINTS]
    chart = charts.line_chart({"loss": values})
    assert chart is not None

    (line,) = chart.lines
    assert [len(path.split()) for path in line.paths] == [2, charts.MARKED_POINTS]
    assert len(line.points) == 1


@given(st.dictionaries(st.text(), st.lists(ANY_VALUE, max_size=60), max_size=3))
def test_lines_never_leave_the_plot(series):
    chart = charts.line_chart(series)

    for line in chart.lines if chart else ():
        for path in line.paths:
            for pair in path.split():
                x, y = map(float, pair.split(","))
                assert 0 <= x <= 1000 and charts.PLOT_TOP <= y <= charts.PLOT_BOTTOM


@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100))
def test_ticks_enclose_the_values_with_distinct_texts(one, other):
    low, high = sorted((one, other))
    ticks = charts.value_ticks(low, high)

    slack = 1e-9 * max(abs(low), abs(high))
    assert ticks[0][0] <= low + slack and ticks[-1][0] >= high - slack
    assert 2 <= len(ticks) <= 7
    assert len({text for _, text in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 1.0, ["0", "0.25", "0.5", "0.75", "1"]),
        (0.11, 0.29, ["0.1", "0.15", "0.2", "0.25", "0.3"]),
        (1000.01, 1000.04, ["1,000.010", "1,000.020", "1,000.030", "1,000.040"]),
    ],
)
def test_ticks_are_round(low, high, texts):
    assert [text for _, text in charts.value_ticks(low, high)] == texts


def test_positions_start_at_one():
    assert charts.position_ticks(1) == [1]
    assert charts.position_ticks(5) == [1, 2, 3, 4, 5]
    assert charts.position_ticks(30) == [1, 10, 20, 30]


def test_nothing_to_draw_is_none():
    assert charts.bar_chart({}) is None
    assert charts.bar_chart({"train": {}}) is None
    assert charts.line_chart({"loss": [None, math.nan, math.inf]}) is None
