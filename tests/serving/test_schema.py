"""Schemathesis asks all that the OpenAPI document allows, and much that it forbids."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from benchmarks.served import serving
from tests.serving.champions import make_onnx, publish

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    publish(folder, make_onnx())
    with serving(folder) as server:
        document = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
        yield [found.ok() for found in document.get_all_operations()]  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", GenerationMode)
def test_nothing_that_is_asked_is_an_error_of_ours(operations, mode):
    statuses = set()
    # What takes nothing cannot be asked wrongly.
    for operation in [one for one in operations if one.body or mode == GenerationMode.POSITIVE]:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),  # type: ignore[arg-type]
        )
        def ask(case):
            response = case.call()
            case.validate_response(response, checks=CHECKS)
            statuses.add(response.status_code)

        ask()
    assert 422 in statuses if mode == GenerationMode.NEGATIVE else {200, 202} <= statuses
