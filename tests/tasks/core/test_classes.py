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


@pytest.mark.parametrize(
    ("renamed", "ignored", "key"),
    [({"cta": "cat"}, [], "clean.classes"), ({}, ["cta"], "clean.ignored")],
)
def test_an_unknown_class_is_named_beside_those_that_there_are(renamed, ignored, key):
    with pytest.raises(ParamsError, match=rf"{key} names \['cta'\].*\['cat', 'dog', 'fox'\]"):
        map_classes(LABELS, renamed, ignored)


def test_an_ignored_class_is_meant_by_its_given_name():
    assert map_classes(LABELS, {"fox": "cat"}, ["cat"]).dropna().tolist() == ["dog", "cat"]


@pytest.mark.parametrize("twin", ["Cat", "CAT", "cat ", " cat", "cat\n", "ca\u200bt", "\uff43at"])
def test_classes_that_look_like_one_are_refused_until_they_are_named(twin):
    labels = pd.Series(["cat", twin, "dog"], dtype="string")
    with pytest.raises(ParamsError, match=r"labels '.*' and '.*' differ in case, space or form"):
        map_classes(labels, {}, [])
    assert set(map_classes(labels, {twin: "cat"}, [])) == {"cat", "dog"}
    assert set(map_classes(labels, {twin: "other"}, [])) == {"cat", "other", "dog"}
    assert set(map_classes(labels, {}, [twin]).dropna()) == {"cat", "dog"}


@pytest.mark.parametrize(
    "names", [("é", "e\u0301"), ("straße", "STRASSE"), ("hot  dog", "Hot dog"), ("ǰ", "J\u030c")]
)
def test_twins_are_seen_through_unicode(names):
    with pytest.raises(ParamsError, match="differ in case"):
        map_classes(pd.Series(names, dtype="string"), {}, [])


def test_names_that_only_resemble_each_other_stay():
    names = ["cat", "cats", "c at", "-1", "1", "1.0", "é", "e", "hot dog", "hotdog", "hot_dog"]
    assert map_classes(pd.Series(names, dtype="string"), {}, []).tolist() == names
