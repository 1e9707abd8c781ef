"""Samplers are imbalanced-learn's, their rows can be traced, and few rows are no stack trace."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.combine import SMOTEENN, SMOTETomek

from tasks.core.errors import ParamsError
from tasks.core.resampling import KINDS, Resampled, build_sampler, resample

COUNTS = {"a": 60, "b": 25, "c": 12}


def rows(counts: dict[str, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clouds that overlap, in no order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(list(counts), list(counts.values())))
    centres = np.array([[ord(label[0]), -ord(label[0]), 0] for label in labels]) * 1.5
    return (centres + rng.normal(size=centres.shape)).astype(np.float32), labels


def drawn(
    name: str,
    counts=COUNTS,
    strategy: str | dict[str, int] = "auto",
    seed: int = 0,
    **arguments,
) -> Resampled:
    embeddings, labels = rows(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return resample(embeddings, labels, build_sampler(name, arguments, seed), strategy)


# They fit models of their own, for seconds.
SLOW = {"InstanceHardnessThreshold", "KMeansSMOTE", "CondensedNearestNeighbour"}
QUICK = sorted(set(KINDS) - {"ClusterCentroids", "SMOTENC"} - SLOW)


@pytest.mark.parametrize("name", QUICK)
def test_every_sampler_gives_what_imbalanced_learn_gives(name):
    embeddings, labels = rows(COUNTS)
    reference = KINDS[name]()
    if "random_state" in reference.get_params():
        reference.set_params(random_state=3)
    codes = np.unique(labels, return_inverse=True)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected_rows, expected_codes = reference.fit_resample(embeddings, codes)
    found = drawn(name, seed=3)
    ours = np.concatenate([embeddings[found.chosen_M], found.made_up_SD])
    classes = np.concatenate([labels[found.chosen_M], found.made_up_labels_S])
    # In another order: ours stand as in the manifest, what was made up after them.
    expected = np.column_stack([expected_rows, expected_codes])
    mine = np.column_stack([ours, np.unique(classes, return_inverse=True)[1]])
    np.testing.assert_array_equal(sorted(map(tuple, mine)), sorted(map(tuple, expected)))
    assert (np.diff(found.chosen_M) >= 0).all()


@pytest.mark.parametrize("name", QUICK)
def test_draws_hang_on_the_seed_alone(name):
    first, second = drawn(name, seed=5), drawn(name, seed=5)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["RandomOverSampler", "RandomUnderSampler", "SMOTE", "SMOTEENN"])
def test_another_seed_draws_otherwise(name):
    first, second = drawn(name, seed=1), drawn(name, seed=2)
    assert not np.array_equal(first.chosen_M, second.chosen_M) or not np.array_equal(
        first.made_up_SD, second.made_up_SD
    )


@pytest.mark.parametrize("name", ["RandomOverSampler", "TomekLinks", "EditedNearestNeighbours"])
def test_who_only_chooses_makes_nothing_up(name):
    found = drawn(name)
    assert found.made_up_SD.shape == (0, 3) and len(found.made_up_labels_S) == 0
    assert found.num_neighbours is None


def test_smote_keeps_every_row_and_makes_up_the_rest_between_rows_of_the_class():
    embeddings, labels = rows(COUNTS)
    found = drawn("SMOTE")
    np.testing.assert_array_equal(found.chosen_M, np.arange(len(labels)))
    made, counts = np.unique(found.made_up_labels_S, return_counts=True)
    assert dict(zip(made.tolist(), counts.tolist(), strict=True)) == {"b": 35, "c": 48}
    assert found.num_neighbours == 5
    for label in "bc":
        own = embeddings[labels == label]
        made_up = found.made_up_SD[found.made_up_labels_S == label]
        assert (made_up >= own.min(axis=0) - 1e-4).all()
        assert (made_up <= own.max(axis=0) + 1e-4).all()


@pytest.mark.parametrize(
    ("name", "reference"), [("SMOTEENN", SMOTEENN), ("SMOTETomek", SMOTETomek)]
)
def test_parts_take_arguments_of_their_own(name, reference):
    embeddings, labels = rows(COUNTS)
    found = drawn(name, smote__k_neighbors=2, strategy={"c": 30})
    part = KINDS["SMOTE"](k_neighbors=2, random_state=0, sampling_strategy={"c": 30})
    expected, classes = reference(smote=part, random_state=0).fit_resample(embeddings, labels)
    assert len(found.chosen_M) + len(found.made_up_SD) == len(expected)
    assert (classes == "c").sum() == (found.made_up_labels_S == "c").sum() + (
        labels[found.chosen_M] == "c"
    ).sum()
    assert found.num_neighbours == 2


def test_shrinkage_makes_up_embeddings_where_rows_would_repeat():
    found = drawn("RandomOverSampler", shrinkage=0.5)
    np.testing.assert_array_equal(found.chosen_M, np.arange(97))
    assert len(found.made_up_SD) == 3 * 60 - 97


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("name", QUICK)
def test_a_class_of_one_or_two_rows_is_taken_or_refused_with_a_reason(name, size):
    try:
        found = drawn(name, {"a": 30, "b": 14, "few": size})
    except ParamsError as error:
        assert f"rebalance: {name}" in str(error) and f"'few': {size}" in str(error)
    else:
        _, labels = rows({"a": 30, "b": 14, "few": size})
        assert set(labels[found.chosen_M]) == {"a", "b", "few"}


@pytest.mark.parametrize(("size", "used"), [(2, 1), (3, 2), (6, 5), (7, 5)])
def test_neighbours_are_as_many_as_a_class_has(size, used):
    for name in ("SMOTE", "SMOTETomek", "BorderlineSMOTE"):
        assert drawn(name, {"a": 30, "few": size}).num_neighbours == used
    # A class that does not grow needs none.
    assert drawn("SMOTE", {"a": 30, "b": 9, "one": 1}, strategy={"b": 12}).num_neighbours == 5


def test_a_class_of_one_row_names_what_is_needed():
    with pytest.raises(ParamsError, match=r"class 'few' has 1 row, and new ones lie between two; "):
        drawn("SMOTE", {"a": 30, "few": 1})


def test_a_class_that_would_vanish_is_told():
    with pytest.raises(ParamsError, match=r"no row is left of \['few'\]"):
        embeddings, labels = rows({"a": 30, "few": 2})
        embeddings[labels == "few"] = embeddings[labels == "a"].mean(axis=0)
        sampler = build_sampler("EditedNearestNeighbours", {}, 0)
        resample(embeddings, labels, sampler, "all")


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("SMOT", {}, "has no sampler 'SMOT'; it has .*SMOTE, "),
        ("SMOTE", {"k_neighbours": 3}, "SMOTE: .*unexpected keyword argument 'k_neighbours'"),
        ("SMOTE", {"k_neighbors": "few"}, "SMOTE: The 'k_neighbors' parameter"),
        ("SMOTE", {"k_neighbors": 0}, "SMOTE: The 'k_neighbors' parameter"),
        ("SMOTEENN", {"smote__k_neighbours": 3}, "SMOTEENN: Invalid parameter 'k_neighbours'"),
        ("SMOTEENN", {"enn__kind_sel": "some"}, "SMOTEENN: The 'kind_sel' parameter"),
        ("SMOTE", {"random_state": 3}, "random_state is no argument here"),
        ("SMOTE", {"sampling_strategy": "all"}, "sampling_strategy is no argument here"),
        ("SMOTENC", {}, "missing 1 required positional argument"),
        ("ClusterCentroids", {}, "does not say which rows it took"),
    ],
)
def test_a_slip_is_told_before_there_are_rows(name, arguments, told):
    with pytest.raises(ValueError, match=told):
        build_sampler(name, arguments, 0)


def test_the_sampler_itself_stays_as_it_was():
    sampler = build_sampler("SMOTE", {}, 0)
    before = sampler.get_params()
    resample(*rows({"a": 30, "few": 3}), sampler, {"few": 9})
    assert sampler.get_params() == before


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 25), min_size=2, max_size=5),
    name=st.sampled_from(
        ["RandomOverSampler", "RandomUnderSampler", "TomekLinks", "SMOTE", "SMOTEENN"]
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_keep_their_embeddings_and_every_class_stays(counts, name, seed):
    by_class = dict(zip("abcde", counts, strict=False))
    embeddings, labels = rows(by_class, seed % 1000)
    try:
        found = resample(embeddings, labels, build_sampler(name, {}, seed), "auto")
    except ParamsError as error:
        assert "train rows per class" in str(error)
        # A class of one row may be half of a Tomek link.
        assert name.startswith("SMOTE") or (name == "TomekLinks" and 1 in counts)
        return
    assert set(labels[found.chosen_M]) == set(by_class)
    assert found.chosen_M.min() >= 0 and found.chosen_M.max() < len(labels)
    assert found.made_up_SD.dtype == np.float32 and np.isfinite(found.made_up_SD).all()
    assert len(found.made_up_SD) == len(found.made_up_labels_S)
    if name != "RandomOverSampler":
        assert len(set(found.chosen_M)) == len(found.chosen_M)
