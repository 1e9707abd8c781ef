"""The page names what was chosen and why, and joins the variants that no other beats."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.blocks import Scatter, Section, Table, Text
from pages.exporting import exporting_blocks, find_front
from pages.render import render_page
from tests.pages.exports import EXPORT, VARIANTS, variant


def test_what_was_chosen_is_named_with_its_reason():
    (said,) = [block.text for block in exporting_blocks(EXPORT) if isinstance(block, Text)]
    assert "Served is float32: it is the net itself." in said
    assert "Devices get int8: with 300 bytes it has the fewest." in said


def test_every_variant_has_a_row():
    (table,) = [block for block in exporting_blocks(EXPORT) if isinstance(block, Table)]
    assert [row[0] for row in table.rows] == ["float32", "float16", "int8", "pruned"]
    cells = dict(zip(table.columns, table.rows[2], strict=True))
    assert (cells["bytes"], cells["operations"], cells["accuracy"]) == (300, 90, 0.89)
    assert cells["may be chosen"] is True
    assert "1.00%" in table.caption


@pytest.mark.parametrize(
    ("cost", "front"),
    [("num_bytes", ["float16", "int8"]), ("num_flops", ["float32", "float16", "pruned"])],
)
def test_pictures_join_those_that_no_other_beats(cost, front):
    assert find_front(VARIANTS, cost) == front
    pictures = [block for block in exporting_blocks(EXPORT) if isinstance(block, Scatter)]
    assert front in [list(picture.front) for picture in pictures]
    assert all(list(picture.marks) == [one["name"] for one in VARIANTS] for picture in pictures)


some = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), min_size=1, max_size=7)


@given(some)
def test_a_front_is_what_brute_force_finds(points):
    variants = [
        variant(str(k), accuracy / 10, cost, 1) for k, (accuracy, cost) in enumerate(points)
    ]
    front = {points[int(name)] for name in find_front(variants, "num_bytes")}
    for point, other in itertools.product(points, points):
        if other[0] >= point[0] and other[1] <= point[1] and other != point:
            assert point not in front
    assert front
    assert max(points, key=lambda one: (one[0], -one[1])) in front


@pytest.mark.parametrize(("num_variants", "labels"), [(1, []), (3, ["bytes"])])
def test_what_costs_the_same_needs_no_picture(num_variants, labels):
    some = {**EXPORT, "variants": VARIANTS[:num_variants]}
    pictures = [block for block in exporting_blocks(some) if isinstance(block, Scatter)]
    assert [picture.x_label for picture in pictures] == labels


def test_the_page_shows_it_all():
    page = render_page("t", "lead", [Section("The exported model", exporting_blocks(EXPORT))])
    assert page.count('class="dot series-') == 8
    assert page.count("<polyline") == 2
