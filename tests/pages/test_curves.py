"""Points of curves lie where their numbers say."""

import math

import pytest

from pages.charts import PLOT_BOTTOM, PLOT_LEFT, PLOT_TOP, PLOT_WIDTH
from pages.curves import curve_chart


def test_points_lie_where_their_numbers_say():
    chart = curve_chart({"a": [(0.0, 0.0), (0.25, 1.0), (1.0, 0.5)]})
    assert chart
    (line,) = chart.lines
    across = [point.x for point in line.points]
    assert across == pytest.approx([PLOT_LEFT + PLOT_WIDTH * x for x in (0, 0.25, 1)])
    assert [point.y for point in line.points] == [
        PLOT_BOTTOM, PLOT_TOP, (PLOT_TOP + PLOT_BOTTOM) / 2,
    ]  # fmt: skip
    places = [tuple(map(float, place.split(","))) for place in line.paths[0].split()]
    assert [x for x, _ in places] == [0, 250, 1000]
    assert [tick.text for tick in chart.x_ticks] == ["0", "0.25", "0.5", "0.75", "1"]


def test_points_without_a_place_are_left_out():
    chart = curve_chart({"a": [(0, 1), (math.nan, 2), (2, None), (3, math.inf), (4, 5)], "b": []})
    assert chart
    assert [len(line.points) for line in chart.lines] == [2, 0]
    assert curve_chart({"a": [(None, 1)]}) is None
    assert curve_chart({}) is None


def test_many_points_are_not_marked_and_one_alone_is_seen():
    many = curve_chart({"a": [(x, x) for x in range(50)]})
    assert many and not many.lines[0].points and many.lines[0].paths
    alone = curve_chart({"a": [(2.0, 3.0)]})
    assert alone and len(alone.lines[0].points) == 1
