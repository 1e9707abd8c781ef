"""Sections are strict, and a mistake is told by section and key."""

import pytest
from pydantic import ValidationError

from tasks.core.params import Run, Section, explain_validation

GOOD = {"seed": 0, "num_threads": 2, "precision": "float32", "device": "cpu"}


class Inner(Section):
    share: float


class Outer(Section):
    inner: Inner
    names: list[str]


def lines(model: type[Section], values: dict, section: str = "run") -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return explain_validation(section, caught.value, values)


def test_good_values_pass_and_stay():
    run = Run.model_validate(GOOD)
    assert run.model_dump() == GOOD
    with pytest.raises(ValidationError, match="frozen"):
        run.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"seed": -1}, "run.seed"),
        ({"seed": "0"}, "run.seed"),
        ({"seed": 0.0}, "run.seed"),
        ({"seed": True}, "run.seed"),
        ({"seed": None}, "run.seed"),
        ({"num_threads": 0}, "run.num_threads"),
        ({"precision": "fp8"}, "run.precision"),
        ({"device": "mps"}, "run.device"),
        ({"sede": 1}, "run.sede"),
    ],
)
def test_a_wrong_value_is_told_with_its_place_and_itself(changed, where):
    (line,) = lines(Run, {**GOOD, **changed})
    assert line.startswith(f"{where}: ")
    assert f"(given: {next(iter(changed.values()))!r})" in line


def test_a_missing_value_is_told():
    (line,) = lines(Run, {key: value for key, value in GOOD.items() if key != "seed"})
    assert line == "run.seed: Field required"


def test_every_mistake_has_a_line_and_its_whole_path():
    found = lines(Outer, {"inner": {"share": "x", "more": 1}, "names": ["a", 2]}, "some")
    assert [line.split(":")[0] for line in found] == [
        "some.inner.share",
        "some.inner.more",
        "some.names.1",
    ]


def test_a_section_that_is_no_mapping_is_told():
    (line,) = lines(Run, None)  # type: ignore[arg-type]
    assert line.startswith("run: ")


def test_the_kind_of_a_source_is_no_part_of_where_a_mistake_is():
    from tasks.ingest import Params

    values = {
        "sources": {"digits": {"type": "digits", "fault": 1}},
        "keep_metadata": False,
        "shard_bytes": 1_000_000,
    }
    (line,) = lines(Params, values, "ingest")
    assert line.startswith("ingest.sources.digits.fault: ")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            {"type": "freshness", "oldest": None, "newest": None},
            ": Value error, expected oldest or",
        ),
        ({"type": "freshness", "oldest": None}, ".newest: Field required"),
        ({"type": "fresh"}, ": Input tag 'fresh' found using 'type'"),
    ],
)
def test_the_kind_of_a_rule_is_no_part_of_where_a_mistake_is(rule, told):
    from tasks.validate import Expectations

    values = {"raw": [{**rule, "severity": "warning"}], "measures": []}
    assert lines(Expectations, values, "validate")[0].startswith(f"validate.raw.0{told}")
