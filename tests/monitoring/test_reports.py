"""A report shows its window, and nothing that a name holds can run in it."""

import re
from pathlib import Path

import pandas as pd
import pytest

from monitoring.baseline import comparable
from monitoring.reports import Report, build_page, make_report, save_report, shown_columns
from tasks.core.errors import ArtifactError
from tests.monitoring.planted import a_baseline, a_window
from tests.pages.browser import dump, elsewhere_opened

MARK = "document.documentElement.dataset.ran=1"
HOSTILE = f"</script><script>{MARK}</script><img src=x onerror={MARK}>"


@pytest.fixture(scope="module")
def report() -> Report:
    """Of more rows than are shown, some of an hostile group."""
    window = a_window(2500, shift=0.5, darker=0.1)
    groups = [HOSTILE if number % 3 == 0 else value for number, value in enumerate(window["group"])]
    baseline = a_baseline(num_permutations=399)
    before, now, columns = comparable(baseline, window.assign(group=groups))
    return make_report(before, now, columns, 2000, 0)


def test_a_page_is_small_and_its_text_ends_no_script(report: Report) -> None:
    assert len(report.page.encode()) <= 1_500_000
    assert report.page.count("<script") == report.page.count("</script>") == 3
    assert "\\u003c/script\\u003e" in report.page


def test_the_bundle_is_written_once_for_all_reports(report: Report, tmp_path: Path) -> None:
    save_report(report, tmp_path / "a.html")
    first = (tmp_path / report.bundle_name).stat()
    save_report(report, tmp_path / "b.html")
    assert (tmp_path / report.bundle_name).stat().st_mtime_ns == first.st_mtime_ns
    (tmp_path / report.bundle_name).write_bytes(b"torn")
    save_report(report, tmp_path / "b.html")
    assert (tmp_path / report.bundle_name).stat().st_size == first.st_size
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "b.html", report.bundle_name}


@pytest.mark.needs("chromium")
def test_a_browser_draws_it_runs_nothing_else_and_asks_nobody(
    report: Report, tmp_path: Path
) -> None:
    with elsewhere_opened() as (address, asked):
        hostile = report.page.replace("onerror=", f"src={address}/x onerror=")
        save_report(report._replace(page=hostile), tmp_path / "unsound.html")
        save_report(report, tmp_path / "report.html")
        document, log = dump(
            tmp_path / "report.html", tmp_path, "--dump-dom", "--virtual-time-budget=20000"
        )
    assert "data-ran" not in document
    assert "brightness" in document and "Drift" in document
    assert not re.search(r"Refused|Content Security Policy|Uncaught", log), log
    assert asked == []


def test_columns_that_cannot_be_drawn_are_left_out() -> None:
    before = pd.DataFrame(
        {
            "number": [0.1, float("inf"), None] * 40,
            "nothing": [None] * 120,
            "name": [f"row {number}" for number in range(120)],
            "flag": [True, False] * 60,
            "list": [[1.0]] * 120,
        }
    )
    shown, _ = shown_columns(before, before, [*before])
    assert [*shown] == ["number", "flag", "list"]
    assert shown["number"].notna().sum() == 40
    wide = pd.DataFrame({f"m{number}": [0.0, 1.0] for number in range(40)})
    assert len(shown_columns(wide, wide, [*wide])[0].columns) == 24


def test_a_window_without_usable_rows_has_no_report() -> None:
    baseline = a_baseline(num_permutations=399)
    for window in (a_window(0), a_window(5).assign(refused="truncated"), pd.DataFrame()):
        with pytest.raises(ArtifactError, match="no report: the window"):
            comparable(baseline, window)


def test_a_page_of_another_form_is_refused() -> None:
    with pytest.raises(ArtifactError, match="another page"):
        build_page("<html></html>")
