"""Whiskers reach from low to high, the dot at the value."""

import math

import pytest

from pages.blocks import Spread
from pages.whiskers import LEFT, ROW_HEIGHT, SPAN, whisker_chart


def test_dots_and_ends_lie_where_their_numbers_say():
    spreads = [Spread("a", 0.5, 0.25, 1.0), Spread("b", 0.0, 0.0, 0.5)]
    chart = whisker_chart(spreads, 0.75)
    assert chart
    first, second = chart.whiskers
    assert (first.low, first.at, first.high) == pytest.approx(
        (LEFT + SPAN / 4, LEFT + SPAN / 2, LEFT + SPAN)
    )
    assert (second.low, second.at) == (LEFT, LEFT)
    assert chart.reference == pytest.approx(LEFT + 0.75 * SPAN)
    assert second.y - first.y == ROW_HEIGHT and chart.height == 2 * ROW_HEIGHT
    assert first.text == "0.5 (0.25 to 1)"


def test_nothing_gives_no_chart_and_what_is_no_number_an_error():
    assert whisker_chart([], 0.5) is None
    with pytest.raises(ValueError, match="numbers that can be drawn"):
        whisker_chart([Spread("a", 0.5, math.nan, 1.0)], 0.5)
