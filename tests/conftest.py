"""Parts outside Python that some tests need, and no telemetry from any test.

`@pytest.mark.needs("chromium")` skips a test where the part is missing, and the end of the run
lists what was left out. With REQUIRE_ALL=1 a missing part fails the test: in CI nothing is skipped
unseen. What nobody can install on demand (`required=False`) is a skip even then.

`make test` runs two tests at a time. Those of one module stay together, as do those that share a
checkout or a Prefect server, which take long to make.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


class Part(NamedTuple):
    """How to tell that a part is there, and whether REQUIRE_ALL=1 insists on it."""

    is_present: Callable[[], bool]
    required: bool = True


def _has_postgresql() -> bool:
    # Debian keeps the server's programs off PATH, in a folder per version.
    on_debian = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    return shutil.which("pg_ctl") is not None or any(on_debian)


def _can_mount_tmpfs() -> bool:
    # A container's root may lack the right to mount, so only trying tells.
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            return False
        return subprocess.run(["umount", folder], capture_output=True).returncode == 0


def _has_cifar10() -> bool:
    return bool(folder := os.environ.get("TILTH_CIFAR10")) and Path(folder).is_dir()


def _has_torchmetrics() -> bool:
    return importlib.util.find_spec("torchmetrics") is not None


def _has_cuda() -> bool:
    import torch  # takes seconds, and few runs ask

    return torch.cuda.is_available()


# Tests of one of these folders share what takes long to make.
SHARING = ("end_to_end", "flows")

PARTS = {
    "chromium": Part(lambda: shutil.which("chromium") is not None),
    "postgresql": Part(_has_postgresql),
    "tmpfs": Part(_can_mount_tmpfs),
    "cifar10": Part(_has_cifar10, required=False),
    "cuda": Part(_has_cuda, required=False),
    # Where it is installed, the loop's libraries take seconds more to import: no dependency.
    "torchmetrics": Part(_has_torchmetrics, required=False),
}


@cache
def _is_present(part: str) -> bool:
    return PARTS[part].is_present()


def _parts(item: pytest.Item) -> list[str]:
    return [part for mark in item.iter_markers("needs") for part in mark.args]


def pytest_configure() -> None:
    # A shell that starts the tests in the background hands down that Ctrl-C be ignored, to every
    # process that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Before collection: the libraries read these when they are imported.
    os.environ.update(TELEMETRY_OFF)
    # Two threads for a tiny net take four times the processor's time of one, and those of the
    # tests beside wait for it.
    for name in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{name}_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # In CI the same commit gets the same verdict; elsewhere every run looks for new examples.
    settings.register_profile("repeatable", derandomize=True)
    if os.environ.get("REQUIRE_ALL") == "1":
        settings.load_profile("repeatable")


# There are sessions without pytest-xdist.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return next((name for name in SHARING if f"/{name}/" in module), module)

    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parts = _parts(item)
        if item.get_closest_marker("needs") and not parts:
            raise pytest.UsageError(f"{item.nodeid}: needs() names no part")
        # A misspelt part would be missing everywhere, and its test skipped for ever.
        if unknown := sorted(set(parts) - set(PARTS)):
            raise pytest.UsageError(
                f"{item.nodeid}: needs {unknown}, expected some of {sorted(PARTS)}"
            )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for part in _parts(item):
        if _is_present(part):
            continue
        if os.environ.get("REQUIRE_ALL") == "1" and PARTS[part].required:
            pytest.fail(f"needs {part}, which REQUIRE_ALL=1 does not let pass", pytrace=False)
        pytest.skip(f"needs {part}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        # A skip's longrepr is (file, line, "Skipped: reason").
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if reason.startswith("Skipped: needs "):
            part = reason.removeprefix("Skipped: needs ")
            left_out.setdefault(part, []).append(report.nodeid)
    if left_out:
        terminalreporter.section("not run: a part is missing")
    for part, tests in sorted(left_out.items()):
        terminalreporter.write_line(f"needs {part}:")
        for test in tests:
            terminalreporter.write_line(f"    {test}")
