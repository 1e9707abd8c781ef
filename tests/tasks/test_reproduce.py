"""One stage, reproduced by the real DVC."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from tasks import children as children_module
from tasks.children import Children
from tasks.reproduce import StageFailed, has_remote, missing_inputs, outcome_of, reproduce

GRAPH = """
stages:
  first:
    cmd: cat source > first.out
    deps: [source]
    outs: [first.out]
  second:
    cmd: cat first.out > second.out
    deps: [first.out]
    outs: [second.out]
  broken:
    cmd: seq 100; exit 3
  slow:
    cmd: sleep 60
"""


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    dvc(root, "init", "-q")
    (root / "dvc.yaml").write_text(GRAPH)
    (root / "source").write_text("one")
    return root


def run(root: Path, stage: str, timeout_seconds: float | None = None) -> tuple[str | None, str]:
    with disable_run_logger():
        state = reproduce.fn(stage, root, Children(), timeout_seconds=timeout_seconds)
    assert state.is_completed()
    outcome: Any = state.data
    assert outcome.stage == stage
    assert outcome.seconds > 0
    return state.name, outcome.outcome


def test_the_state_says_what_dvc_did(checkout: Path) -> None:
    assert run(checkout, "first") == ("Completed", "ran")
    assert run(checkout, "first") == ("Skipped", "skipped")
    (checkout / "source").write_text("two")
    assert run(checkout, "first") == ("Completed", "ran")
    (checkout / "source").write_text("one")
    assert run(checkout, "first") == ("Restored", "restored")
    assert (checkout / "first.out").read_text() == "one"


def test_a_failure_names_stage_status_and_last_lines(checkout: Path) -> None:
    with pytest.raises(StageFailed) as caught:
        run(checkout, "broken")
    message = str(caught.value)
    assert message.startswith("stage 'broken' ended with exit status 255; last lines:")
    assert "\n100\n" in message
    assert "\n50\n" not in message


def test_a_stage_that_takes_too_long_is_killed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "GRACE_SECONDS", 1.0)
    with pytest.raises(StageFailed, match="'slow' was killed after 2 s, its timeout_seconds"):
        run(checkout, "slow", timeout_seconds=2.0)
    # DVC's own locks are free again.
    assert run(checkout, "first") == ("Completed", "ran")


def test_a_stage_may_quote_dvc() -> None:
    assert outcome_of("first", "Stage 'first' didn't change, skipping") == "skipped"
    assert outcome_of("first", "Stage 'second' didn't change, skipping") is None
    assert outcome_of("first", "> echo \"Running stage 'first':\"") is None


def test_output_that_quotes_dvc_does_not_count(checkout: Path) -> None:
    said = "Stage 'liar' didn't change, skipping"
    (checkout / "dvc.yaml").write_text(f'stages:\n  liar:\n    cmd: echo "{said}"\n')
    assert run(checkout, "liar") == ("Completed", "ran")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("config", "", False),
        ("config", "['remote \"far\"']\n    url = /far\n", False),
        ("config", "[core]\n    analytics = false\n    remote = far\n", True),
        ("config.local", "[core]\n    remote = far\n", True),
        ("config", "not a config", False),
    ],
)
def test_a_remote_counts_once_it_is_the_default(
    tmp_path: Path, name: str, text: str, expected: bool
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / name).write_text(text)
    assert has_remote(tmp_path) is expected


@pytest.fixture
def clone(checkout: Path, tmp_path: Path) -> Path:
    """A fresh clone in which `first` was last run on other bytes than `second` has seen."""
    dvc(checkout, "remote", "add", "-q", "-d", "near", str(tmp_path / "remote"))
    dvc(checkout, "repro", "-q", "second")
    dvc(checkout, "push", "-q")
    (checkout / "source").write_text("two")
    dvc(checkout, "repro", "-q", "--single-item", "first")
    dvc(checkout, "push", "-q")
    me = ("-c", "user.name=me", "-c", "user.email=me@example.com")
    subprocess.run(["git", "add", "-A"], cwd=checkout, check=True)
    subprocess.run(["git", *me, "commit", "-q", "-m", "x"], cwd=checkout, check=True)
    target = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(checkout), str(target)], check=True)
    return target


def test_an_absent_input_that_has_changed_is_no_reason_to_skip(clone: Path) -> None:
    assert run(clone, "first") == ("Skipped", "skipped")
    assert not (clone / "first.out").exists()
    assert missing_inputs(clone, "second") == ("first.out",)
    assert run(clone, "second") == ("Completed", "ran")
    assert (clone / "second.out").read_text() == "two"


def test_an_absent_input_of_a_stage_that_never_ran_here_is_fetched(clone: Path) -> None:
    graph = (clone / "dvc.yaml").read_text()
    (clone / "dvc.yaml").write_text(f"{graph}  third: {{cmd: cat first.out, deps: [first.out]}}\n")
    assert missing_inputs(clone, "third") == ("first.out",)
    (clone / "first.out").write_text("")
    assert missing_inputs(clone, "third") == ()


def test_an_absent_input_that_is_the_same_is_not_fetched(clone: Path) -> None:
    (clone / "source").write_text("one")
    assert run(clone, "first") == ("Completed", "ran")
    assert missing_inputs(clone, "second") == ()
    (clone / "first.out").unlink()
    assert missing_inputs(clone, "second") == ()
    assert run(clone, "second") == ("Skipped", "skipped")
    assert not (clone / "first.out").exists()


def test_an_absent_input_added_by_hand_is_compared_too(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(
        "stages:\n  judge:\n    cmd: x\n    deps:\n    - {path: models/champion, md5: old.dir}\n"
    )
    assert missing_inputs(tmp_path, "judge") == ()
    (tmp_path / "models").mkdir()
    for md5, expected in (("old.dir", ()), ("new.dir", ("models/champion",))):
        (tmp_path / "models" / "champion.dvc").write_text(
            f"outs:\n- {{path: champion, md5: {md5}}}\n"
        )
        assert missing_inputs(tmp_path, "judge") == expected
