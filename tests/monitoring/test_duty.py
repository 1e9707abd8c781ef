"""The commands on duty, from the store to a receiver, as cron calls them."""

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from monitoring.__main__ import main
from monitoring.duty import load_alerts
from monitoring.kept import load_episodes
from monitoring.store import DEFAULT_STORE, Store, parse_store
from tasks.core.errors import ParamsError
from tests.monitoring.planted import ROOT
from tests.monitoring.test_posting import answers, serving
from tests.monitoring.test_watch import DAY, DRIFTED, NOON, fill

ALERTS = """
hours: 24.0
links: {what to do: "https://example.org/drift"}
channels:
  on call: {type: webhook, url: env:HOOK, allow_private: true, timeout_seconds: 5.0}
"""
COMMANDS = ["--alerts", "alerts.yaml"]


@pytest.fixture
def duty(project: Path) -> Path:
    """The project, with who is to be told."""
    (project / "alerts.yaml").write_text(ALERTS)
    return project


def run(command: str, at: datetime, *more: str) -> int:
    return main([command, *COMMANDS, "--as-of", at.isoformat(), *more])


def watch(day: int, **changed) -> int:
    store = Store(parse_store(DEFAULT_STORE))
    sha256 = hashlib.sha256(Path("classifier.onnx").read_bytes()).hexdigest()
    span = fill(store, day, model_sha256=sha256, **changed)
    store.close()
    return run("watch", span.end, "--champion", ".")


def test_drift_is_watched_delivered_silenced_and_over(duty, capsys, monkeypatch):
    assert [watch(day, **DRIFTED) for day in (0, 1)] == [0, 0]
    assert all(line.startswith("drift; ") for line in capsys.readouterr().out.splitlines())
    with serving(answers("200 OK")) as (url, received):
        monkeypatch.setenv("HOOK", url)
        for minutes in (0, 5):
            assert run("deliver", NOON + DAY + timedelta(minutes=1 + minutes)) == 0
    assert capsys.readouterr().out == "on call: delivered\n"
    (request,) = received
    alert = json.loads(request.partition(b"\r\n\r\n")[2])
    assert alert["title"].startswith("Drift")
    assert alert["links"]["what to do"] == "https://example.org/drift"
    assert alert["facts"]["retraining"].startswith("takes in no labels of production")
    report = Path(alert["links"]["report"])
    assert report.is_file() and report.with_suffix(".json").is_file()
    assert main(["silence", alert["fingerprint"], "--hours", "48"]) == 0
    kept = load_episodes(Store(parse_store(DEFAULT_STORE)))["drift"]
    assert kept.silenced_until is not None


def test_missed_checks_are_told_once_and_again_after_the_next(duty, capsys, monkeypatch):
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9")
    assert run("deliver", NOON) == 0
    watch(0)
    assert run("deliver", NOON + 2 * DAY) == 0
    assert capsys.readouterr().out.count("on call") == 0
    with serving(answers("200 OK")) as (url, received):
        monkeypatch.setenv("HOOK", url)
        for hours in (1, 2, 30):
            run("deliver", NOON + 2 * DAY + timedelta(hours=hours))
        watch(4)
        run("deliver", NOON + 4 * DAY)
        run("deliver", NOON + 7 * DAY)
    titles = [json.loads(one.partition(b"\r\n\r\n")[2])["title"] for one in received]
    assert titles == ["Nobody watches the model"] * 2


def test_an_episode_of_another_name_is_told(duty, capsys):
    assert main(["silence", "nothing", "--hours", "1"]) == 2
    assert "no episode is named 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ("hours: 24.0=>hours: 0.0", "alerts.hours: Input should be greater than 0"),
        ("type: webhook=>type: pigeon", "alerts.channels.on call: Input tag 'pigeon'"),
        ("env:HOOK, =>env:HOOK, user: me, ", "alerts.channels.on call.user: Extra inputs"),
        ("on call=>'<b>'", "alerts.channels.<b>"),
    ],
)
def test_mistakes_are_told_by_their_place(duty, edit, told):
    before, after = edit.split("=>")
    Path("alerts.yaml").write_text(ALERTS.replace(before, after))
    with pytest.raises(ParamsError) as caught:
        load_alerts(Path("alerts.yaml"))
    assert told in str(caught.value)


def test_the_file_of_the_project_is_sound():
    assert load_alerts(ROOT / "alerts.yaml").channels == {}
