"""The page tells what the model is worth, where it is weak and what it withstands."""

from typing import Any

from pages.blocks import Block, Curves, Folded, Heatmap, Notice, Table, Whiskers
from pages.evaluation import evaluation_sections
from pages.render import render_page
from tests.pages.evaluations import an_evaluation, interval


def blocks_of(title: str, **changed: Any) -> list[Block]:
    (section,) = (
        one for one in evaluation_sections(an_evaluation(**changed)) if one.title == title
    )
    return list(section.blocks)


def one_of(kind: type, blocks: list[Block]) -> Any:
    return next(block for block in blocks if isinstance(block, kind))


def test_bins_without_rows_are_no_points_of_the_diagram():
    curves = one_of(Curves, blocks_of("How sure it may be"))
    assert curves.series["calibrated"] == [(0.8, 0.7)]
    assert curves.series["as sure as right"] == [(0.0, 0.0), (1.0, 1.0)]


def test_a_weak_slice_is_named_and_none_is_good_news():
    assert one_of(Notice, blocks_of("Where it is weak")).tone == "good"
    weak = {
        "slice": "class=3, brightness ≤ 0.2",
        "num_rows": 20,
        "error": interval(0.5),
        "others_error": 0.05,
        "p_value": 0.001,
    }
    blocks = blocks_of("Where it is weak", weak_slices=[weak])
    notice = one_of(Notice, blocks)
    assert notice.tone == "warning" and "class=3, brightness ≤ 0.2" in notice.text
    assert one_of(Table, blocks).rows[0][1:3] == [20, 0.5]


def test_slices_are_drawn_beside_the_accuracy_of_all():
    whiskers = one_of(Whiskers, blocks_of("Where it is weak"))
    assert [one.name for one in whiskers.spreads] == ["class=a"]
    assert whiskers.reference == 0.9


def test_ten_points_lost_are_marked():
    heatmap = one_of(Heatmap, blocks_of("What it withstands"))
    assert heatmap.rows == ["gaussian noise"] and len(heatmap.columns) == 5
    assert heatmap.marked == [[False, False, False, True, True]]
    assert one_of(Table, blocks_of("What it withstands")).rows[0][-1] == "broken"


def test_what_was_not_asked_for_is_not_shown():
    titles = [one.title for one in evaluation_sections(an_evaluation(fairness={}))]
    assert "Whom it treats alike" not in titles
    worth = blocks_of("What the model is worth")
    assert not any(isinstance(block, Folded) for block in worth)
    views = {"accuracy": interval(0.01)}
    assert one_of(Folded, blocks_of("What the model is worth", test_time_augmentation=views))


def test_the_page_is_whole_and_the_same_twice():
    pages = [render_page("t", "", evaluation_sections(an_evaluation())) for _ in range(2)]
    assert pages[0] == pages[1]
    assert pages[0].rstrip().endswith("</html>")
