"""A real server, asked as people and as attackers ask."""

import asyncio
import json
import socket
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.gate_fuzz import find_faults
from benchmarks.served import serving, wait_until
from monitoring.layout import load_window
from tasks.core.gate import REASONS
from tasks.core.incoming import Incoming, take_in
from tasks.core.onnx_model import describe_session, make_session
from tasks.core.outputs import run_model
from tests.serving.champions import CLASSES, make_onnx, png, predict_one, publish

KEY = "a-key-of-32-characters-or-so-0001"
MARKUP = "<script>document.documentElement.dataset.ran=1</script>"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    publish(folder, make_onnx(0.01))
    limits: dict[str, Any] = {"max_body_bytes": 4_000_000, "max_images": 8, "max_queue": 16}
    with serving(folder, image_fraction=1, body_seconds=1, **limits) as server:
        yield server


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


def test_probabilities_are_the_models_calibrated(client):
    model = make_onnx(0.01)
    session = make_session(model, 1)
    described = describe_session(session)
    shades = [0, 90, 127, 164, 255]
    files = [("image", (f"{shade}.png", png(shade))) for shade in shades]
    answers = client.post("/predict", files=files).json()["predictions"]
    taken = take_in([(png(shade), "") for shade in shades], described.canonical)
    pixels = [one.pixels for one in taken if isinstance(one, Incoming)]
    expected = run_model(session, described, np.stack(pixels))
    given = [[one["probabilities"][name] for name in CLASSES] for one in answers]
    np.testing.assert_allclose(given, expected.probabilities_NK, atol=1e-6)
    assert [one["label"] for one in answers] == ["dark", None, None, None, "light"]
    assert [one["abstained"] for one in answers] == [False, True, True, True, False]
    assert [one["confidence"] for one in answers] == [max(one) for one in given]


def test_a_form_and_json_are_answered_alike(client):
    by_form = predict_one(client, png(250))
    sent = {"images": [{"data": b64encode(png(250)).decode(), "name": "a.png"}] * 2}
    by_json = client.post("/predict", json=sent).json()["predictions"]
    assert len(by_json) == 2
    for one in by_json:
        assert one.pop("prediction_id") != by_form["prediction_id"]
        assert one == {key: by_form[key] for key in one}


def test_what_was_answered_is_kept_with_its_measures_image_and_feedback(client, server):
    metadata = {"site": MARKUP, "gain": 1.5}
    sent = {"images": [{"data": b64encode(png(250)).decode(), "metadata": metadata}]}
    answer = client.post("/predict", json=sent).json()["predictions"][0]
    told = {"prediction_id": answer["prediction_id"], "label": MARKUP}
    assert client.post("/feedback", json={**told, "label": "dark"}).status_code == 202
    assert client.post("/feedback", json=told).status_code == 202
    now = datetime.now(UTC)

    def found():
        window = load_window(server.store, now - timedelta(minutes=1), now + timedelta(minutes=1))
        return window[window["prediction_id"] == answer["prediction_id"]]

    wait_until((server.folder / "runs/monitoring/store.sqlite").is_file)
    wait_until(lambda: bool(found()["label"].notna().any()))
    row = found().iloc[0]
    assert (row["predicted"], row["refused"], row["label"]) == ("light", "", MARKUP)
    assert (row["site"], row["gain"], row["width"]) == (MARKUP, 1.5, 8)
    assert row["brightness"] == pytest.approx(250 / 255, abs=1e-6)
    np.testing.assert_allclose(row["embedding"], [250 * 16] * 4)
    assert row["probabilities"].argmax() == 1
    image = server.folder / "runs/monitoring/images" / answer["prediction_id"]
    assert image.read_bytes() == png(250)


def test_hostile_images_are_refused_one_by_one(client):
    for fault in find_faults():
        if len(fault.data) < 2_000_000:
            answer = predict_one(client, fault.data, fault.name)
            assert answer["refused"] == fault.reason in REASONS, fault.name
            assert answer["label"] is None and not answer["probabilities"]
    files = [("i", ("a.png", png(3))), ("i", ("b.png", png(3)[:40])), ("i", ("c.png", png(255)))]
    answers = client.post("/predict", files=files).json()["predictions"]
    assert [one["label"] for one in answers] == ["dark", None, "light"]
    assert [one["refused"] for one in answers] == ["", "truncated", ""]


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        ({"files": {"image": ("a.png", bytes(5_000_000))}}, 413),
        ({"files": [("image", (f"{n}.png", png(n))) for n in range(9)]}, 413),
        ({"files": [("image", (f"{n}.png", png(n))) for n in range(50)]}, 413),
        ({"content": png(3), "headers": {"Content-Type": "image/png"}}, 415),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 422),
        ({"content": b"--b\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
         422),
        ({"data": {"image": "text"}, "files": {"none": ("", b"")}}, 422),
        ({"json": {"images": []}}, 422),
        ({"json": {"images": [{"data": "%%"}]}}, 422),
        ({"json": {"images": [{"data": "", "metadata": {"brightness": 1}}]}}, 422),
        ({"json": {"images": [{"data": "", "metadata": {"A b": 1}}]}}, 422),
        ({"json": {"images": [{"data": "", "metadata": {"site": "a\0b"}}]}}, 422),
        ({"content": b'{"images": [{"data": "", "metadata": {"gain": NaN}}]}',
          "headers": {"Content-Type": "application/json"}}, 422),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 422),
    ],
)  # fmt: skip
def test_bodies_that_are_none_are_told_why(client, request_of, status):
    answered = client.post("/predict", **request_of)
    assert (answered.status_code, bool(answered.json()["detail"])) == (status, True)


@pytest.mark.parametrize(
    "told",
    [
        {"prediction_id": "../../etc/passwd", "label": "dark"},
        {"prediction_id": "0" * 32, "label": "a\0b"},
        {"prediction_id": "0" * 32, "label": ""},
        {"prediction_id": "0" * 32, "label": "x" * 101},
        {"prediction_id": "0" * 32, "label": "dark", "more": 1},
        {"label": "dark"},
    ],
)
def test_feedback_that_is_none_is_refused(client, told):
    assert client.post("/feedback", json=told).status_code == 422


def test_a_body_that_does_not_come_is_not_waited_for(server):
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname, address.port), timeout=20) as slow:
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_more_than_may_wait_is_sent_away(client):
    files = [("image", (f"{n}.png", png(n))) for n in range(8)]
    assert client.post("/predict", files=files).status_code == 200

    # Eight at a time, of which sixteen may wait: with forty requests at once some find it full.
    async def flood():
        async with httpx.AsyncClient(base_url=client.base_url, timeout=30) as many:
            asked = [many.post("/predict", files=files) for _ in range(40)]
            return await asyncio.gather(*asked)

    answered = asyncio.run(flood())
    codes = {one.status_code for one in answered}
    assert codes == {200, 429}
    assert all(one.headers["retry-after"] == "1" for one in answered if one.status_code == 429)


def test_state_card_and_metrics(client):
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    card = client.get("/model").json()
    assert card["classes"] == CLASSES and card["version"] == 1
    assert (card["temperature"], card["abstention"]) == (2.0, 0.6)
    before = _samples(client)
    predict_one(client, png(255))
    predict_one(client, png(127))
    predict_one(client, b"")
    client.get("/no/such/path")
    after = _samples(client)
    for outcome in ("answered", "abstained", "refused"):
        key = ("tilth_predictions_total", (("outcome", outcome),))
        assert after[key] == before.get(key, 0) + 1
    counted = ("tilth_requests_total", (("path", "/predict"), ("status", "200")))
    assert after[counted] == before[counted] + 3
    assert after["tilth_model_version", ()] == 1
    assert not any("such" in str(key) for key in after)


def _samples(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def test_every_answer_has_the_headers_that_keep_browsers_from_harm(client):
    for path in ("/", "/health", "/model", "/metrics", "/openapi.json", "/none"):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
    page = client.get("/").text
    assert "POST /predict" in page and "<script" not in page and "http-equiv" in page
    assert "//cdn" not in page


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "rebound.example:8000"}, 403),
        ({"Host": "["}, 403),
        ({}, 200),
    ],
)
def test_pages_of_others_cannot_ask_in_a_browsers_name(client, headers, status):
    assert client.get("/model", headers=headers).status_code == status


def test_paths_lead_nowhere_else(server):
    (server.folder / "secret").write_text("what nobody may read")
    for path in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/model/../../secret", "//secret",
                 "/%00", "/models/champion/classifier.onnx", "/docs", "/redoc"):  # fmt: skip
        # Not by httpx, which would set some of them right.
        connection = HTTPConnection(urlsplit(server.address).netloc, timeout=30)
        connection.request("GET", path)
        answered = connection.getresponse()
        assert answered.status == 404 and b"nobody" not in answered.read(), path
        connection.close()


def test_who_has_a_key_is_let_in(tmp_path):
    publish(tmp_path, make_onnx(0.01))
    (tmp_path / "key").write_text(f"{KEY}\nanother-key-that-follows-it\n")
    settings = {"host": "0.0.0.0", "key": f"file:{tmp_path / 'key'}", "recorded": False}
    with serving(tmp_path, **settings) as server, server.client() as client:
        address = f"http://127.0.0.1:{urlsplit(server.address).port}"
        for given in ("", KEY, f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer", "Bearer é",
                      f"Basic {KEY}"):  # fmt: skip
            headers = {b"Authorization": given.encode()} if given else {}
            for path in ("/model", "/metrics", "/openapi.json", "/", "/predict", "/feedback"):
                method = "POST" if path in ("/predict", "/feedback") else "GET"
                answered = client.request(method, f"{address}{path}", headers=headers)
                assert answered.status_code == 401, (given, path)
                assert answered.headers["www-authenticate"] == "Bearer"
        assert client.get(f"{address}/ready").status_code == 200
        for key in (KEY, "another-key-that-follows-it"):
            allowed = {"Authorization": f"Bearer {key}"}
            assert client.get(f"{address}/model", headers=allowed).status_code == 200
            files = {"image": ("a.png", png(3))}
            answered = client.post(f"{address}/predict", files=files, headers=allowed)
            assert answered.json()["predictions"][0]["label"] == "dark"
            told = {"prediction_id": "0" * 32, "label": "dark"}
            answered = client.post(f"{address}/feedback", json=told, headers=allowed)
            assert answered.status_code == 503 and "kept" in answered.text
    assert KEY not in server.log.read_text()


def test_the_document_tells_all_that_can_be_asked(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/", "/predict", "/feedback", "/health", "/ready", "/model", "/metrics",
    }  # fmt: skip
    taken = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(taken) == {"multipart/form-data", "application/json"}
    assert "HTTPBearer" in json.dumps(document["paths"]["/predict"]["post"]["security"])
