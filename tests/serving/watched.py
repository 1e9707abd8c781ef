"""Folders with a store that a dashboard shows, and how a browser asks for things."""

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

from benchmarks.served import Server
from monitoring.store import Store, parse_store, to_micros
from monitoring.tables import CHECKS, EPISODES
from tasks.artifacts.documents import load_json, save_json
from tests.monitoring.history import DRIFTED, live
from tests.monitoring.records import START, record
from tests.serving.champions import png

NOW = datetime.now(UTC)


def store_of(folder: Path) -> Store:
    return Store(parse_store(f"sqlite:///{folder}/runs/monitoring/store.sqlite"))


def images_of(folder: Path) -> Path:
    images = folder / "runs/monitoring/images"
    images.mkdir(parents=True, exist_ok=True)
    return images


def own(server: Server) -> dict[str, str]:
    """What a browser says of a form of the page itself."""
    return {"Origin": server.address}


def episode_of(html: str) -> str:
    found = re.search(r'name="episode" value="(.*?)"', html)
    assert found
    return unescape(found[1])


def write_as_others_do(folder: Path, text: str) -> None:
    """A text wherever others may write one, ids that lead elsewhere, and one example to look at."""
    store = store_of(folder)
    live(store, NOW - timedelta(hours=1), [DRIFTED])
    ago = (NOW - timedelta(hours=2) - START).total_seconds()
    store.add([record(n, ago, predicted=text) for n in range(5)])
    store.add([record(5, ago, predicted=None, refused=text)])
    store.add([record(6, ago, prediction_id="../../../secret")])
    (check,) = store.load(CHECKS)
    document = json.loads(check["document"])
    document |= {"summary": text, "examples": [text, "../../../secret", f"{3:032x}"]}
    document["params"]["floors"][text] = 0.1
    store.save(CHECKS, [check | {"document": json.dumps(document), "model_sha256": text}])
    (episode,) = store.load(EPISODES)
    row = episode | {"fingerprint": text[:100]}
    none = {"episode_id": "z", "document": "{", "state": "firing", "opened_at": to_micros(NOW)}
    store.save(EPISODES, [row, row | none])
    store.close()
    (folder / "secret").write_bytes(png(9))
    (images_of(folder) / f"{3:032x}").write_bytes(png(9))
    registry = load_json(folder / "models/registry.json")
    registry["versions"][0] |= {"commit": text, "metrics": {text: 0.5}}
    save_json(registry, folder / "models/registry.json")
