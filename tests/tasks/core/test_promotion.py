"""The gate refuses what is worse, lets pass what is equal, and knows what it cannot see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from tasks.core.metrics import measure_predictions
from tasks.core.promotion import (
    LEVEL,
    Threshold,
    draw_metrics,
    find_power,
    judge_change,
    judge_limit,
    judge_robustness,
    judge_slices,
    judge_value,
    reject_by_holm,
)


def predict(labels: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """Probabilities of two classes."""
    said = np.where(is_right, labels, 1 - labels)
    return np.where(said[:, None] == np.arange(2), 0.9, 0.1)


def judged(candidate: np.ndarray, champion: np.ndarray, margin: float = 0.005, seed: int = 0):
    labels = np.arange(len(candidate)) % 2
    (value, drawn), (former, formerly) = (
        draw_metrics(labels, predict(labels, one), 15, 300, seed) for one in (candidate, champion)
    )
    return judge_change(
        "accuracy",
        Threshold(margin, 0.03 + margin),
        (value["accuracy"], former["accuracy"]),
        (drawn["accuracy"], formerly["accuracy"]),
        len(labels),
    )


def test_the_same_predictions_hold_whatever_the_margin():
    right = np.random.default_rng(0).random(300) < 0.8
    rule = judged(right, right, margin=0.0)
    assert (rule.outcome, rule.low, rule.high, rule.value) == ("holds", 0.0, 0.0, rule.champion)
    assert rule.power is not None and rule.power < 1


def test_pairing_sees_a_difference_that_intervals_of_each_model_hide():
    champion = np.random.default_rng(0).random(1000) < 0.7
    candidate = champion.copy()
    candidate[np.flatnonzero(champion)[:25]] = False
    rule = judged(candidate, champion)
    assert rule.outcome == "broken" and rule.champion is not None
    spread = np.sqrt(0.7 * 0.3 / 1000)
    # Apart, the two lie within each other's intervals.
    assert abs(rule.value - rule.champion) < 1.96 * spread


def test_the_interval_is_that_of_paired_differences():
    rng = np.random.default_rng(1)
    champion, candidate = rng.random(2000) < 0.8, rng.random(2000) < 0.75
    rule = judged(candidate, champion)
    gain = candidate.astype(float) - champion
    reach = 1.96 * gain.std() / np.sqrt(len(gain))
    assert rule.low == pytest.approx(gain.mean() - reach, abs=0.004)
    assert rule.high == pytest.approx(gain.mean() + reach, abs=0.004)


def test_metrics_are_those_of_the_rows():
    labels, right = np.arange(90) % 2, np.arange(90) % 3 > 0
    values, drawn = draw_metrics(labels, predict(labels, right), 15, 100, 0)
    assert values == pytest.approx(measure_predictions(labels, predict(labels, right), 15))
    assert {name: len(one) for name, one in drawn.items()} == dict.fromkeys(values, 100)


@pytest.mark.parametrize(
    ("metric", "threshold", "drawn", "outcome"),
    [
        ("accuracy", 0.5, (0.6, 0.7), "holds"),
        ("accuracy", 0.65, (0.6, 0.7), "unproven"),
        ("accuracy", 0.8, (0.6, 0.7), "broken"),
        ("log_loss", 0.8, (0.6, 0.7), "holds"),
        ("log_loss", 0.65, (0.6, 0.7), "unproven"),
        ("calibration_error", 0.5, (0.6, 0.7), "broken"),
        ("accuracy", 0.5, (np.nan, np.nan), "broken"),
    ],
)
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_a_value_is_held_against_its_interval(metric, threshold, drawn, outcome):
    samples = np.linspace(drawn[0], drawn[1], 200)
    rule = judge_value(metric, threshold, float(np.mean(drawn)), samples)
    assert rule.outcome == outcome


def test_power_is_the_share_of_refusals():
    threshold, spread = Threshold(0.01, 0.04), 0.01
    rng = np.random.default_rng(0)
    measured = rng.normal(-threshold.harm, spread, 20_000)
    refused = (measured + norm.isf(LEVEL) * spread < -threshold.margin).mean()
    power, detectable = find_power(threshold, spread, LEVEL)
    assert power == pytest.approx(refused, abs=0.01)
    assert find_power(Threshold(0.01, detectable), spread, LEVEL)[0] == pytest.approx(0.9)


def test_corrupted_rows_are_drawn_whole():
    rng = np.random.default_rng(0)
    champion = rng.integers(0, 13, 200) / 12
    rule = judge_robustness(Threshold(0.02, 0.1), champion * 0.7, champion, 200, 0)
    assert rule.outcome == "broken"
    assert rule.value == pytest.approx(0.7 * champion.mean())
    same = judge_robustness(Threshold(0.02, 0.1), champion, champion, 200, 0)
    assert same.outcome == "holds"


def test_one_slice_that_breaks_is_found_among_those_that_hold():
    champion = np.ones(400, dtype=bool)
    candidate = champion.copy()
    candidate[:20] = False
    slices = {
        "dark": np.arange(400) < 50,
        "light": np.arange(400) >= 50,
        "few": np.arange(400) < 9,
        "none": np.zeros(400, bool),
    }
    rules = judge_slices(slices, (candidate, champion), Threshold(0.02, 0.1), 30)
    assert {rule.name: rule.outcome for rule in rules} == {"dark": "broken", "light": "holds"}
    assert judge_slices({}, (candidate, champion), Threshold(0.02, 0.1), 30) == []


def test_without_a_margin_a_slice_is_a_sign_test():
    candidate, champion = np.zeros(40, bool), np.zeros(40, bool)
    champion[:9], candidate[9:11] = True, True
    chance = float(binomtest(9, 11, alternative="greater").pvalue)
    for level, outcome in ((chance * 1.01, "broken"), (chance * 0.99, "unproven")):
        assert reject_by_holm(np.array([chance]), level)[0] == (outcome == "broken")
    (rule,) = judge_slices({"all": np.ones(40, bool)}, (candidate, champion), Threshold(0, 0.1), 30)
    assert rule.outcome == "unproven" and chance > LEVEL


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_holm_rejects_as_a_reference_does(chances, level):
    order = np.argsort(chances, kind="stable")
    expected = np.zeros(len(chances), bool)
    for rank, place in enumerate(order):
        if chances[place] > level / (len(chances) - rank):
            break
        expected[place] = True
    assert reject_by_holm(np.array(chances), level).tolist() == expected.tolist()


def test_what_is_counted_must_not_exceed_its_limit():
    assert judge_limit("cost", "num_bytes", 1.5, 1.5, 1.0).outcome == "holds"
    assert judge_limit("cost", "num_bytes", 1.5, 1.6, 1.0).outcome == "broken"
    assert judge_limit("data", "x", 1.5, float("nan"), None).outcome == "broken"
