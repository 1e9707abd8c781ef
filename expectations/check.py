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
_UNIQUE = "ExpectColumnValuesToBeUnique"


class Finding(NamedTuple):
    """One rule's result. `num_missing`: missing values, which a rule about values does not look at.
    `examples`: up to five values that broke it, as text."""

    rule: str
    column: str
    severity: str
    passed: bool
    num_unexpected: int
    num_missing: int
    detail: str
    examples: list[str]


class Checked(NamedTuple):
    """What a suite found."""

    suite: str
    num_rows: int
    findings: list[Finding]

    def broken(self) -> list[str]:
        """One line per critical rule that does not hold."""
        return self._not_passed("critical")

    def warnings(self) -> list[str]:
        """One line per other rule that does not hold."""
        return self._not_passed("warning")

    def _not_passed(self, severity: str) -> list[str]:
        return [
            f"suite {self.suite}: {finding.rule} {finding.column}".rstrip() + f": {finding.detail}"
            for finding in self.findings
            if finding.severity == severity and not finding.passed
        ]

    def document(self) -> dict[str, Any]:
        """Canonical JSON: no ids, no clocks."""
        findings = [finding._asdict() for finding in self.findings]
        return {**self._asdict(), "findings": findings, "passed": not self.broken()}


def preload() -> None:
    """Imports Great Expectations in the background: it takes seconds, in which a stage that will
    run a suite may wait for its workers."""
    Thread(target=_great_expectations, daemon=True).start()


def _great_expectations() -> Any:
    # Four seconds to import: only for those who run a suite.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    return import_module("great_expectations")


def build_expectation(rule: Rule, **more: Any) -> Any:
    """Raises ValueError for arguments that the expectation does not take."""
    kind = getattr(_great_expectations().expectations, rule.expectation)
    try:
        return kind(**rule.arguments, **more)
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())) from None


def check(suite: Suite, frame: pd.DataFrame) -> Checked:
    """Runs every rule of a suite.

    Great Expectations passes rules on columns that are missing, empty or infinite, so the schema,
    the number of rows and finiteness are checked first; rules run only on a frame that has them.
    It also takes texts that people cannot tell apart for unique: those are a warning.
    """
    findings = _preconditions(suite, frame)
    if all(finding.passed for finding in findings):
        findings += _run_rules(suite, frame)
        findings += [_told_apart(frame[column]) for column in _columns_told_apart(suite)]
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
    said = "" if passed else detail
    return Finding(rule, column, "critical", passed, num_unexpected, 0, said, [])


def _columns_told_apart(suite: Suite) -> list[str]:
    unique = [
        column for rule in suite.rules if rule.expectation == _UNIQUE for column in rule.columns()
    ]
    return list(dict.fromkeys([*suite.told_apart, *unique]))


def _told_apart(values: pd.Series) -> Finding:
    """A warning where texts differ in nothing but case, spaces around them or Unicode form."""
    texts = values.dropna().drop_duplicates()
    alike = texts.iloc[:0]
    if pd.api.types.is_string_dtype(texts):
        folded = texts.str.normalize("NFKC").str.strip().str.casefold()
        alike = texts[folded.duplicated(keep=False).to_numpy()]
    return Finding(
        rule="values can be told apart",
        column=str(values.name),
        severity="warning",
        passed=alike.empty,
        num_unexpected=len(alike),
        num_missing=0,
        detail="" if alike.empty else "they differ only in case, spaces or Unicode form",
        examples=[repr(text) for text in alike.iloc[:_NUM_EXAMPLES]],
    )


def _run_rules(suite: Suite, frame: pd.DataFrame) -> list[Finding]:
    gx = _great_expectations()
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    # Its metrics compare values row by row as Python objects; pandas' own missing marker has no
    # truth value there.
    named = frame[_columns_named(suite, frame)]
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
        build_expectation(rule, meta={"rule": number}) for number, rule in enumerate(suite.rules)
    ]
    validated = batch.validate(
        gx.ExpectationSuite(suite.name, expectations=expected), result_format="BASIC"
    )
    results = {result.expectation_config.meta["rule"]: result for result in validated.results}
    return [_judged(rule, results[number], frame) for number, rule in enumerate(suite.rules)]


def _columns_named(suite: Suite, frame: pd.DataFrame) -> list[str]:
    """Those that rules name, as Great Expectations hashes all that it is handed; all of them if a
    rule is about the table or about some of its rows."""
    if any(not rule.columns() or "row_condition" in rule.arguments for rule in suite.rules):
        return list(frame.columns)
    return sorted({column for rule in suite.rules for column in rule.columns()})


def _judged(rule: Rule, result: Any, frame: pd.DataFrame) -> Finding:
    raised = result.exception_info if isinstance(result.exception_info, dict) else {}
    messages = [
        str(one["exception_message"])
        for one in [raised, *raised.values()]
        if isinstance(one, dict) and one.get("exception_message")
    ]
    outcome = result.result or {}
    examples = [repr(value) for value in outcome.get("partial_unexpected_list", [])]
    missing = frame[rule.columns()].isna()
    judges_missing = rule.expectation.endswith("Null")
    unseen = rule.needs_values and bool(missing.all().any())
    passed = bool(result.success) and not messages and not unseen
    detail = messages[0] if messages else "no value to look at" if unseen else _in_words(rule)
    return Finding(
        rule=rule.expectation,
        column=", ".join(rule.columns()),
        severity=rule.severity,
        passed=passed,
        num_unexpected=int(outcome.get("unexpected_count") or 0),
        num_missing=0 if judges_missing else int(missing.any(axis=1).sum()),
        detail="" if passed else detail,
        examples=examples[:_NUM_EXAMPLES],
    )


def _in_words(rule: Rule) -> str:
    arguments = {key: value for key, value in rule.arguments.items() if key != "column"}
    expected = ", ".join(f"{key} {value}" for key, value in arguments.items() if value is not None)
    return f"expected {expected}" if expected else "expected of every value"
