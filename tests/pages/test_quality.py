"""The quality page shows no number that its document lacks, and any name as text."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pages.blocks import Agenda, Bars, Block, Facts, Folded, Heatmap, Section, Table, Thumbnails
from pages.quality import quality_notice, quality_sections
from pages.quality_numbers import Quality, measure_quality
from tests.pages.qualities import a_quality, page_of, some_pictures

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7 * 7 }}"


def former(text: str = "cat") -> dict[str, Any]:
    numbers = measure_quality(a_quality(text))
    counts = {**numbers["class_counts"], "val": {text: 61, "gone": 62}}
    return {**numbers, "num_to_review": 63, "num_arrived": 640, "class_counts": counts}


def sections_of(quality: Quality) -> list[Section]:
    return quality_sections(quality, measure_quality(quality), some_pictures())


def numbers_shown(blocks: Sequence[Block]) -> Iterator[float]:
    for block in blocks:
        match block:
            case Facts():
                cells: list[Any] = list(block.facts.values())
            case Table():
                cells = [cell for row in block.rows for cell in row]
            case Bars():
                cells = [value for counts in block.series.values() for value in counts.values()]
            case Heatmap():
                cells = [value for row in block.values for value in row]
            case Agenda():
                cells = [point.number for point in block.points]
            case Folded():
                cells = list(numbers_shown(block.blocks))
            case _:
                cells = []
        yield from (cell for cell in cells if isinstance(cell, int | float))


def numbers_in(document: Any) -> Iterator[float]:
    """Its numbers, and the lengths of its lists and mappings."""
    if isinstance(document, dict | list):
        yield len(document)
        for value in document.values() if isinstance(document, dict) else document:
            yield from numbers_in(value)
    elif isinstance(document, int | float):
        yield from (document, round(document, 3))


def test_every_number_on_the_page_is_in_the_document():
    quality = a_quality(previous=former())
    held = set(numbers_in(measure_quality(quality)))
    sections = sections_of(quality)
    for section in sections:
        assert not set(numbers_shown(section.blocks)) - held, section.title
    shown = [number for section in sections for number in numbers_shown(section.blocks)]
    assert {210, 17, 21, 8, 40, 41, 44, 0.4, 63, 31, 0.0567} <= set(shown)


def test_the_document_can_be_the_former_one_of_the_next():
    document = measure_quality(a_quality(previous=former()))
    read = json.loads(json.dumps(document, allow_nan=False))
    compared = measure_quality(a_quality(previous=read))["compared"]
    assert all(not change["difference"] for change in compared["totals"].values())
    assert compared["classes"] == {}


def test_the_page_opens_with_at_most_five_things_that_lead_to_sections():
    sections = sections_of(a_quality())
    agenda = sections[0].blocks[-1]
    assert isinstance(agenda, Agenda)
    assert len(agenda.points) == 5
    titles = {section.title for section in sections}
    assert {point.section for point in agenda.points} <= titles
    notice = quality_notice(measure_quality(a_quality()))
    assert notice.tone == "warning" and agenda.points[0].what in notice.text


def test_hostile_names_are_text_wherever_they_stand():
    html = page_of(a_quality(HOSTILE, former(HOSTILE)), some_pictures(HOSTILE))
    plain = page_of(a_quality(previous=former()), some_pictures())
    tags = re.compile(r"<[a-z]+")
    assert tags.findall(html) == tags.findall(plain)
    assert html.count("&lt;script&gt;") > 30
    assert "{{ 7 * 7 }}" in html


def test_the_page_is_the_same_twice():
    pages = [page_of(a_quality(previous=former()), some_pictures()) for _ in range(2)]
    assert pages[0] == pages[1]


def test_a_clean_snapshot_asks_for_nothing():
    quality = a_quality()
    counts = {split: {"cat": 20, "b": 20} for split in ("train", "val", "test")}
    clean = quality._replace(
        issues=quality.issues.head(0),
        dropped=quality.dropped.head(0),
        leaks=quality.leaks.head(0),
        missed_leaks=quality.leaks.head(0),
        queue=quality.queue.head(0),
        quarantine=quality.quarantine.head(0),
        augmentation=quality.augmentation.assign(is_flagged=False),
        verdict={
            **quality.verdict,
            **{"num_rejected": 0, "rejected_fraction": 0.0, "rejected_by_reason": {}},
            **{"images_by_issue": {}, "suites": []},
        },
        splits={**quality.splits, "class_counts": counts},
        audit={
            **quality.audit,
            **{"num_to_review": 0, "num_outliers": {"train": 0}, "overlapping_classes": []},
        },
        rebalanced={**quality.rebalanced, "num_duplicates": {}, "num_dropped": 0},
    )
    empty = some_pictures()._replace(worst=pd.DataFrame(), conflicts=[], duplicates=[])
    numbers = measure_quality(clean)
    assert quality_notice(numbers).tone == "good"
    sections = quality_sections(clean, numbers, empty)
    assert not any(isinstance(block, Thumbnails) for one in sections for block in one.blocks)
