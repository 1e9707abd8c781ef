"""Runs a suite on a table through Great Expectations, and says what failed as plain data."""

import logging
import os
from importlib import import_module
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from expectations.suites import Rule, Suite
from tasks.core.errors import VerdictError

_NUM_EXAMPLES = 5


class Finding(NamedTuple):
    """One rule's result. `examples`: up to five values that broke it, as text."""

    rule: str
    column: str
    severity: str
    passed: bool
    num_unexpected: int
    detail: str
    examples: list[str]


class Checked(NamedTuple):
    """What a suite found."""

    suite: str
    num_rows: int
    findings: list[Finding]

    def broken(self) -> list[str]:
        """One line per critical rule that does not hold."""
        return [
            f"suite {self.suite}: {finding.rule} {finding.column}".rstrip() + f": {finding.detail}"
            for finding in self.findings
            if finding.severity == "critical" and not finding.passed
        ]

    def document(self) -> dict[str, Any]:
        """Canonical JSON: no ids, no clocks."""
        findings = [finding._asdict() for finding in self.findings]
        return {**self._asdict(), "findings": findings, "passed": not self.broken()}


def preload() -> None:
    """Imports Great Expectations in the background: it takes seconds, in which a stage that will
    run a suite may wait for its workers."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    Thread(target=import_module, args=("great_expectations",), daemon=True).start()


def check(suite: Suite, frame: pd.DataFrame) -> Checked:
    """Runs every rule of a suite.

    Great Expectations passes rules on columns that are missing, empty or infinite, so the schema,
    the number of rows and finiteness are checked first; rules run only on a frame that has them.
    """
    findings = _preconditions(suite, frame)
    if all(finding.passed for finding in findings):
        findings += _run_rules(suite, frame)
    return Checked(suite.name, len(frame), findings)


def refuse_broken(*checks: Checked) -> None:
    """Raises VerdictError if a critical rule does not hold."""
    broken = [line for checked in checks for line in checked.broken()]
    if broken:
        raise VerdictError("\n  ".join(["the rows break what is expected of them:", *broken]))


def _preconditions(suite: Suite, frame: pd.DataFrame) -> list[Finding]:
    missing = [column for column in suite.columns if column not in frame.columns]
    repeated = sorted(set(frame.columns[frame.columns.duplicated()]))
    infinite = [
        column
        for column in frame.select_dtypes("number").columns
        if not repeated and np.isinf(frame[column].to_numpy(dtype=float, na_value=np.nan)).any()
    ]
    return [
        _finding("columns are there", "", not missing, f"missing: {missing}", len(missing)),
        _finding("columns are named once", "", not repeated, f"repeated: {repeated}"),
        _finding("numbers are finite", "", not infinite, f"infinite values in: {infinite}"),
        _finding(
            "enough rows",
            "",
            len(frame) >= suite.min_rows,
            f"{len(frame)} rows, expected at least {suite.min_rows}",
        ),
    ]


def _finding(rule: str, column: str, passed: bool, detail: str, num_unexpected: int = 0) -> Finding:
    return Finding(rule, column, "critical", passed, num_unexpected, "" if passed else detail, [])


def _run_rules(suite: Suite, frame: pd.DataFrame) -> list[Finding]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    # Four seconds to import: only for those who run a suite.
    import great_expectations as gx

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    # Only what rules name: Great Expectations hashes all that it is handed. Its metrics compare
    # values row by row as Python objects; pandas' own missing marker has no truth value there.
    named = frame[sorted({rule.arguments["column"] for rule in suite.rules})]
    plain = named.astype(dict.fromkeys(named.select_dtypes("string").columns, object)).where(
        named.notna(), None
    )
    batch = (
        context.data_sources.add_pandas("tilth")
        .add_dataframe_asset(suite.name)
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": plain})
    )
    expected = [
        getattr(gx.expectations, rule.expectation)(**rule.arguments, meta={"rule": number})
        for number, rule in enumerate(suite.rules)
    ]
    validated = batch.validate(
        gx.ExpectationSuite(suite.name, expectations=expected), result_format="BASIC"
    )
    results = {result.expectation_config.meta["rule"]: result for result in validated.results}
    return [_judged(rule, results[number]) for number, rule in enumerate(suite.rules)]


def _judged(rule: Rule, result: Any) -> Finding:
    raised = result.exception_info if isinstance(result.exception_info, dict) else {}
    messages = [
        str(one["exception_message"])
        for one in [raised, *raised.values()]
        if isinstance(one, dict) and one.get("exception_message")
    ]
    outcome = result.result or {}
    examples = [repr(value) for value in outcome.get("partial_unexpected_list", [])]
    detail = messages[0] if messages else _in_words(rule)
    return Finding(
        rule=rule.expectation,
        column=str(rule.arguments.get("column", "")),
        severity=rule.severity,
        passed=bool(result.success) and not messages,
        num_unexpected=int(outcome.get("unexpected_count") or 0),
        detail="" if result.success and not messages else detail,
        examples=examples[:_NUM_EXAMPLES],
    )


def _in_words(rule: Rule) -> str:
    arguments = {key: value for key, value in rule.arguments.items() if key != "column"}
    expected = ", ".join(f"{key} {value}" for key, value in arguments.items() if value is not None)
    return f"expected {expected}" if expected else "expected of every value"
