"""Rates are those counted by hand, and gaps that noise alone makes reach down to none."""

import numpy as np
import pytest

from tasks.core.fairness import RATES, measure_fairness


def values_of(codes: np.ndarray) -> dict[str, np.ndarray]:
    return {f"group={code}": codes == code for code in np.unique(codes)}


def test_rates_are_those_of_each_value():
    rng = np.random.default_rng(0)
    codes, positive = rng.integers(3, size=600), rng.random(600) < 0.4
    selected = np.where(codes == 1, positive & (rng.random(600) < 0.5), positive)
    found = measure_fairness(values_of(codes), positive, selected, 300, 0)
    for code in range(3):
        inside, rates = codes == code, found["values"][f"group={code}"]
        assert rates["num_rows"] == inside.sum()
        assert rates["selection_rate"].value == pytest.approx(selected[inside].mean())
        hit = selected[inside & positive].mean()
        assert rates["true_positive_rate"].value == pytest.approx(hit)
        assert rates["false_positive_rate"].value == 0
        assert rates["selection_rate"].low < rates["selection_rate"].value
    gap = found["gaps"]["true_positive_rate"]
    assert gap.low > 0.3 and gap.value == pytest.approx(
        1 - selected[(codes == 1) & positive].mean()
    )
    again = measure_fairness(values_of(codes), positive, selected, 300, 0)
    assert again == found


def test_where_all_are_treated_alike_a_gap_may_be_none():
    within = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        codes, positive = rng.integers(6, size=400), rng.random(400) < 0.5
        selected = positive ^ (rng.random(400) < 0.1)
        gaps = measure_fairness(values_of(codes), positive, selected, 200, seed)["gaps"]
        assert all(gaps[rate].value > 0 for rate in RATES)
        within += gaps["selection_rate"].low == 0
    assert within >= 54


def test_what_no_row_counts_for_has_no_rate():
    codes, positive = np.array([0, 0, 1, 1, 2, 2]), np.array([1, 0, 1, 1, 0, 1]) == 1
    found = measure_fairness(values_of(codes), positive, positive, 100, 0)
    assert found["values"]["group=1"]["false_positive_rate"] is None
    assert found["gaps"]["false_positive_rate"].value == 0
    alone = measure_fairness(values_of(codes[:2]), positive[:2], positive[:2], 100, 0)
    assert alone["gaps"] == dict.fromkeys(RATES)
    assert measure_fairness({}, positive, positive, 100, 0)["gaps"] == dict.fromkeys(RATES)
