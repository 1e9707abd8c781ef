"""The flow on duty against a real Prefect server, a real store and a real receiver."""

import hashlib
import json
from pathlib import Path

import pytest

from monitoring.store import DEFAULT_STORE, Store, parse_store
from tests.monitoring.conftest import project  # noqa: F401
from tests.monitoring.planted import ROOT
from tests.monitoring.test_duty import ALERTS
from tests.monitoring.test_posting import answers, serving
from tests.monitoring.test_watch import DRIFTED, fill


@pytest.fixture
def published(project, monkeypatch) -> Path:  # noqa: F811
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (project / "alerts.yaml").write_text(ALERTS)
    champion = project / "models/champion"
    champion.mkdir(parents=True)
    for name in ("classifier.onnx", "reference.parquet"):
        (project / name).rename(champion / name)
    return champion


@pytest.mark.slow
def test_drift_fires_once_and_is_told(published, prefect_api, monkeypatch):
    from flows.watching import monitoring

    sha256 = hashlib.sha256((published / "classifier.onnx").read_bytes()).hexdigest()
    store = Store(parse_store(DEFAULT_STORE))
    with serving(answers("200 OK")) as (url, received):
        monkeypatch.setenv("HOOK", url)
        fired = []
        for day in (0, 1, 1):
            span = fill(store, day, model_sha256=sha256, **DRIFTED)
            fired.append(monitoring(as_of=span.end.isoformat()))
    assert fired[0] == ()
    assert fired[1] == fired[2] and len(fired[1]) == 1
    (request,) = received
    alert = json.loads(request.partition(b"\r\n\r\n")[2])
    assert (alert["state"], alert["fingerprint"]) == ("firing", fired[1][0])


def test_without_a_champion_there_is_nothing_to_watch(published, prefect_api):
    from flows.watching import delivery, monitoring

    for path in published.iterdir():
        path.unlink()
    (published / "NONE").touch()
    assert monitoring() == ()
    delivery()


def test_a_broken_file_of_alerts_fails_the_flow_with_its_reason(published, prefect_api):
    from flows.run import FlowFailed
    from flows.watching import monitoring

    Path("alerts.yaml").write_text("hours: -1\n")
    with pytest.raises(FlowFailed, match=r"alerts\.hours: Input should be greater than 0"):
        monitoring()
