"""What is said of augmentation warns of the policy's own transforms alone, and is escaped."""

import io

import pandas as pd
import pytest
from PIL import Image

from pages.augmentation import augmentation_blocks, flagged_transforms, measure_augmentation
from pages.blocks import Heatmap, Notice, Section, Table, Text
from pages.render import render_page

EVIL = "<script>alert(1)</script>"


def entry(transform: str, in_policy: bool, label: str | None, difference: float) -> dict:
    return {
        "transform": transform,
        "in_policy": in_policy,
        "is_view": False,
        "label": label,
        "num_images": 50,
        "changed_fraction": difference + 0.05,
        "identity_fraction": 0.05,
        "difference": difference,
        "low": difference - 0.1,
        "high": difference + 0.1,
        "is_flagged": difference > 0.2,
        "looks_like": "9",
    }


def audit(*flagged: tuple[str, str], num_classes: int = 3) -> pd.DataFrame:
    """Of `Rotate`, in the policy, and a `flip`, which is not; what is flagged changes by 0.8."""
    labels = [None, *(EVIL if n == 0 else f"c{n}" for n in range(num_classes))]
    return pd.DataFrame(
        [
            entry(name, name == "Rotate", label, 0.8 if (name, label) in flagged else 0.01)
            for name in ("Rotate", "flip")
            for label in labels
        ]
    )


@pytest.fixture
def sheet() -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, format="PNG")
    return file.getvalue()


def blocks_of(kind, blocks) -> list:
    return [block for block in blocks if isinstance(block, kind)]


def test_a_sound_policy_is_told_to_be_good_whatever_else_is_flagged(sheet):
    table = audit(("flip", "c1"))
    assert flagged_transforms(table) == {}
    (notice,) = blocks_of(Notice, augmentation_blocks(table, sheet))
    assert notice.tone == "good"


def test_a_flagged_transform_is_named_with_its_classes(sheet):
    table = audit(("Rotate", "c1"), ("Rotate", "c2"))
    assert flagged_transforms(table) == {"Rotate": ["c1", "c2"]}
    assert measure_augmentation(table)["flagged"] == {"Rotate": ["c1", "c2"]}
    blocks = augmentation_blocks(table, sheet)
    (notice,) = blocks_of(Notice, blocks)
    assert notice.tone == "warning" and "Rotate (classes c1, c2)" in notice.text
    (shown,) = blocks_of(Table, blocks)
    assert [row[:2] for row in shown.rows] == [["Rotate", "c1"], ["Rotate", "c2"]]
    own, others = blocks_of(Heatmap, blocks)
    assert own.columns == ["all images", EVIL, "c1", "c2"]
    assert own.marked == [[False, False, True, True]]
    assert others.rows == ["flip"] and not any(others.marked[0])


def test_what_the_encoder_was_taught_to_overlook_is_not_cleared(sheet):
    def told(table: pd.DataFrame) -> bool:
        texts = blocks_of(Text, augmentation_blocks(table, sheet))
        return any(text.text.startswith("Rotate: among pretrain.views") for text in texts)

    assert told(audit().assign(is_view=True))
    assert not told(audit())
    assert not told(audit(("Rotate", "c1")).assign(is_view=True))


def test_many_classes_leave_room_for_the_worst(sheet):
    table = audit(("Rotate", "c77"), num_classes=100)
    own, _ = blocks_of(Heatmap, augmentation_blocks(table, sheet))
    assert len(own.columns) == 41 and "c77" in own.columns
    assert "60 classes" in own.caption


def test_an_empty_policy_has_a_page(sheet):
    table = audit()
    blocks = augmentation_blocks(table[~table["in_policy"]], sheet)
    assert "none" in render_page("t", "l", [Section("Augmentation", blocks)])


def test_names_are_escaped(sheet):
    table = audit(("Rotate", EVIL))
    page = render_page("t", "l", [Section("Augmentation", augmentation_blocks(table, sheet))])
    assert EVIL not in page and "&lt;script&gt;" in page
