"""A confusion matrix shades each cell by its share of its row."""

import math

import pytest

from pages.matrix import LABEL_LENGTH, WRITTEN_CLASSES, matrix_chart


def drawn(labels, values):
    chart = matrix_chart(labels, values, [[str(value) for value in row] for row in values])
    assert chart is not None
    return chart


def test_a_cell_lies_in_its_row_and_column():
    chart = drawn(["cat", "dog"], [[90, 10], [0, 5]])

    places = {(cell.row, cell.column): (cell.x, cell.y) for cell in chart.cells}
    start, step = chart.gutter, chart.size
    assert places == {
        ("cat", "cat"): (start, start),
        ("cat", "dog"): (start + step, start),
        ("dog", "dog"): (start + step, start + step),
    }


def test_shade_follows_the_share_of_the_row_not_the_count():
    chart = drawn(["cat", "dog"], [[900, 100], [1, 9]])

    shade = {(cell.row, cell.column): cell.opacity for cell in chart.cells}
    assert shade["cat", "cat"] == shade["dog", "dog"] > shade["cat", "dog"] == shade["dog", "cat"]


def test_a_confusion_of_one_per_cent_is_seen():
    chart = drawn(["cat", "dog"], [[99, 1], [0, 1]])

    assert min(cell.opacity for cell in chart.cells) >= 0.2


def test_only_the_diagonal_is_agreement():
    chart = drawn(["a", "b", "c"], [[1, 1, 1]] * 3)

    assert all(cell.is_diagonal == (cell.row == cell.column) for cell in chart.cells)


def test_missing_and_negative_values_leave_their_cell_empty():
    chart = drawn(["a", "b"], [[math.nan, -1], [None, 2]])

    assert [(cell.row, cell.column) for cell in chart.cells] == [("b", "b")]


@pytest.mark.parametrize("size", [2, WRITTEN_CLASSES, WRITTEN_CLASSES + 1, 100])
def test_cells_hold_text_only_where_it_fits(size):
    values = [[123456] * size for _ in range(size)]
    chart = drawn([f"class {n}" for n in range(size)], values)

    assert chart.has_text == (size <= WRITTEN_CLASSES)
    assert chart.extent < 1500
    assert not chart.has_text or chart.size > 6.6 * len("123456")


def test_a_long_label_does_not_push_the_cells_away():
    longest = drawn(["a" * LABEL_LENGTH], [[1]])

    assert drawn(["a" * 5000], [[1]]).gutter == longest.gutter


def test_no_labels_is_none():
    assert matrix_chart([], [], []) is None
