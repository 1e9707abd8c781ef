"""What is said of expectations: the broken ones first, those that hold folded away."""

from collections.abc import Mapping, Sequence
from typing import Any

from pages.blocks import Block, Folded, Table, Text

_COLUMNS = ["suite", "rule", "column", "severity", "result", "detail"]


def measure_rules(suites: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many rules of each suite hold, and how many do not."""
    return {
        suite["suite"]: {
            "num_holding": sum(finding["passed"] for finding in suite["findings"]),
            "num_broken": sum(not finding["passed"] for finding in suite["findings"]),
        }
        for suite in suites
    }


def rules_blocks(suites: Sequence[Mapping[str, Any]]) -> list[Block]:
    broken = [row for suite in suites for row in _rows(suite, False)]
    blocks: list[Block] = [Text("Every rule that was run holds.")]
    if broken:
        blocks = [Table(_COLUMNS, broken, "Rules that do not hold.")]
    for suite in suites:
        if holding := _rows(suite, True):
            table = Table(_COLUMNS[1:], [row[1:] for row in holding], "Rules that hold.")
            blocks.append(Folded(f"{suite['suite']}: rules that hold, {len(holding)}", [table]))
    return blocks


def _rows(suite: Mapping[str, Any], passed: bool) -> list[list[str]]:
    return [
        [
            suite["suite"],
            finding["rule"],
            finding["column"],
            finding["severity"],
            "holds" if finding["passed"] else f"broken by {finding['num_unexpected']} values",
            _in_words(finding),
        ]
        for finding in suite["findings"]
        if finding["passed"] == passed
    ]


def _in_words(finding: Mapping[str, Any]) -> str:
    missing = finding["num_missing"]
    said = [finding["detail"], *finding["examples"]]
    return "; ".join(
        filter(None, [*said, f"{missing} missing values not looked at" * bool(missing)])
    )
