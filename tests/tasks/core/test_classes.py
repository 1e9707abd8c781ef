"""Classes are renamed, merged and left out, and a name that fits nothing is refused."""

import pandas as pd
import pytest

from tasks.core.classes import map_classes
from tasks.core.errors import ParamsError

LABELS = pd.Series(["cat", "dog", None, "fox", "cat"], dtype="string")


def test_renamed_classes_merge_and_ignored_ones_become_empty():
    mapped = map_classes(LABELS, {"fox": "dog"}, ["cat"])
    assert mapped.isna().tolist() == [True, False, True, False, True]
    assert mapped.dropna().tolist() == ["dog", "dog"]


def test_names_may_be_swapped():
    mapped = map_classes(LABELS, {"cat": "dog", "dog": "cat"}, [])
    assert mapped.dropna().tolist() == ["dog", "cat", "fox", "dog"]


@pytest.mark.parametrize("dtype", ["string", object])
def test_labels_pass_unchanged_where_nothing_is_asked(dtype):
    labels = LABELS.astype(dtype)
    before = labels.copy()
    assert map_classes(labels, {}, []).tolist() == LABELS.tolist()
    pd.testing.assert_series_equal(labels, before)


@pytest.mark.parametrize(("renamed", "ignored"), [({"cta": "cat"}, []), ({}, ["cta"])])
def test_an_unknown_class_is_named_beside_those_that_there_are(renamed, ignored):
    with pytest.raises(ParamsError, match=r"\['cta'\].*\['cat', 'dog', 'fox'\]"):
        map_classes(LABELS, renamed, ignored)


def test_an_ignored_class_is_meant_by_its_given_name():
    assert map_classes(LABELS, {"fox": "cat"}, ["cat"]).dropna().tolist() == ["dog", "cat"]
