"""The audit as a whole: val and test labels change by decisions alone, and teach nobody."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.decisions import Decision
from tasks.core.label_audit import AuditParams, Subject, audit_labels

CLASSES = ["ant", "bee", "cat"]
PARAMS = AuditParams(
    num_folds=3,
    looks=["whole"],
    penalties=[1.0],
    num_landmarks=30,
    num_neighbours=3,
    least_weight=0.05,
    overlap_fraction=0.2,
    outlier_reach=3.0,
    left_out_fractions=[0.1],
)
NUM_ROWS = 120
ROWS = {"train": np.arange(80), "val": np.arange(80, 100), "test": np.arange(100, 115)}
TRUTH = np.arange(NUM_ROWS) % 3


def make_subject(decided=None, wrong=(4, 85, 103), groups=None) -> Subject:
    """Three blobs; some labels are wrong, the last five rows have none and no split."""
    rng = np.random.default_rng(0)
    labels = pd.Series(np.array(CLASSES, dtype=object)[TRUTH], dtype="string")
    for row in wrong:
        labels[row] = CLASSES[(TRUTH[row] + 1) % 3]
    labels[115:] = pd.NA
    table = pd.DataFrame(
        {
            "image_id": [f"id{row}" for row in range(NUM_ROWS)],
            "path": [f"{row}.png" for row in range(NUM_ROWS)],
            "label": labels,
            "group": pd.Series(groups or [None] * NUM_ROWS, dtype="string"),
        }
    )
    embeddings = rng.normal(size=(NUM_ROWS, 5)) + 6 * np.eye(3, 5)[TRUTH]
    return Subject(table, {"whole": embeddings.astype(np.float32)}, ROWS, decided or {}, CLASSES)


def test_wrong_labels_of_every_split_are_asked_about():
    findings = audit_labels(make_subject(), PARAMS, 0)
    assert set(findings.queue["image_id"]) == {"id4", "id85", "id103"}
    assert findings.metrics["num_suspicious"] == {"train": 1, "val": 1, "test": 1}
    weights = findings.labels["weight"]
    assert weights[4] < 0.5
    assert (weights.iloc[ROWS["train"]].drop(4) > 0.5).all()
    assert (weights.iloc[80:] == 1).all()
    assert findings.metrics["value"]["plain"]["balanced_accuracy"] > 0.8


def test_the_judge_takes_the_look_that_tells_classes_apart():
    subject = make_subject()
    noise = np.random.default_rng(1).normal(size=(NUM_ROWS, 5)).astype(np.float32)
    seen = {"whole": noise, "quarters": subject.embeddings_ND, "mirrored": noise[::-1]}
    params = PARAMS.model_copy(update={"looks": ["whole", "quarters", "mirrored"]})
    findings = audit_labels(subject._replace(seen=seen), params, 0)
    assert findings.metrics["judge"]["look"] == "quarters"
    assert set(findings.queue["image_id"]) == {"id4", "id85", "id103"}


DECISIONS = st.dictionaries(
    st.integers(0, NUM_ROWS + 5).map("id{}".format),
    st.sampled_from([
        Decision("keep", None), Decision("drop", None), *(Decision("relabel", c) for c in CLASSES)
    ]),
    max_size=8,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(decided=DECISIONS)
def test_labels_change_by_decisions_alone(decided):
    subject = make_subject(decided)
    findings = audit_labels(subject, PARAMS, 0)
    before, after = subject.table["label"], findings.labels["label"]
    for row in range(NUM_ROWS):
        decision = decided.get(f"id{row}", Decision("keep", None))
        expected = {"keep": before[row], "drop": pd.NA, "relabel": decision.label}[decision.verb]
        assert pd.isna(after[row]) if pd.isna(expected) else after[row] == expected
    held_out = np.concatenate([ROWS["val"], ROWS["test"]])
    undecided = ~findings.labels["image_id"].iloc[held_out].isin(list(decided))
    assert (findings.labels["weight"].iloc[held_out][undecided] == 1).all()
    counted = findings.metrics["answers"]
    assert counted["num_unknown"] == len([i for i in decided if int(i[2:]) >= NUM_ROWS])
    assert not set(findings.queue["image_id"]) & set(decided)


def test_a_flag_is_upheld_although_its_label_is_mended():
    decided = {
        "id4": Decision("relabel", CLASSES[TRUTH[4]]),
        "id85": Decision("drop", None),
        "id103": Decision("keep", None),
        "id7": Decision("keep", None),
        "gone": Decision("drop", None),
    }
    answers = audit_labels(make_subject(decided), PARAMS, 0).metrics["answers"]
    assert answers == {
        "num_flags_upheld": 2,
        "num_flags_overturned": 1,
        "num_unflagged": 1,
        "num_unknown": 1,
        "first_unknown": ["gone"],
    }


@pytest.mark.parametrize("split", ["val", "test"])
def test_held_out_rows_have_no_say(split):
    subject = make_subject()
    scrambled = subject.embeddings_ND.copy()
    scrambled[ROWS[split]] = scrambled[ROWS[split]][::-1] * 3
    before, after = (
        audit_labels(subject._replace(seen={"whole": embeddings}), PARAMS, 0)
        for embeddings in (subject.embeddings_ND, scrambled)
    )
    pd.testing.assert_frame_equal(before.labels, after.labels)
    for findings in (before, after):
        assert findings.metrics["judge"] == before.metrics["judge"]
        assert findings.metrics["expected_errors"] == before.metrics["expected_errors"]
    others = [queue[queue["split"] != split] for queue in (before.queue, after.queue)]
    assert others[0].to_dict("records") == others[1].to_dict("records")


def test_the_same_seed_gives_the_same_and_groups_count():
    first, again = (audit_labels(make_subject(), PARAMS, 1) for _ in range(2))
    pd.testing.assert_frame_equal(first.queue, again.queue)
    assert first.metrics == again.metrics
    groups = [f"g{row // 2}" for row in range(NUM_ROWS)]
    grouped = audit_labels(make_subject(groups=groups), PARAMS, 1)
    assert grouped.metrics["judge"] != first.metrics["judge"]


def test_an_image_like_no_other_is_an_outlier():
    subject = make_subject()
    far = subject.embeddings_ND.copy()
    far[10] = [-40, -40, -40, 90, -60]
    findings = audit_labels(subject._replace(seen={"whole": far}), PARAMS, 0)
    assert findings.outliers.tolist() == [10]
    assert findings.metrics["num_outliers"] == {"train": 1, "val": 0, "test": 0}


def test_without_val_nothing_is_said_of_value():
    subject = make_subject()
    empty = {**ROWS, "val": np.empty(0, dtype=int)}
    assert audit_labels(subject._replace(present=empty), PARAMS, 0).metrics["value"] == {}
