"""Rules that do not hold come first, say what broke them, and what they did not look at."""

from typing import Any

import pandas as pd
import pytest

from expectations.check import check
from expectations.suites import Rule, Suite
from pages.blocks import Folded, Table, Text
from pages.rules import measure_rules, rules_blocks


def checked(values: list[Any]) -> dict[str, Any]:
    rule = Rule("ExpectColumnValuesToBeInSet", {"column": "label", "value_set": ["a"]}, "warning")
    return check(Suite("mine", ["label"], 1, [rule]), pd.DataFrame({"label": values})).document()


@pytest.mark.parametrize(
    ("values", "detail"), [(["a", "a"], ""), (["a", None], "1 missing values not looked at")]
)
def test_what_holds_is_folded(values, detail):
    said, folded = rules_blocks([checked(values)])
    assert said == Text("Every rule that was run holds.")
    assert isinstance(folded, Folded)
    (table,) = folded.blocks
    assert isinstance(table, Table)
    assert folded.summary == f"mine: rules that hold, {len(table.rows)}"
    rule = "ExpectColumnValuesToBeInSet"
    assert list(table.rows[-1]) == [rule, "label", "warning", "holds", detail]


def test_what_is_broken_comes_first():
    blocks = rules_blocks([checked(["a"]), checked(["a", "b"])])
    assert [type(block) for block in blocks] == [Table, Folded, Folded]
    assert isinstance(blocks[0], Table)
    assert blocks[0].rows == [
        [
            "mine",
            "ExpectColumnValuesToBeInSet",
            "label",
            "warning",
            "broken by 1 values",
            "expected value_set ['a']; 'b'",
        ]
    ]


def test_every_rule_is_counted_once():
    document = checked(["a", "b"])
    counts = measure_rules([document])["mine"]
    assert counts["num_broken"] == 1
    assert counts["num_holding"] == len(document["findings"]) - 1
