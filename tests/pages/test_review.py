"""The review page asks, says how to answer, and tells what the audit is worth."""

import csv
import io

import pytest
from PIL import Image

from pages.blocks import Code, Notice, Picture, Table
from pages.render import render_page
from pages.review import Question, Review, answer_line, review_notice, review_sections
from tasks.core.decisions import COLUMNS

HOSTILE = "<script>alert(1)</script>"


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), 90).save(file, "PNG")
    return file.getvalue()


def question(**changed) -> Question:
    asked = Question(
        "id1", "cats/1.png", "val", "cat", "dog", 0.93, [Picture(png(), "x", ["this image"])]
    )
    return asked._replace(**changed)


def audit(**changed) -> dict:
    compared = {"balanced_accuracy": 0.9, "sd": 0.01, "difference": 0.02, "low": 0.01, "high": 0.03}
    return {
        "num_suspicious": {"train": 3, "val": 1, "test": 0},
        "num_to_review": 4,
        "num_decisions": {"keep": 1, "relabel": 2, "drop": 0},
        "answers": {
            "num_flags_upheld": 2,
            "num_flags_overturned": 1,
            "num_unflagged": 0,
            "num_unknown": 0,
            "first_unknown": [],
        },
        "expected_errors": {
            "fraction": 0.05,
            "pairs": [{"label": "cat", "shows": "dog", "num_expected": 7.0, "label_fraction": 0.1}],
        },
        "overlapping_classes": [],
        "adoption": None,
        "num_outliers": {"train": 0, "val": 0, "test": 0},
        "value": {
            "plain": compared,
            "weighted": {**compared, "verdict": "helped"},
            "without_worst_0.05": {**compared, "verdict": "hurt"},
        },
        **changed,
    }


def blocks_of(review: Review) -> list:
    return [block for section in review_sections(review) for block in section.blocks]


def test_each_question_has_the_line_that_answers_it():
    review = Review([question(), question(image_id="id2")], [], audit())
    lines = [block.text for block in blocks_of(review) if isinstance(block, Code)]
    assert lines == ["id1,relabel:dog,,", "id2,relabel:dog,,"]


@pytest.mark.parametrize("label", ["dog", 'a,"b"', "two\nlines", HOSTILE])
def test_a_line_is_read_as_it_was_meant(label):
    (cells,) = csv.reader(io.StringIO(answer_line(question(suggested_label=label)), newline=""))
    assert dict(zip(COLUMNS, cells, strict=True)) == {
        "image_id": "id1",
        "decision": f"relabel:{label}",
        "name": "",
        "time": "",
    }


def test_the_notice_counts_what_waits():
    assert review_notice(Review([], [], audit())).text.endswith("decision: 4.")
    assert review_notice(Review([], [], audit(num_to_review=0))).tone == "good"


@pytest.mark.parametrize(
    ("verdict", "tone"), [("helped", "good"), ("hurt", "bad"), ("made no difference", "warning")]
)
def test_the_verdict_on_weights_is_said(verdict, tone):
    value = audit()["value"]
    value["weighted"]["verdict"] = verdict
    notices = [b for b in blocks_of(Review([], [], audit(value=value))) if isinstance(b, Notice)]
    assert notices == [Notice(tone, f"The weights {verdict} on val.")]
    (table,) = [b for b in blocks_of(Review([], [], audit(value=value))) if isinstance(b, Table)][
        1:
    ]
    assert [row[0] for row in table.rows] == [
        "all, alike",
        "all, weighted",
        "without the worst 5 %",
    ]
    assert [row[-1] for row in table.rows] == [None, verdict, "hurt"]


def test_decisions_about_images_that_are_gone_are_a_warning():
    answers = {**audit()["answers"], "num_unknown": 7, "first_unknown": ["x", "y"]}
    blocks = blocks_of(Review([], [], audit(answers=answers, value={})))
    (notice,) = [block for block in blocks if isinstance(block, Notice)]
    assert notice.tone == "warning"
    assert notice.text.endswith("they name: 7 (x, y, …).")


@pytest.mark.parametrize("adopted", [True, False])
def test_an_encoder_no_better_than_a_fresh_one_is_told_of(adopted):
    adoption = {"gain": 0.012, "low": -0.004, "high": 0.03, "adopted": adopted}
    blocks = blocks_of(Review([], [], audit(adoption=adoption, value={})))
    notices = [block for block in blocks if isinstance(block, Notice)]
    assert len(notices) == (not adopted)
    for notice in notices:
        assert notice.tone == "warning"
        assert "+1.2 points on val, 95 % interval -0.4 to +3.0" in notice.text


def test_classes_that_look_like_one_are_a_warning():
    pair = {"classes": ["cat", "dog"], "confused_fraction": 0.4}
    blocks = blocks_of(Review([], [], audit(overlapping_classes=[pair], value={})))
    (notice,) = [block for block in blocks if isinstance(block, Notice)]
    assert "cat and dog look like one class" in notice.text and "40 %" in notice.text


def test_the_page_is_whole_escaped_and_the_same_twice():
    asked = question(image_id=HOSTILE, path=HOSTILE, label=HOSTILE, suggested_label=HOSTILE)
    pages = [
        render_page("Label review", "", review_sections(review), review_notice(review))
        for review in [Review([asked], [Picture(png(), HOSTILE, [HOSTILE])], audit())] * 2
    ]
    assert pages[0] == pages[1]
    assert "<script" not in pages[0]
    assert "&lt;script&gt;" in pages[0]
