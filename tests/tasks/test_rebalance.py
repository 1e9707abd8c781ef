"""Only rows that are trusted and held out nowhere are drawn, as often as asked."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.embeddings import load_synthetic, save_embeddings
from tasks.artifacts.tables import load_rows, save_rows, save_table
from tasks.core.errors import ParamsError, VerdictError
from tasks.rebalance import Params, count_classes, drop_twins, find_usable, main, rebalance

LABELS = np.array(["a"] * 30 + ["b"] * 12 + ["c"] * 3)
HELD_OUT = {"val": {"a": 4, "b": 2}, "test": {"a": 5, "b": 1, "c": 1}}


def params(sampler: str = "none", strategy="auto", **changed) -> Params:
    chosen = {"sampler": sampler, "sampling_strategy": strategy}
    rest = {"arguments": {}, "drop_duplicates": True, "expectations": []}
    return Params.model_validate({**chosen, **rest, **changed})


def drawn(sampler: str, strategy, seed: int = 0, labels: np.ndarray = LABELS) -> np.ndarray:
    embeddings = np.arange(len(labels), dtype=np.float32).reshape(-1, 1)
    return rebalance(embeddings, labels, params(sampler, strategy), seed).chosen_M


@pytest.mark.parametrize(
    ("sampler", "strategy", "expected"),
    [
        ("none", "auto", {"a": 30, "b": 12, "c": 3}),
        ("RandomOverSampler", "auto", {"a": 30, "b": 30, "c": 30}),
        ("RandomOverSampler", "minority", {"a": 30, "b": 12, "c": 30}),
        ("RandomOverSampler", {"c": 7}, {"a": 30, "b": 12, "c": 7}),
        ("RandomUnderSampler", "auto", {"a": 3, "b": 3, "c": 3}),
        ("RandomUnderSampler", "majority", {"a": 3, "b": 12, "c": 3}),
        ("RandomUnderSampler", {"a": 10, "b": 10}, {"a": 10, "b": 10, "c": 3}),
    ],
)
def test_classes_are_as_frequent_as_asked(sampler, strategy, expected):
    chosen = drawn(sampler, strategy)
    assert count_classes(LABELS[chosen]) == expected
    if sampler == "RandomUnderSampler":
        assert len(set(chosen)) == len(chosen)
    else:
        assert set(chosen) == set(range(45))


def test_draws_hang_on_the_seed():
    assert (drawn("RandomOverSampler", "auto", 1) == drawn("RandomOverSampler", "auto", 1)).all()
    assert (drawn("RandomOverSampler", "auto", 1) != drawn("RandomOverSampler", "auto", 2)).any()


@pytest.mark.parametrize(
    ("sampler", "strategy", "labels"),
    [
        ("RandomOverSampler", {"d": 9}, LABELS),
        ("RandomOverSampler", {"a": 5}, LABELS),
        ("RandomUnderSampler", {"c": 9}, LABELS),
        ("RandomOverSampler", "auto", LABELS[:10]),
        ("RandomOverSampler", "majority", LABELS),
        ("RandomUnderSampler", ["a"], LABELS),
        ("RandomOverSampler", 0.5, LABELS),
    ],
)
def test_the_impossible_is_told(sampler, strategy, labels):
    with pytest.raises(ParamsError, match=rf"rebalance: {sampler}, sampling_strategy .*'a': "):
        drawn(sampler, strategy, labels=labels)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sampler": "SMOT"}, "has no sampler 'SMOT'"),
        ({"arguments": {"k_neighbors": 3}}, "no sampler, no arguments"),
        ({"strategy": "some"}, "sampling_strategy"),
        ({"strategy": 1.5}, "sampling_strategy"),
    ],
)
def test_a_slip_is_told_when_it_is_read(changed, told):
    with pytest.raises(ValidationError, match=told):
        params(**changed)


def test_counts_are_in_order_of_class():
    assert list(count_classes(np.array(["b", "a", "b", "ü"])).items()) == [
        ("a", 1),
        ("b", 2),
        ("ü", 1),
    ]


@given(st.data())
def test_rows_without_label_or_weight_are_never_used(data):
    cells = st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([0.0, 0.05, 1.0]))
    table = pd.DataFrame(data.draw(st.lists(cells, min_size=1)), columns=["label", "weight"])
    rows = np.array(data.draw(st.lists(st.integers(0, len(table) - 1))), dtype=np.int64)
    used = find_usable(table, rows)
    expected = [row for row in rows if table["label"][row] is not None and table["weight"][row] > 0]
    assert used.tolist() == expected


def test_train_rows_with_a_twin_held_out_are_dropped():
    table = pd.DataFrame({"image_id": list("pqrst")})
    found = pd.DataFrame({"image_id": ["q", "s"], "split": ["train", "val"]})
    assert drop_twins(table, np.array([0, 1, 3]), found).tolist() == [0, 3]


class Stage:
    """The stage on 60 rows: 45 of train, of which some may not be used."""

    def __init__(self, folder: Path):
        self.folder = folder
        rng = np.random.default_rng(0)
        labels = [*LABELS, *["a"] * 15]
        self.table = pd.DataFrame(
            {
                "image_id": [f"id{row}" for row in range(60)],
                "label": pd.array(labels, "string"),
                "weight": rng.uniform(0.05, 1, 60).round(6),
            }
        )
        self.embeddings = rng.normal(size=(60, 3)).astype(np.float32)
        self.embeddings[:, 0] += [9.0 * ord(label) for label in labels]
        self.train = np.arange(45)
        self.twins = pd.DataFrame(columns=["image_id", "split", "twin_split"], dtype="string")

    def run(self, params: Params, seed: int = 0) -> dict:
        at = self.folder
        save_rows(self.train, at / "train.npy")
        save_table(self.table, at / "labels.parquet")
        save_embeddings(self.embeddings, at / "embeddings.npy")
        save_table(self.twins, at / "twins.parquet")
        save_json({"class_counts": {"train": {}, **HELD_OUT}}, at / "split.json")
        main(
            train=at / "train.npy",
            labels=at / "labels.parquet",
            embeddings=at / "embeddings.npy",
            duplicates=at / "twins.parquet",
            splits=at / "split.json",
            out_rows=at / "rows.npy",
            out_synthetic=at / "synthetic.parquet",
            out_priors=at / "priors.json",
            out_metrics=at / "metrics.json",
            params=params,
            seed=seed,
        )
        return load_json(at / "metrics.json")

    def outputs(self) -> list[bytes]:
        names = ("rows.npy", "synthetic.parquet", "priors.json", "metrics.json")
        return [(self.folder / name).read_bytes() for name in names]


@pytest.fixture
def stage(tmp_path) -> Stage:
    return Stage(tmp_path)


def test_what_smote_makes_up_is_kept_apart_from_rows(stage):
    measured = stage.run(params("SMOTE", arguments={"k_neighbors": 4}))
    synthetic = load_synthetic(stage.folder / "synthetic.parquet")
    assert load_rows(stage.folder / "rows.npy").tolist() == list(range(45))
    assert count_classes(synthetic.labels_S) == measured["made_up"] == {"b": 18, "c": 27}
    assert synthetic.embeddings_SD.shape == (45, 3)
    assert measured["num_neighbours"] == 2
    assert load_json(stage.folder / "priors.json") == {"a": 30 / 45, "b": 12 / 45, "c": 3 / 45}


def test_counts_are_told_by_split_before_and_after(stage):
    measured = stage.run(params("RandomOverSampler"))
    assert measured["before"] == {"train": {"a": 30, "b": 12, "c": 3}, **HELD_OUT}
    assert measured["after"] == {"train": {"a": 30, "b": 30, "c": 30}, **HELD_OUT}
    (suite,) = measured["suites"]
    assert (suite["suite"], suite["num_rows"], suite["passed"]) == ("rebalanced", 90, True)
    synthetic = load_synthetic(stage.folder / "synthetic.parquet")
    assert synthetic.embeddings_SD.shape == (0, 3)


@pytest.mark.parametrize("sampler", ["none", "RandomOverSampler", "SMOTE", "SMOTEENN"])
def test_the_same_comes_to_the_same_bytes(stage, sampler):
    outputs = [(stage.run(params(sampler)), stage.outputs())[1] for _ in range(2)]
    assert outputs[0] == outputs[1]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    untrusted=st.sets(st.integers(0, 41), max_size=8),
    unlabelled=st.sets(st.integers(0, 41), max_size=8),
    twins=st.sets(st.integers(0, 41), max_size=8),
    sampler=st.sampled_from(
        ["none", "RandomOverSampler", "RandomUnderSampler", "TomekLinks", "SMOTE"]
    ),
)
def test_untrusted_unlabelled_held_out_and_twin_rows_are_never_chosen(
    tmp_path, untrusted, unlabelled, twins, sampler
):
    stage = Stage(tmp_path)
    stage.table.loc[list(untrusted), "weight"] = 0.0
    stage.table.loc[list(unlabelled), "label"] = pd.NA
    stage.twins = pd.DataFrame(
        {"image_id": [f"id{row}" for row in twins], "split": "train", "twin_split": "test"},
        dtype="string",
    )
    measured = stage.run(params(sampler))
    chosen = set(load_rows(tmp_path / "rows.npy"))
    assert chosen <= set(range(45)) - untrusted - unlabelled - twins
    dropped = twins - untrusted - unlabelled
    assert measured["num_dropped"] == len(dropped)
    assert measured["num_duplicates"] == ({"train in test": len(twins)} if twins else {})
    stage.run(params("none", drop_duplicates=False))
    kept = set(load_rows(tmp_path / "rows.npy"))
    assert kept == set(range(45)) - untrusted - unlabelled


def test_a_class_of_which_all_rows_have_twins_is_refused(stage):
    stage.twins = pd.DataFrame(
        {"image_id": ["id42", "id43", "id44"], "split": "train", "twin_split": "val"},
        dtype="string",
    )
    with pytest.raises(VerdictError, match=r"suite rebalanced: .*DistinctValuesToEqualSet label"):
        stage.run(params("none"))


def test_what_users_expect_of_the_rows_is_judged(stage):
    asked = {"type": "rows_per_class", "least": 10, "most": None, "severity": "critical"}
    with pytest.raises(VerdictError, match="rows_of_class: expected min_value 10"):
        stage.run(params("none", expectations=[asked]))
    warned = stage.run(params("none", expectations=[asked | {"severity": "warning"}]))
    broken = [one for one in warned["suites"][0]["findings"] if not one["passed"]]
    assert [(one["column"], one["num_unexpected"]) for one in broken] == [("rows_of_class", 3)]
    assert stage.run(params("RandomOverSampler", expectations=[asked]))["suites"][0]["passed"]
