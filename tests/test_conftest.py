"""The mark `needs`, tried in test sessions of their own that use the real conftest and settings."""

import re
import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]

TESTS = """
    import os
    import pytest

    @pytest.mark.needs("chromium")
    def test_absent():
        pass

    @pytest.mark.needs("postgresql")
    def test_present():
        pass

    @pytest.mark.needs("postgresql", "cifar10")
    def test_optional():
        pass

    def test_other_skip():
        pytest.skip("no need today")

    def test_telemetry():
        assert os.environ["DO_NOT_TRACK"] == "1"
        assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
"""

ONE_TEST = """
    import pytest

    @pytest.mark.needs({})
    def test_one():
        pass
"""


@pytest.fixture
def session(pytester, monkeypatch):
    """Runs a test module where there is PostgreSQL, but neither Chromium nor CIFAR-10."""
    # The plugins that other packages bring cost a second in each of these sessions.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED", "REQUIRE_ALL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TILTH_CIFAR10", str(pytester.path / "nowhere"))
    shutil.copy(ROOT / "pyproject.toml", pytester.path)
    conftest = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    for part, present in (("chromium", False), ("postgresql", True)):
        known = f'"{part}": Part(lambda: {present}),'
        conftest, count = re.subn(rf'"{part}": Part\(.*\),', known, conftest)
        assert count == 1
    tests = pytester.mkdir("tests")
    (tests / "conftest.py").write_text(conftest, encoding="utf-8")

    def run(body: str):
        pytester.makepyfile(body).rename(tests / "test_parts.py")
        return pytester.runpytest_subprocess("-p", "pytest_timeout")

    return run


def test_a_missing_part_is_skipped_and_listed(session):
    result = session(TESTS)
    result.assert_outcomes(passed=2, skipped=3)
    result.stdout.fnmatch_lines(
        [
            "*not run: a part is missing*",
            "needs chromium:",
            "*test_parts.py::test_absent",
            "needs cifar10:",
            "*test_parts.py::test_optional",
        ],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*test_other_skip*")


def test_a_missing_part_fails_where_all_are_required_but_optional_data_never(session, monkeypatch):
    monkeypatch.setenv("REQUIRE_ALL", "1")
    result = session(TESTS)
    result.assert_outcomes(passed=2, skipped=2, errors=1)
    result.stdout.fnmatch_lines(["needs chromium, which REQUIRE_ALL=1 does not let pass"])
    result.stdout.fnmatch_lines(["*not run: a part is missing*", "needs cifar10:"])
    result.stdout.no_fnmatch_line("needs chromium:")


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ('"chromuim"', "*test_one: needs ?'chromuim'?, expected some of *'chromium'*"),
        ("", "*test_one: needs() names no part*"),
    ],
)
def test_a_mark_that_could_never_be_met_stops_the_run(session, parts, complaint):
    result = session(ONE_TEST.format(parts))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([complaint])
