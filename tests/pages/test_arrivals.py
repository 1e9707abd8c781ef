"""The table of expectations says what broke a rule, and what a rule did not look at."""

from typing import Any

import pandas as pd
import pytest

from expectations.check import check
from expectations.suites import Rule, Suite
from pages.arrivals import expectations_table


def cells(values: list[Any]) -> list[Any]:
    rule = Rule("ExpectColumnValuesToBeInSet", {"column": "label", "value_set": ["a"]}, "warning")
    checked = check(Suite("mine", ["label"], 1, [rule]), pd.DataFrame({"label": values}))
    return list(expectations_table([checked.document()]).rows[-1])


@pytest.mark.parametrize(
    ("values", "result", "detail"),
    [
        (["a", "a"], "holds", ""),
        (["a", None], "holds", "1 missing values not looked at"),
        (["a", "b"], "broken by 1 values", "expected value_set ['a']; 'b'"),
    ],
)
def test_a_rule_has_its_result_and_what_broke_it(values, result, detail):
    assert cells(values) == [
        "mine",
        "ExpectColumnValuesToBeInSet",
        "label",
        "warning",
        result,
        detail,
    ]
