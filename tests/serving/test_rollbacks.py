"""Asked for on the page, a rollback is done in a real checkout, seen by the service, and told."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.served import serving, wait_until
from flows.lock import checkout_lock
from tasks.artifacts.documents import load_json, load_yaml, save_json
from tests.serving.champions import make_onnx, publish


def run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def keep(folder: Path, model: bytes, **known: object) -> str:
    """Publishes a model as the next version, of which the registry knows so much more, and commits;
    gives its sha256."""
    digest = publish(folder, model)
    registry = load_json(folder / "models/registry.json")
    registry["versions"][-1] |= known
    registry["aliases"]["previous"] = registry["aliases"]["champion"] - 1 or None
    save_json(registry, folder / "models/registry.json")
    run(folder, "git", "add", "--all")
    run(folder, "git", "-c", "user.name=T", "-c", "user.email=t@t", "commit", "--quiet", "-m", "x")
    return digest


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    run(folder, "git", "init", "--quiet")
    run(folder, sys.executable, "-m", "dvc", "init", "--quiet")
    (folder / ".gitignore").write_text("runs\n.cache\nserving.log\n/models/champion\n")
    return folder


def test_a_rollback_is_done_once_and_by_nobody_beside_another_run(checkout):
    publish(checkout, make_onnx(0.01))
    run(checkout, sys.executable, "-m", "dvc", "add", "--quiet", "models/champion")
    record = load_yaml(checkout / "models/champion.dvc")
    (checkout / "models/registry.json").unlink()
    first = keep(checkout, make_onnx(0.01), md5=record["outs"][0]["md5"])
    second = keep(checkout, make_onnx(0.02))
    with serving(checkout) as server, server.client() as client:
        headers, sent = {"Origin": server.address}, {"champion": "2", "previous": "1"}
        assert client.get("/model").json()["onnx_sha256"] == second
        asked = client.get("/watch/rollback").text
        assert 'name="champion" value="2"' in asked and 'name="previous" value="1"' in asked
        with checkout_lock(checkout, "training", 0, on_wait=print):
            answered = client.post("/watch/rollback", data=sent, headers=headers)
            assert answered.headers["location"] == "/watch"
        assert "is in use by flow &#39;training&#39;" in client.get("/watch").text
        assert client.get("/model").json()["onnx_sha256"] == second
        assert client.post("/watch/rollback", data=sent, headers=headers).status_code == 303
        assert "version 1 is the champion again, in place of 2" in client.get("/watch").text
        wait_until(lambda: client.get("/model").json()["onnx_sha256"] == first)
        # The same form sent again, as by a second click, does not undo it.
        assert client.post("/watch/rollback", data=sent, headers=headers).status_code == 303
        html = client.get("/watch").text
        assert "Nothing was done: version 2 is not the champion any more" in html
    assert load_json(checkout / "models/registry.json")["aliases"] == {"champion": 1, "previous": 2}
    assert run(checkout, "git", "log", "-1", "--format=%s").startswith("Roll back from model")
    assert run(checkout, "git", "status", "--porcelain") == ""
