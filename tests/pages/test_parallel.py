"""Lines cross each axis where their shares say, and nothing leaves the chart."""

from hypothesis import given
from hypothesis import strategies as st

from pages.parallel import AXIS_STEP, INSET, parallel_chart

shares = st.floats(0, 1)


def test_axes_lie_beneath_each_other_and_lines_cross_them_at_their_shares():
    chart = parallel_chart(
        [("rate", [("0", 0.0), ("1", 1.0)]), ("net", [("a", 0.0), ("b", 0.5), ("c", 1.0)])],
        [("one", [0.0, 1.0], 0)],
    )
    assert chart is not None
    above, below = chart.axes
    assert below.y - above.y == AXIS_STEP and chart.height > below.y
    assert [mark.at for mark in below.marks] == [INSET, 50.0, 100 - INSET]
    assert chart.threads[0].path == f"{10 * INSET},{above.y} {1000 - 10 * INSET},{below.y}"


def test_without_axes_or_lines_there_is_no_chart():
    assert parallel_chart([], []) is None
    assert parallel_chart([("rate", [])], []) is None
    assert parallel_chart([], [("one", [], 0)]) is None


@given(st.lists(st.tuples(shares, shares, shares), min_size=1, max_size=5))
def test_no_line_leaves_the_chart(lines):
    axes = [(str(number), [("low", 0.0), ("high", 1.0)]) for number in range(3)]
    chart = parallel_chart(axes, [("one", list(line), 2) for line in lines])
    assert chart is not None
    for thread in chart.threads:
        for point in thread.path.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 1000 and 0 <= y <= chart.height
