"""Values over time lie where their time and value say, gaps stay gaps, intervals go round them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.blocks import Moment, Trend
from pages.charts import PLOT_BOTTOM, PLOT_LEFT, PLOT_TOP, PLOT_WIDTH
from pages.trends import time_ticks, trend_chart

START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86_400.0


def a_trend(*moments, **changed):
    return Trend({"a": moments}, START, START + DAY, **changed)


def test_a_moment_lies_where_its_time_and_value_say():
    chart = trend_chart(a_trend(Moment(START, 0.0), Moment(START + DAY / 2, 4.0)))
    assert chart is not None
    ((first, second),) = chart.dots
    assert (first.x, first.y) == (PLOT_LEFT, PLOT_BOTTOM)
    assert second.x == pytest.approx(PLOT_LEFT + PLOT_WIDTH / 2)
    tops = {tick.text: tick.at for tick in chart.y_ticks}
    assert second.y == tops["4"]
    assert chart.runs[0].path.startswith(f"0.0,{PLOT_BOTTOM} 500.0,")
    assert second.text == "2026-03-01 12:00 UTC: 4"


def test_a_gap_parts_a_line_and_a_lone_moment_is_a_dot_however_many_there_are():
    values = [1.0, 2.0, None, 3.0, None, *[1.0] * 60]
    chart = trend_chart(a_trend(*(Moment(START + 60 * n, v) for n, v in enumerate(values))))
    assert chart is not None
    assert [run.path.count(",") for run in chart.runs] == [2, 1, 60]
    assert len(chart.dots[0]) == 1


def test_an_interval_goes_round_its_value_and_a_mark_is_kept():
    moments = [Moment(START + HOUR * n, 0.5, 0.4, 0.7, n == 1) for n in range(3)]
    chart = trend_chart(a_trend(*moments, limits={"floor": 0.9}, is_from_zero=False))
    assert chart is not None
    assert all(dot.top == dot.y == dot.bottom for dot in chart.dots[0])
    assert [dot.is_marked for dot in chart.dots[0]] == [False, True, False]
    assert chart.dots[0][0].text.endswith("0.5 (0.4 to 0.7)")
    assert chart.runs[0].band.count(",") == 6
    alone = trend_chart(a_trend(moments[1]))
    assert alone is not None and alone.dots[0][0].top < alone.dots[0][0].y < alone.dots[0][0].bottom
    (limit,) = chart.limits
    assert limit.text == "0.9" and PLOT_TOP <= limit.y < min(dot.top for dot in chart.dots[0])


def test_what_has_no_place_is_missing_and_nothing_is_no_chart():
    bad = [Moment(START, float("nan")), Moment(START - 1, 5.0), Moment(START, 1.0, 0.5, None)]
    chart = trend_chart(a_trend(*bad))
    assert chart is not None and len(chart.dots[0]) == 1 and chart.runs[0].band == ""
    assert trend_chart(a_trend(Moment(START, None), limits={"floor": 1.0})) is None
    assert trend_chart(a_trend()) is None
    with pytest.raises(ValueError, match="starts at"):
        trend_chart(Trend({}, 1.0, 1.0))


@given(st.floats(0, 4e9), st.floats(3600, 3e8))
def test_ticks_are_few_round_and_inside(start, length):
    ticks = time_ticks(start, start + length)
    assert len(ticks) <= 12
    assert all(start <= at <= start + length and at % HOUR == 0 for at, _ in ticks)


def test_ticks_tell_days_by_date_and_others_by_the_hour():
    texts = [text for _, text in time_ticks(START - 12 * HOUR, START + 12 * HOUR)]
    assert texts == ["12:00", "18:00", "1 Mar", "06:00", "12:00"]
