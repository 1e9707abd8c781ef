"""The dashboard of a real server: who is let in, what may be done, what hostile rows do to it."""

import json
import re
import socket
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from benchmarks.served import serving
from monitoring.kept import load_episodes
from monitoring.tables import CHECKS
from serving.opening import is_served
from tests.monitoring.history import DRIFTED, live
from tests.serving.champions import make_onnx, png, publish
from tests.serving.watched import NOW, episode_of, images_of, own, store_of, write_as_others_do

KEY = "a-key-of-32-characters-or-so-0001"
MARKUP = "<script>document.documentElement.dataset.ran=1</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Three days, the last two of drift; the farthest images of the last one are there."""
    folder = tmp_path_factory.mktemp("watched")
    publish(folder, make_onnx())
    store = store_of(folder)
    live(store, NOW - timedelta(hours=1), [{}, DRIFTED, DRIFTED])
    checks = sorted(store.load(CHECKS), key=lambda row: row["checked_at"])
    first, second = json.loads(checks[-1]["document"])["examples"][:2]
    (images_of(folder) / first).write_bytes(png(200))
    (images_of(folder) / second).write_bytes(b"no image any more")
    store.close()
    with serving(folder, body_seconds=1) as server:
        yield server


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


def test_the_page_stands_alone_and_lets_nothing_run(client):
    answered = client.get("/watch")
    assert answered.status_code == 200
    html = answered.text
    assert "Drift: firing since" in html and "<script" not in html
    assert "form-action &#39;self&#39;" in html
    headers = answered.headers
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert re.findall(r'src="(.{10})', html) == ["data:image"]
    for days in (1, 7, 30):
        assert client.get(f"/watch?days={days}").status_code == 200
    assert client.get("/watch?days=99999999999").status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Host": "rebound.example:8000", "Origin": "http://rebound.example:8000"},
        {"Host": "localhost:1", "Origin": "http://localhost:2"},
        {"Origin": "http://localhost:notaport["},
    ],
)
def test_pages_of_others_neither_look_nor_act(client, server, headers):
    told = {"episode": episode_of(client.get("/watch").text), "hours": "5"}
    assert client.get("/watch", headers=headers).status_code == 403
    for path in ("acknowledge", "silence", "rollback"):
        assert client.post(f"/watch/{path}", data=told, headers=headers).status_code == 403
    # A browser names the origin of every form.
    assert client.post("/watch/silence", data=told).status_code == 403
    store = store_of(server.folder)
    assert load_episodes(store)["drift"].silenced_until is None
    store.close()


def test_an_episode_is_taken_on_and_silenced(client, server):
    name = episode_of(client.get("/watch").text)
    told = {"episode": name, "by": f"Ada {MARKUP}"[:100]}
    answered = client.post("/watch/acknowledge", data=told, headers=own(server))
    assert (answered.status_code, answered.headers["location"]) == (303, "/watch#section-2")
    answered = client.post(
        "/watch/silence", data={"episode": name, "hours": "48"}, headers=own(server)
    )
    assert answered.status_code == 303
    html = client.get("/watch").text
    assert "Taken on by Ada &lt;script&gt;" in html and "No reminder before" in html
    assert 'action="/watch/acknowledge"' not in html
    store = store_of(server.folder)
    kept = load_episodes(store)["drift"]
    store.close()
    assert kept.acknowledged_by == told["by"]
    hours = ((kept.silenced_until or 0) / 1e6 - datetime.now(UTC).timestamp()) / 3600
    assert hours == pytest.approx(48, abs=0.1)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"data": {"episode": "nobody knows it", "hours": "1"}}, 404),
        ({"data": {"episode": "x", "hours": "nan"}}, 422),
        ({"data": {"episode": "x", "hours": "-1"}}, 422),
        ({"data": {"episode": "x", "hours": "1e9"}}, 422),
        ({"data": {"episode": "x" * 101, "hours": "1"}}, 422),
        ({"data": {"episode": "a\0b", "hours": "1"}}, 422),
        ({"data": {"episode": "x", "hours": "1", "more": "1"}}, 422),
        ({"data": {"episode": "x"}}, 422),
        ({"data": {str(n): "1" for n in range(50)}}, 422),
        ({"json": {"episode": "x", "hours": 1}}, 415),
        ({"files": {"episode": b"x"}}, 415),
        ({"content": b"\xff\xfe", "headers": {"Content-Type":
          "application/x-www-form-urlencoded"}}, 422),
        ({"content": b"episode=" + b"x" * 20_000, "headers": {"Content-Type":
          "application/x-www-form-urlencoded"}}, 413),
    ],
)  # fmt: skip
def test_forms_that_are_none_are_told_why(client, server, sent, status):
    sent = sent | {"headers": {**sent.get("headers", {}), **own(server)}}
    answered = client.post("/watch/silence", **sent)
    assert (answered.status_code, bool(answered.json()["detail"])) == (status, True)


def test_reports_are_read_from_their_folder_alone_and_count_as_another_site(client, server):
    checks = server.folder / "runs/monitoring/checks"
    checks.mkdir()
    name = "20260301T110000-20260302T110000.html"
    (checks / name).write_text("<script>1</script>")
    (checks / "evidently-0123456789ab.js").write_text("1")
    (checks / "20260301T110000-20260302T110000.json").write_text("{}")
    assert f'href="/watch/reports/{name}"' in client.get("/watch").text
    answered = client.get(f"/watch/reports/{name}")
    assert answered.text == "<script>1</script>"
    assert answered.headers["content-security-policy"].startswith("sandbox allow-scripts;")
    assert client.get("/watch/reports/evidently-0123456789ab.js").status_code == 200
    for other in ("20260301T110000-20260302T110000.json", "..%2f..%2fstore.sqlite",
                  "%2e%2e", "20260301T110000-20260302T110000.html%00", "x.html"):  # fmt: skip
        assert client.get(f"/watch/reports/{other}").status_code == 404, other


def test_where_there_is_nothing_the_page_says_so_and_makes_nothing(tmp_path):
    with serving(tmp_path, recorded=False) as server, server.client() as client:
        html = client.get("/watch").text
        assert "No model is served" in html and "Nothing was published yet" in html
        assert "No way back" in client.get("/watch/rollback").text
        sent = {"champion": "1", "previous": "0"}
        assert client.post("/watch/rollback", data=sent, headers=own(server)).status_code == 303
        assert "Nothing was done" in client.get("/watch").text
    assert not (tmp_path / "runs").exists()


def test_a_dead_store_is_told_without_its_password(tmp_path):
    """And that the champion of another checkout is left alone."""
    publish(tmp_path / "other", make_onnx())
    models = tmp_path / "other/models"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = {
            "store": f"postgresql://tilth:hunter2hunter2@127.0.0.1:{free.getsockname()[1]}/x",
            "champion": models / "champion",
            "registry": models / "registry.json",
        }
        with serving(tmp_path, recorded=False, **settings) as server, server.client() as client:
            html = client.get("/watch").text
            sent = {"episode": "x", "hours": "1"}
            answered = client.post("/watch/silence", data=sent, headers=own(server))
    assert "the store" in html and "hunter2" not in html
    assert "what is served is not the champion of this checkout" in html
    assert answered.status_code == 503
    assert "hunter2" not in server.log.read_text()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    publish(folder, make_onnx())
    write_as_others_do(folder, MARKUP)
    with serving(folder) as server:
        yield server


def test_hostile_rows_are_text_and_lead_nowhere(hostile):
    with hostile.client() as client:
        html = client.get("/watch").text
    assert "<script" not in html and "<img src=x" not in html
    assert html.count("&lt;script&gt;") > 8
    # That of the one example whose name is one of ours.
    assert html.count("<img ") == 1
    assert "pending since" in html and "firing since" not in html


def basic(name: str, password: str) -> dict[str, str]:
    coded = b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {coded}"}


def test_a_key_is_the_password_of_a_browser_here_alone(tmp_path):
    publish(tmp_path, make_onnx())
    store = store_of(tmp_path)
    live(store, NOW - timedelta(hours=1), [DRIFTED])
    store.close()
    (tmp_path / "key").write_text(KEY)
    paths = ("/watch", "/watch/rollback", "/watch/reports/20260301T110000-20260302T110000.html")
    settings: dict[str, Any] = {"host": "0.0.0.0", "key": f"file:{tmp_path / 'key'}"}
    with serving(tmp_path, **settings) as server:
        address = server.address.replace("0.0.0.0", "127.0.0.1")
        assert is_served(f"{address}/watch")
        with httpx.Client(base_url=address, trust_env=False) as client:
            wrong: list[dict[str, str]] = [
                {}, basic("Ada", KEY + "x"), basic("Ada", ""), basic(KEY, ""), basic(KEY, "Ada"),
                {"Authorization": f"Basic {KEY}"}, {"Authorization": "Basic ÿ"},
                {"Authorization": f"Bearer {KEY[:-1]}"},
            ]  # fmt: skip
            for headers in wrong:
                for path in paths:
                    answered = client.get(
                        path, headers={n.encode(): v.encode() for n, v in headers.items()}
                    )
                    assert answered.status_code == 401, (headers, path)
                    assert answered.headers["www-authenticate"].startswith('Basic realm="Tilth"')
            html = client.get("/watch", headers=basic("Ada", KEY)).text
            assert 'name="by" value="Ada"' in html
            assert client.get("/watch", headers={"Authorization": f"Bearer {KEY}"}).is_success
            # Elsewhere a browser that logs in by itself is nobody.
            for path in ("/model", "/metrics", "/"):
                assert client.get(path, headers=basic("Ada", KEY)).status_code == 401
            sent = {"episode": episode_of(html)}
            for origin in ({}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"}):
                headers = {**basic("Ada", KEY), **origin}
                answered = client.post("/watch/acknowledge", data=sent, headers=headers)
                assert answered.status_code == 403
            assert client.post("/watch/acknowledge", data=sent, headers={"Origin": address}
                               ).status_code == 401  # fmt: skip
            headers = {**basic("Ada", KEY), "Origin": address}
            assert client.post("/watch/acknowledge", data=sent, headers=headers).status_code == 303
            assert "Taken on by Ada" in client.get("/watch", headers=basic("Ada", KEY)).text
    assert KEY not in server.log.read_text()


def test_the_document_of_the_api_leaves_the_dashboard_to_people(client):
    assert not any("watch" in path for path in client.get("/openapi.json").json()["paths"])
