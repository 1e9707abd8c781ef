"""A report shows its window, and nothing that a name holds can run in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from monitoring.baseline import comparable
from monitoring.reports import (
    NothingToShow,
    Report,
    build_page,
    make_report,
    save_report,
    shown_columns,
    write_report,
)
from tasks.core.errors import ArtifactError
from tests.monitoring.planted import a_baseline, a_window
from tests.pages.browser import dump, elsewhere_opened

MARK = "document.documentElement.dataset.ran=1"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    with elsewhere_opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(elsewhere: tuple[str, list[str]]) -> Report:
    """Of more rows than are shown, a third of them of a hostile group."""
    hostile = f"</script><script>{MARK}</script><img src={elsewhere[0]}/x onerror={MARK}>"
    window = a_window(2500, shift=0.5, darker=0.1)
    groups = [hostile if number % 3 == 0 else value for number, value in enumerate(window["group"])]
    baseline = a_baseline(num_permutations=399)
    before, now, columns = comparable(baseline, window.assign(group=groups))
    return make_report(before, now, columns, f"drift in {hostile}", 2000, 0)


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


def drawn(report: Report, folder: Path) -> tuple[str, str]:
    """What a browser makes of it: the document without its scripts, and the browser's log."""
    save_report(report, folder / "report.html")
    document, log = dump(
        folder / "report.html", folder, "--dump-dom", "--virtual-time-budget=20000"
    )
    return re.sub(r"<script.*?</script>", "", document, flags=re.DOTALL), log


@pytest.mark.needs("chromium")
def test_a_browser_draws_it_runs_nothing_else_and_asks_nobody(
    report: Report, elsewhere: tuple[str, list[str]], tmp_path: Path
) -> None:
    document, log = drawn(report, tmp_path)
    assert (
        "drift in &lt;/script&gt;" in document
        and "Dataset Drift" in document
        and "brightness" in document
        and "group" in document
    )
    assert "data-ran" not in document and elsewhere[1] == []
    assert not re.search(r"Refused|Content Security Policy|Uncaught", log), log


@pytest.mark.needs("chromium")
def test_without_the_escaping_the_policy_still_holds(
    report: Report, elsewhere: tuple[str, list[str]], tmp_path: Path
) -> None:
    unescaped = report.page.replace("\\u003c", "<").replace("\\u003e", ">")
    document, log = drawn(report._replace(page=unescaped), tmp_path)
    assert "data-ran" not in document and elsewhere[1] == []
    assert re.search(r"Refused|Content Security Policy", log)


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
    shown, _ = shown_columns(before, before, list(map(str, before)))
    assert [*shown] == ["number", "flag", "list"]
    assert shown["number"].notna().sum() == 40
    wide = pd.DataFrame({f"m{number}": [0.0, 1.0] for number in range(40)})
    assert len(shown_columns(wide, wide, list(map(str, wide)))[0].columns) == 24


def test_a_window_without_usable_rows_has_no_report() -> None:
    baseline = a_baseline(num_permutations=399)
    for window in (a_window(0), a_window(5).assign(refused="truncated"), pd.DataFrame()):
        with pytest.raises(ArtifactError, match="no report: the window"):
            comparable(baseline, window)


def test_nothing_to_show_is_told_apart_from_nowhere_to_write(tmp_path: Path) -> None:
    baseline = a_baseline(num_permutations=399)
    with pytest.raises(NothingToShow, match="no usable predictions"):
        write_report(baseline, a_window(0), "empty", tmp_path / "report.html")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_report(baseline, a_window(200), "quiet", tmp_path / "file" / "report.html")


def test_a_page_of_another_form_is_refused() -> None:
    with pytest.raises(ArtifactError, match="another page"):
        build_page("<html></html>", "quiet")
