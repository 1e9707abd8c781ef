"""What was acknowledged is in the store once, whoever dies; a new champion costs no request."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

from benchmarks.postgresql import running_postgresql
from benchmarks.served import Server, ask_until_dead, kill_under_load, serving, wait_until
from monitoring.layout import load_window
from tasks.core.errors import TilthError
from tests.serving.champions import make_onnx, png, predict_one, publish

NUM_CLIENTS = 8


def window_of(store):
    now = datetime.now(UTC)
    return load_window(store, now - timedelta(hours=1), now + timedelta(hours=1))


def test_what_was_acknowledged_before_kill_9_is_in_the_store_once(tmp_path):
    publish(tmp_path, make_onnx())
    acknowledged: list[str] = []
    server = Server(tmp_path)
    for _ in range(2):
        server.start()
        kill_under_load(server, png(3), acknowledged, NUM_CLIENTS, 100)
    with serving(tmp_path) as server:
        assert server.stop() == 0
        kept = Counter(window_of(server.store)["prediction_id"])
    assert len(acknowledged) == len(set(acknowledged)) >= 200
    assert set(acknowledged) <= set(kept) and set(kept.values()) == {1}
    # Of each client at most the one answer that was on its way when the process died.
    assert len(kept) - len(acknowledged) <= 2 * NUM_CLIENTS
    assert not list((tmp_path / "runs/monitoring/journal").glob("*.log"))


def test_asked_to_stop_it_answers_and_keeps_what_it_has_begun(tmp_path):
    publish(tmp_path, make_onnx())
    acknowledged: list[str] = []
    with serving(tmp_path) as server:

        async def both():
            asked = asyncio.create_task(
                ask_until_dead(server.address, png(3), acknowledged, NUM_CLIENTS, 30)
            )
            while len(acknowledged) < 50:
                await asyncio.sleep(0.01)
            server.process.terminate()
            await asked

        asyncio.run(both())
        assert server.process.wait(timeout=30) == 0
        assert set(window_of(server.store)["prediction_id"]) == set(acknowledged)


def test_two_servers_never_share_a_journal(tmp_path):
    publish(tmp_path, make_onnx())
    with serving(tmp_path):
        other = Server(tmp_path, store="sqlite:///other.sqlite")
        other.log = tmp_path / "other.log"
        with pytest.raises(TilthError, match="another server has this journal"):
            other.start()
        assert other.process.wait(timeout=30) == 1


def test_a_new_champion_takes_over_without_a_lost_request_and_back(tmp_path):
    models = [make_onnx(1.0), make_onnx(-1.0)]
    digests = [publish(tmp_path, models[0])]
    labels = {}
    with serving(tmp_path) as server:
        lost: list[str] = []
        told: list[tuple[str, str]] = []

        async def ask(client, end):
            while not end.is_set():
                answered = await client.post("/predict", files={"image": ("a.png", png(3))})
                if answered.status_code != 200:
                    lost.append(answered.text)
                    return
                document = answered.json()
                told.append((document["model_sha256"], document["predictions"][0]["label"]))

        async def swap():
            end = asyncio.Event()
            async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
                asked = [asyncio.create_task(ask(client, end)) for _ in range(4)]
                for model in (models[1], models[0]):
                    digests.append(await asyncio.to_thread(publish, tmp_path, model))
                    while not (told and told[-1][0] == digests[-1]) and not lost:
                        await asyncio.sleep(0.01)
                end.set()
                await asyncio.gather(*asked)

        asyncio.run(swap())
        labels = {digest: {one for sha, one in told if sha == digest} for digest in digests}
        assert not lost and labels == {digests[0]: {"dark"}, digests[1]: {"light"}}


def test_a_champion_that_cannot_be_served_is_refused_and_the_former_goes_on(tmp_path):
    digest = publish(tmp_path, make_onnx())
    with serving(tmp_path) as server, server.client() as client:
        for model in (b"no model", make_onnx(float("nan")), make_onnx(classes=["a", "b", "c"])):
            former = _rejected(client)
            publish(tmp_path, model)
            wait_until(lambda former=former: _rejected(client) > former)
            assert predict_one(client, png(3))["label"] == "dark"
        onnx = tmp_path / "models/champion/classifier.onnx"
        former = _rejected(client)
        onnx.write_bytes(make_onnx(-1.0))
        wait_until(lambda: _rejected(client) > former)
        answered = client.post("/predict", files={"image": ("a.png", png(3))})
        assert answered.json()["model_sha256"] == digest


def _rejected(client):
    lines = client.get("/metrics").text.splitlines()
    return next(
        float(line.split()[1]) for line in lines if line.startswith("tilth_model_rejected_t")
    )


def test_a_server_may_be_there_before_its_first_model(tmp_path):
    with serving(tmp_path) as server, server.client() as client:
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        answered = client.post("/predict", files={"image": ("a.png", png(3))})
        assert answered.status_code == 503 and answered.headers["retry-after"]
        publish(tmp_path, make_onnx())
        wait_until(lambda: client.get("/ready").status_code == 200)
        assert predict_one(client, png(3))["label"] == "dark"


@pytest.mark.needs("postgresql")
def test_the_death_of_the_database_is_survived_by_every_answer(tmp_path):
    publish(tmp_path, make_onnx())
    with running_postgresql() as database:
        url = database.make_database("watched")
        acknowledged: list[str] = []
        environ = {"STORE": url}
        with serving(tmp_path, environ, store="env:STORE") as server, server.client() as client:
            for _ in range(2):
                acknowledged += [predict_one(client, png(3))["prediction_id"] for _ in range(20)]
                database.kill()
                acknowledged += [predict_one(client, png(3))["prediction_id"] for _ in range(20)]
                database.start()
            engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
            with engine.connect() as connection:
                asked = text("SELECT count(*) FROM predictions")

                def is_there():
                    try:
                        return connection.execute(asked).scalar_one() == len(acknowledged)
                    except ProgrammingError:
                        return False  # nobody has made the table yet
                    finally:
                        connection.rollback()

                wait_until(is_there, 60)
            engine.dispose()
        kept = Counter(window_of(url)["prediction_id"])
        assert kept == Counter(acknowledged)
        assert "secret" not in server.log.read_text()
