"""A check is a function of its tables: the same in any order and again, whatever is in them."""

import json
from typing import Any

import numpy as np
import pytest

from monitoring.baseline import Baseline
from monitoring.check import check_again, check_window
from tasks.core.errors import ArtifactError
from tests.monitoring.planted import (
    MODEL,
    NOON,
    a_baseline,
    a_reference,
    a_window,
    draw,
    some_params,
)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return a_baseline()


def test_a_planted_change_is_drift_and_told_with_its_cause(baseline: Baseline) -> None:
    window = a_window(600, shift=0.8, darker=0.2, only_group="7")
    document = check_window(baseline, window, NOON)
    assert document["verdict"] == "drift"
    assert document["families"]["embeddings"]["shows"]
    summary = document["summary"]
    assert summary.startswith("drift; ") and "embeddings by " in summary
    assert "darker images" in summary and "where group is 7" in summary
    assert [cause["column"] for cause in document["causes"]] == ["brightness"]


def test_a_window_of_the_same_is_quiet(baseline: Baseline) -> None:
    verdicts = [
        check_window(baseline, a_window(400, seed), NOON)["verdict"] for seed in range(2, 8)
    ]
    assert "drift" not in verdicts and verdicts.count("quiet") >= 4


def test_every_statistic_stands_beside_its_threshold(baseline: Baseline) -> None:
    document = check_window(baseline, a_window(300), NOON)
    for family in document["families"].values():
        assert set(family) == {"statistic", "p_value", "adjusted", "effect", "floor", "shows"}
    assert document["params"]["alpha"] == 0.01
    assert document["as_of"] == NOON.isoformat()
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_farthest_predictions_are_named(baseline: Baseline) -> None:
    window = a_window(strange=0.05)
    document = check_window(baseline, window, NOON)
    lengths = window["embedding"].map(np.linalg.norm)
    named = window["prediction_id"].isin(document["examples"])
    assert len(document["examples"]) == named.sum() == 5
    assert lengths[named].min() > lengths.quantile(0.95)


def test_the_order_of_rows_and_columns_changes_nothing(baseline: Baseline) -> None:
    window, reference = a_window(300, shift=0.3), a_reference()
    document = check_window(baseline, window, NOON)
    order = np.random.default_rng(0).permutation(len(window))
    mixed = window.iloc[order][sorted(window.columns)]
    assert check_window(baseline, mixed, NOON) == document
    other = Baseline(reference.sample(frac=1, random_state=0), MODEL, baseline.params, 0)
    assert check_window(other, window, NOON) == document


def test_a_check_can_be_made_again_and_betrays_what_was_changed(baseline: Baseline) -> None:
    window = a_window(300)
    document = json.loads(json.dumps(check_window(baseline, window, NOON)))
    assert check_again(document, a_reference(), window) == document
    forged = {**document, "families": {}}
    assert check_again(forged, a_reference(), window) != forged
    with pytest.raises(ArtifactError, match="the window is"):
        check_again(document, a_reference(), a_window(300, seed=5))
    with pytest.raises(ArtifactError, match="the reference is"):
        check_again(document, a_reference(seed=5), window)
    with pytest.raises(ArtifactError, match="is of no check"):
        check_again({"verdict": "quiet"}, a_reference(), window)
    with pytest.raises(ArtifactError, match="is of no check"):
        check_again({**document, "params": {"alpha": 2}}, a_reference(), window)


@pytest.mark.parametrize("count", [1, 2, 99])
def test_too_few_rows_wait(baseline: Baseline, count: int) -> None:
    document = check_window(baseline, a_window(count), NOON)
    assert (document["verdict"], document["families"]) == ("waiting", None)
    assert f"{count} usable rows, fewer than 100" in document["summary"]


def test_a_larger_window_is_sampled(baseline: Baseline) -> None:
    params = some_params(max_rows=150)
    document = check_window(
        Baseline(a_reference(), MODEL, params, 0), a_window(400, shift=1.0), None
    )
    assert document["window"]["num_rows"] == 400 and document["verdict"] == "drift"
    again = check_window(Baseline(a_reference(), MODEL, params, 0), a_window(400, shift=1.0), None)
    assert again == document


def test_accuracy_is_expected_without_labels_and_measured_with_them(baseline: Baseline) -> None:
    table = draw(600, 3)
    window = a_window(600, 3)
    document = check_window(baseline, window, NOON)
    right = float((table["predicted"] == table["label"]).mean())
    expected = document["accuracy"]["expected"]
    assert expected["low"] <= right <= expected["high"] and not expected["unreliable"]
    assert document["accuracy"]["measured"] is None
    labels = [*table["label"][:200], *[None] * 400]
    measured = check_window(baseline, window.assign(label=labels), NOON)["accuracy"]["measured"]
    assert measured["num_labelled"] == 200 and not measured["is_worse"]
    assert measured["value"] == pytest.approx((table["predicted"] == table["label"])[:200].mean())
    wrong = window.assign(label=[*table["label"][:100], *["none of them"] * 500])
    assert check_window(baseline, wrong, NOON)["accuracy"]["measured"]["is_worse"]


def test_what_is_expected_of_strange_images_is_marked(baseline: Baseline) -> None:
    expected = check_window(baseline, a_window(400, strange=0.3), NOON)["accuracy"]["expected"]
    assert expected["unreliable"]


def test_hostile_names_are_carried_as_they_are() -> None:
    hostile = "</script><img src=x onerror=alert(1)>\u202e'\"\n"
    model = MODEL._replace(classes=(hostile, *MODEL.classes[1:]))
    swapped = {"label": {"ape": hostile}, "predicted": {"ape": hostile}}
    reference = a_reference().replace({"label": swapped["label"]})
    reference, window = (
        table.rename(columns={"group": hostile})
        for table in (reference, a_window(300).replace(swapped).replace({"group": {"7": hostile}}))
    )
    document = check_window(Baseline(reference, model, some_params(), 0), window, NOON)
    assert document["model"]["classes"][0] == hostile
    assert [cause["column"] for cause in document["causes"]] == [hostile]
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop(columns="label"), "lacks the columns"),
        (lambda table: table[:99], "at least 100"),
        (lambda table: table[:0], "at least 100"),
        (lambda table: table.assign(probabilities=[[1.0]] * len(table)), "of 4 classes"),
        (lambda table: table.assign(embedding=[None] * len(table)), "embeddings of 0 numbers"),
    ],
)
def test_a_reference_that_cannot_be_compared_with_is_refused(change: Any, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        Baseline(change(a_reference()), MODEL, some_params(), 0)
