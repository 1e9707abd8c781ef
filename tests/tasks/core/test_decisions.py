"""What people decided is applied to the rows they named, and a line that cannot be is refused."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.artifacts.tables import load_csv
from tasks.core.decisions import COLUMNS, Decision, apply_decisions, parse_decisions
from tasks.core.errors import ArtifactError, DecisionError

CLASSES = ["cat", "dog"]


def table(*lines: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(lines), columns=COLUMNS, dtype=str)


def by_ann(image_id: str, decision: str) -> tuple[str, str, str, str]:
    return image_id, decision, "ann", "2026-01-31"


def test_each_verb_is_read():
    lines = table(by_ann("a", "keep"), by_ann("b", "relabel:dog"), by_ann("c", "drop"))
    assert parse_decisions(lines, CLASSES, "labels.csv") == {
        "a": Decision("keep", None),
        "b": Decision("relabel", "dog"),
        "c": Decision("drop", None),
    }


def test_a_class_may_hold_a_colon():
    lines = table(by_ann("a", "relabel:cat: black"))
    assert parse_decisions(lines, ["cat: black"], "f")["a"].label == "cat: black"


def test_the_last_decision_about_an_image_stands():
    lines = table(by_ann("a", "drop"), by_ann("b", "keep"), by_ann("a", "relabel:cat"))
    assert parse_decisions(lines, CLASSES, "f")["a"] == Decision("relabel", "cat")


def test_no_lines_are_no_decisions():
    assert parse_decisions(table(), CLASSES, "f") == {}


@pytest.mark.parametrize(
    "decision",
    ["", " ", "Keep", "keep ", " drop", "delete", "relabel", "relabel:", "relabel:cta",
     "relabel: dog", "relabel:Dog", "keep:dog", "drop:cat", "=keep", ":",
     "relabel;dog", "relabel:cat\n"],
)  # fmt: skip
def test_a_malformed_decision_is_told_with_file_line_and_image(decision):
    lines = table(by_ann("a", "keep"), by_ann("seventh", decision))
    with pytest.raises(DecisionError, match=r"labels\.csv: line 3 \(seventh\)"):
        parse_decisions(lines, CLASSES, "labels.csv")


@pytest.mark.parametrize(
    ("name", "time"), [("", "2026"), ("ann", ""), (" ", "2026"), ("ann", "\t")]
)
def test_who_and_when_must_be_said(name, time):
    with pytest.raises(DecisionError, match="who decided and when"):
        parse_decisions(table(("a", "keep", name, time)), CLASSES, "f")


@pytest.mark.parametrize(
    "columns", [COLUMNS[:3], [*COLUMNS, "note"], COLUMNS[::-1], ["id", *COLUMNS[1:]], []]
)
def test_other_columns_are_refused(columns):
    with pytest.raises(DecisionError, match="expected the columns"):
        parse_decisions(pd.DataFrame(columns=columns), CLASSES, "f")


def test_a_line_that_ends_early_is_refused(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("image_id,decision,name,time\na,keep,ann,2026\nb\n")
    with pytest.raises(ArtifactError, match="row 2 has 1 cells"):
        parse_decisions(load_csv(file), CLASSES, str(file))


LABELS = st.sampled_from(["cat", "dog", None])
VERBS = st.sampled_from(
    [Decision("keep", None), Decision("drop", None), Decision("relabel", "cat"),
     Decision("relabel", "dog")]
)  # fmt: skip


@given(
    labels=st.lists(LABELS, max_size=12),
    decided=st.dictionaries(st.integers(0, 15).map(str), VERBS, max_size=8),
)
def test_only_named_rows_change_and_as_decided(labels, decided):
    image_ids = pd.Series([str(number) for number in range(len(labels))], dtype="string")
    given_labels = pd.Series(labels, dtype="string")
    after = apply_decisions(image_ids, given_labels, decided)
    assert after["image_id"].tolist() == image_ids.tolist()
    for number, (before, row) in enumerate(zip(labels, after.itertuples(), strict=True)):
        decision = decided.get(str(number), Decision("keep", None))
        expected = {"keep": before, "drop": None, "relabel": decision.label}[decision.verb]
        assert (None if pd.isna(row.label) else row.label) == expected
        assert row.decision == (decided[str(number)].verb if str(number) in decided else "")
    assert given_labels.fillna("none").tolist() == [label or "none" for label in labels]
