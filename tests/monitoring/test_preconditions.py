"""Every fault of the data is told by its rule, and sound data by none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.baseline import Baseline
from monitoring.check import check_window
from tests.monitoring.planted import MODEL, NOON, a_baseline, a_window

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return a_baseline(num_permutations=399)


def with_cells(window: pd.DataFrame, column: str, num: int, cell: Any) -> pd.DataFrame:
    cells = list(window[column])
    cells[:num] = [cell] * num
    return window.assign(**{column: cells})


FAULTS: dict[str, tuple[Change, str, str]] = {
    "no embeddings": (lambda w: w.drop(columns="embedding"), "schema", "lacks.*embedding"),
    "two of a name": (
        lambda w: pd.concat([w, w[["width"]]], axis=1), "schema", "one name: .'width'"),
    "times as text": (
        lambda w: w.assign(predicted_at=w["predicted_at"].astype(str)), "schema", "predicted_at"),
    "times without a zone": (
        lambda w: w.assign(predicted_at=w["predicted_at"].dt.tz_localize(None)), "schema", "UTC"),
    "no ids": (lambda w: with_cells(w, "prediction_id", 1, None), "schema", "without an id"),
    "sent twice": (lambda w: pd.concat([w, w[:7]]), "duplicates", "7 predictions a second time"),
    "nothing": (lambda w: w[:0], "empty", "no predictions"),
    "another model": (
        lambda w: with_cells(w, "model_sha256", 3, "0" * 64), "model", "3 of 400.*000000000000"),
    "no model": (lambda w: with_cells(w, "model_sha256", 3, None), "model", "3 of 400"),
    "other classes": (
        lambda w: with_cells(w, "predicted", 2, "</script>"), "classes", "</script>"),
    "old": (
        lambda w: w.assign(predicted_at=w["predicted_at"] - pd.Timedelta(days=3)),
        "freshness", "more than 48 h before"),
    "from the future": (
        lambda w: w.assign(predicted_at=w["predicted_at"] + pd.Timedelta(hours=2)),
        "clock", "after the check"),
    "without times": (
        lambda w: w.assign(predicted_at=pd.Series(pd.NaT, w.index, dtype=w["predicted_at"].dtype)),
        "freshness", "no prediction has a time"),
    "refused images": (
        lambda w: with_cells(w, "refused", 21, "truncated"), "refused", "truncated 21.*at most 5%"),
    "NaN": (
        lambda w: with_cells(w, "embedding", 5, np.full(6, np.nan)), "invalid", "5 of 400"),
    "infinity": (
        lambda w: with_cells(w, "embedding", 5, np.full(6, np.inf)), "invalid", "5 of 400"),
    "no probabilities": (
        lambda w: with_cells(w, "probabilities", 5, np.full(4, 0.3)), "invalid", "5 of 400"),
    "embeddings of another width": (
        lambda w: with_cells(w, "embedding", 400, np.zeros(7)), "invalid", "400 of 400"),
    "half of a measure missing": (
        lambda w: with_cells(w, "brightness", 200, np.nan), "missing", "brightness.*50.0%"),
    "half of a measure infinite": (
        lambda w: with_cells(w, "brightness", 200, np.inf), "missing", "brightness.*50.0%"),
    "half of the metadata missing": (
        lambda w: with_cells(w, "group", 200, None), "missing", "group.*50.0%"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_an_incident_and_no_drift(baseline: Baseline, fault: str) -> None:
    change, rule, said = FAULTS[fault]
    document = check_window(baseline, change(a_window(400)), NOON)
    assert document["verdict"] == "incident" and document["families"] is None
    assert [breach["rule"] for breach in document["breaches"]] == [rule]
    found = pd.Series([document["breaches"][0]["found"]])
    assert found.str.contains(said).all(), found[0]
    assert document["breaches"][0]["found"] in document["summary"]


def test_sound_data_breach_nothing(baseline: Baseline) -> None:
    document = check_window(baseline, a_window(400), NOON)
    assert document["breaches"] == [] and document["verdict"] in ("quiet", "unclear")


def test_a_few_faulty_rows_are_left_out(baseline: Baseline) -> None:
    # As the gate leaves them: refused images have neither embedding nor probabilities.
    window = with_cells(a_window(400), "embedding", 4, None)
    window = with_cells(window, "probabilities", 4, None)
    window = with_cells(window, "refused", 4, "truncated")
    document = check_window(baseline, window, NOON)
    assert document["verdict"] in ("quiet", "unclear")
    assert document["window"] | {"sha256": ""} == {
        "sha256": "", "num_rows": 400, "num_refused": 4, "num_used": 396
    }  # fmt: skip


def test_age_is_let_alone_where_nobody_says_when_it_is(baseline: Baseline) -> None:
    window = a_window(400)
    old = window.assign(predicted_at=window["predicted_at"] - pd.Timedelta(days=900))
    assert check_window(baseline, old, None)["breaches"] == []


def test_several_faults_are_all_told(baseline: Baseline) -> None:
    window = with_cells(a_window(400), "refused", 100, "truncated")
    window = with_cells(window, "model_sha256", 400, "0" * 64)
    rules = [breach["rule"] for breach in check_window(baseline, window, NOON)["breaches"]]
    assert rules == ["model", "refused"]
    assert MODEL.sha256[:12] in check_window(baseline, window, NOON)["summary"]
