"""Answers are counted as what they are, and weights follow them."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.decisions import Decision
from tasks.core.label_quality import LabelQuality
from tasks.core.review import count_answers, find_suspicious, weigh

KEEP, DROP, RELABEL = Decision("keep", None), Decision("drop", None), Decision("relabel", "bee")


def test_flags_are_upheld_or_overturned_and_strangers_told():
    ids = pd.Series(["a", "b", "c", "d", "e"])
    given_codes = np.array([0, 0, 0, 0, -1])
    suggested = np.array([1, 1, 1, 0, -1])
    decided = {"a": KEEP, "b": DROP, "c": RELABEL, "d": RELABEL, "e": KEEP, "gone": DROP}
    assert count_answers(ids, given_codes, suggested, decided) == {
        "num_flags_upheld": 2,
        "num_flags_overturned": 1,
        "num_unflagged": 2,
        "num_unknown": 1,
        "first_unknown": ["gone"],
    }


@given(st.dictionaries(st.integers(0, 30).map(str), st.sampled_from([KEEP, DROP, RELABEL])))
def test_every_decision_is_counted_once(decided):
    ids = pd.Series([str(number) for number in range(20)])
    counted = count_answers(ids, np.arange(20) % 2, np.zeros(20, dtype=int), decided)
    numbers = [value for key, value in counted.items() if key.startswith("num_")]
    assert sum(numbers) == len(decided)
    assert counted["num_unknown"] == len(set(decided) - set(ids))
    assert len(counted["first_unknown"]) == min(5, counted["num_unknown"])


def test_weights_follow_trust_and_people():
    labels = pd.DataFrame({"decision": ["", "", "", "keep", "drop", "", "drop"]})
    weights = weigh(labels, np.array([6, 0, 1, 2, 3]), np.array([0.8, 0.9, 0.5, 0.01, 0.1]), 0.05)
    # As far as each is trusted; hardly; kept by a person; dropped; not of train; dropped of train.
    assert weights.tolist() == [0.9, 0.5, 0.05, 1, 0, 1, 0]


def test_only_rows_that_another_class_suits_better_are_asked_about():
    table = pd.DataFrame({"image_id": ["a", "b", "c"], "path": ["1", "2", "3"]})
    quality = LabelQuality(np.array([0.8, 0.2]), np.array([1, 0]), np.array([0.7, 0.8]))
    found = find_suspicious(
        table, "val", np.array([2, 0]), np.array([1, 0, 1]), quality, ["ant", "bee"]
    )
    assert found.to_dict("records") == [
        {
            "image_id": "a",
            "path": "1",
            "split": "val",
            "label": "bee",
            "suggested_label": "ant",
            "score": 0.2,
            "suggested_probability": 0.8,
        }
    ]
