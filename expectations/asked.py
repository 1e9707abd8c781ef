"""What users expect beyond the suites: rules that stand in params.yaml.

Each is checked when params.yaml is read. Bounds that are null bound nothing. Names of expectations
are read from the files of Great Expectations, so that a slip is told without its import; only who
names one pays for the import, once per change, so that its arguments are checked as well.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from expectations.check import build_expectation
from expectations.suites import Rule, Severity, Suite, day_number, rows_of_class
from tasks.core.names import Label
from tasks.core.params import Section

# What we say ourselves of every rule.
_RESERVED = {"id", "meta", "severity"}
_LITERAL = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


class _Bounded(Section):
    """At least one bound is given, and they leave room."""

    least: PositiveInt | None
    most: PositiveInt | None
    severity: Severity

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        _check_bounds(self.least, self.most, "least", "most")
        return self

    def _within(self, column: str) -> Rule:
        return _between(column, self.least, self.most, self.severity)


class AllowedLabels(Section):
    """Every label is one of these; a row may have none."""

    type: Literal["allowed_labels"]
    labels: Annotated[list[Label], Field(min_length=1)]
    severity: Severity

    def rules(self) -> list[Rule]:
        arguments = {"column": "label", "value_set": list(self.labels)}
        return [Rule("ExpectColumnValuesToBeInSet", arguments, self.severity, True)]


class RowsPerClass(_Bounded):
    type: Literal["rows_per_class"]

    def rules(self) -> list[Rule]:
        return [self._within(rows_of_class())]


class RowsPerClassOfSplit(_Bounded):
    """A class without any row in the split has 0 of them."""

    type: Literal["rows_per_class"]
    split: Literal["train", "val", "test"]

    def rules(self) -> list[Rule]:
        return [self._within(rows_of_class(self.split))]


class Resolution(_Bounded):
    """Pixels, of both sides."""

    type: Literal["resolution"]

    def rules(self) -> list[Rule]:
        return [self._within("width"), self._within("height")]


def _as_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError('expected a day as "2026-01-31"') from None


Day = Annotated[str, AfterValidator(_as_day)]


class Freshness(Section):
    """Images were captured between the two days, in UTC; no clock is read. Days stand in quotes:
    DVC stops at others."""

    type: Literal["freshness"]
    oldest: Day | None
    newest: Day | None
    severity: Severity

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        _check_bounds(self.oldest, self.newest, "oldest", "newest")
        return self

    def rules(self) -> list[Rule]:
        oldest, newest = (day and day_number(day) for day in (self.oldest, self.newest))
        return [_between("captured_on", oldest, newest, self.severity)]


class Named(Section):
    """Any expectation of Great Expectations by its registered name, with its arguments."""

    type: Literal["expectation"]
    name: str
    arguments: dict[str, Any]
    severity: Severity

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.name not in (known := expectation_names()):
            raise ValueError(
                f"Great Expectations has no {self.name!r}; it has {', '.join(sorted(known))}"
            )
        if reserved := sorted(_RESERVED & set(self.arguments)):
            raise ValueError(f"{self.name}: {reserved} are no arguments here")
        for regex in _regexes(self.arguments):
            if "$" in _LITERAL.sub("", regex):
                raise ValueError(
                    rf"{self.name}: in {regex!r} `$` also matches before a newline; expected `\Z`"
                )
        build_expectation(self.rules()[0])
        return self

    def rules(self) -> list[Rule]:
        judges_missing = self.name == "ExpectColumnValuesToBeNull"
        return [Rule(self.name, dict(self.arguments), self.severity, not judges_missing)]


# What may be asked of which table.
RowsRule = Annotated[AllowedLabels | RowsPerClass | Freshness | Named, Field(discriminator="type")]
MeasuresRule = Annotated[Resolution | Named, Field(discriminator="type")]
SplitsRule = Annotated[AllowedLabels | RowsPerClassOfSplit | Named, Field(discriminator="type")]
BalancedRule = Annotated[AllowedLabels | RowsPerClass | Named, Field(discriminator="type")]
PredictionsRule = BalancedRule


def extend(suite: Suite, asked: Sequence[RowsRule | MeasuresRule | SplitsRule]) -> Suite:
    """The suite with the rules that were asked for, and the columns which those need."""
    rules = [rule for one in asked for rule in one.rules()]
    columns = [*suite.columns, *(column for rule in rules for column in rule.columns())]
    return suite._replace(columns=list(dict.fromkeys(columns)), rules=[*suite.rules, *rules])


@cache
def expectation_names() -> frozenset[str]:
    """The names that Great Expectations registers, read without importing it."""
    spec = find_spec("great_expectations")
    assert spec is not None and spec.origin is not None
    listed = Path(spec.origin).parent / "expectations" / "__init__.py"
    return frozenset(re.findall(r"\bExpect[A-Z]\w+", listed.read_text(encoding="utf-8")))


def _regexes(arguments: dict[str, Any]) -> list[str]:
    listed = arguments.get("regex_list", [])
    return [
        one
        for one in [arguments.get("regex"), *(listed if isinstance(listed, list) else [])]
        if isinstance(one, str)
    ]


def _check_bounds(low: Any, high: Any, *names: str) -> None:
    if low is None and high is None:
        raise ValueError(f"expected {' or '.join(names)}")
    if low is not None and high is not None and low > high:
        raise ValueError(f"{names[0]} {low} exceeds {names[1]} {high}")


def _between(column: str, low: Any, high: Any, severity: Severity) -> Rule:
    arguments = {"column": column, "min_value": low, "max_value": high}
    return Rule("ExpectColumnValuesToBeBetween", arguments, severity, True)
