"""Points lie where their numbers are, and their names do not cover each other."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.charts import PLOT_BOTTOM, PLOT_LEFT, PLOT_TOP, PLOT_WIDTH
from pages.scatter import LINE_HEIGHT, scatter_chart

number = st.floats(-1e6, 1e6)
marks = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.tuples(number, number, st.floats(0, 9), st.floats(0, 9)).map(
        lambda m: (m[0], m[1], m[1] - m[2], m[1] + m[3])
    ),
    min_size=1,
    max_size=8,
)


@given(marks)
def test_points_keep_their_order_and_stay_within_the_plot(given_marks):
    chart = scatter_chart(given_marks, list(given_marks))
    assert chart
    dots = {dot.name: dot for dot in chart.dots}
    for dot in chart.dots:
        assert PLOT_LEFT <= dot.x <= PLOT_LEFT + PLOT_WIDTH
        assert PLOT_TOP <= dot.top <= dot.y <= dot.bottom <= PLOT_BOTTOM
    for one, (x, y, *_) in given_marks.items():
        for other, (another_x, another_y, *_) in given_marks.items():
            if x <= another_x:
                assert dots[one].x <= dots[other].x
            if y <= another_y:
                assert dots[one].y >= dots[other].y
    assert len(chart.front.split()) == len(given_marks)


@given(marks)
def test_names_near_each_other_lie_in_lines_of_their_own(given_marks):
    chart = scatter_chart(given_marks, [])
    assert chart
    for number, dot in enumerate(chart.dots):
        for other in chart.dots[:number]:
            if abs(dot.x - other.x) < 20:
                assert abs(dot.name_y - other.name_y) >= LINE_HEIGHT - 1e-9


def test_numbers_are_read_off_the_ticks():
    chart = scatter_chart({"a": (0, 0.5, 0.25, 0.75), "b": (10, 1.0, 1.0, 1.0)}, ["b", "a"])
    assert chart
    at = {tick.text: tick.at for tick in chart.x_ticks}
    assert chart.dots[0].x == at["0"] and chart.dots[1].x == at["10"]
    up = {tick.text: tick.at for tick in chart.y_ticks}
    assert (chart.dots[1].y, chart.dots[0].y) == (
        up["1"],
        pytest.approx((up["0.4"] + up["0.6"]) / 2),
    )
    # From the cheapest on, across a plot 1000 wide.
    assert [corner.split(",")[0] for corner in chart.front.split()] == ["0.00", "1000.00"]
    assert [dot.is_left for dot in chart.dots] == [False, True]


def test_nothing_gives_no_chart():
    assert scatter_chart({}, []) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_what_has_no_place_is_refused(value):
    with pytest.raises(ValueError, match="numbers that can be drawn"):
        scatter_chart({"a": (1.0, value, 0.0, 2.0)}, [])
