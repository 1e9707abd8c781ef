"""Cells lie where their row and column are, shaded by their value."""

import math

import pytest

from pages.heatmap import HEIGHT, WRITTEN_COLUMNS, heatmap_chart


def test_cells_lie_in_a_grid_beside_their_gutters():
    chart = heatmap_chart(
        ["flip", "a longer name"], ["x", "y", "z"], [[0, 0.5, 1]] * 2, [[False] * 3] * 2
    )
    assert chart and len(chart.cells) == 6
    for place, cell in enumerate(chart.cells):
        i, j = divmod(place, 3)
        assert (cell.row, cell.column) == (chart.rows[i], chart.columns[j])
        assert cell.x == pytest.approx(chart.left + j * chart.cell_width)
        assert cell.y == pytest.approx(chart.top + i * HEIGHT)
    assert chart.right == pytest.approx(chart.left + 3 * chart.cell_width)
    assert chart.bottom == pytest.approx(chart.top + 2 * HEIGHT)
    assert [cell.opacity for cell in chart.cells[:3]] == [0, 0.5, 1]


def test_marks_do_not_hang_on_colour():
    chart = heatmap_chart(["a"], ["b", "c"], [[0.571, 0.571]], [[True, False]])
    assert chart
    assert [cell.text for cell in chart.cells] == ["57 !", "57"]


@pytest.mark.parametrize("value", [-0.4, math.nan, None, "x"])
def test_what_is_below_0_or_missing_is_pale(value):
    chart = heatmap_chart(["a"], ["b"], [[value]], [[False]])
    assert chart and chart.cells[0].opacity == 0 and chart.cells[0].text == "0"


def test_more_than_all_is_all():
    chart = heatmap_chart(["a"], ["b"], [[7.0]], [[False]])
    assert chart and chart.cells[0].opacity == 1


def test_many_columns_are_narrow_and_unwritten():
    count = WRITTEN_COLUMNS + 1
    few = heatmap_chart(["a"], ["b"] * (count - 1), [[0.5] * (count - 1)], [[False] * (count - 1)])
    many = heatmap_chart(["a"], ["b"] * count, [[0.5] * count], [[False] * count])
    assert few and many
    assert few.has_text and not many.has_text
    assert many.right < few.right


def test_nothing_gives_no_chart():
    assert heatmap_chart([], ["a"], [], []) is None
    assert heatmap_chart(["a"], [], [[]], [[]]) is None
