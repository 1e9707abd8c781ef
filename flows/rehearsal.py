"""A rehearsal of production: the published model is served and asked, first about held-out images
as they are, then about the same ones darker and turned, until whoever is on call would hear of it.

A demonstration, and no evidence: the images are few, and the model was tuned on them.
"""

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
from PIL import Image, ImageEnhance

from monitoring.__main__ import load_baseline
from monitoring.alerts import alert_of, as_text
from monitoring.params import load_params
from monitoring.reports import write_report
from monitoring.store import Store, parse_store
from monitoring.tables import DELIVERIES
from monitoring.telling import Span
from monitoring.watch import Readers, watch
from serving.address import await_address
from tasks.artifacts.images import load_some
from tasks.artifacts.tables import load_rows, load_table
from tasks.children import end_groups, start_module
from tasks.core.errors import ArtifactError

FOLDER, CHAMPION = Path("runs/rehearsal"), Path("models/champion")
_PATIENCE_SECONDS = 60.0
_MOST_IMAGES, _PER_REQUEST = 297, 64


class Rehearsed(NamedTuple):
    """What became of it: the verdict of each window by its name, the alert (None: there was none),
    and the page to open."""

    verdicts: dict[str, str]
    alert: str | None
    report: Path


def rehearse(root: Path) -> Rehearsed:
    """Serves and watches the champion of a checkout.

    Raises ArtifactError if nothing is published, TilthError if the service does not start.
    """
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    images = load_held_out(root)
    baseline = load_baseline(
        root / CHAMPION / "reference.parquet", None, *load_params(root / "params.yaml")
    )
    address = f"sqlite:///{folder}/store.sqlite"
    store = Store(parse_store(address))
    num_drifting = baseline.params.fire_after
    windows: list[tuple[str, Callable[[bytes], bytes]]] = [("as they are", bytes)]
    windows += [(f"darker and turned, {n}", worsen) for n in range(1, num_drifting + 1)]
    verdicts, document = {}, {}
    span = Span(datetime.now(UTC), datetime.now(UTC))
    with serving(root, folder, address) as url:
        for name, change in windows:
            span = ask(url, [change(image) for image in images], store)
            readers = Readers(["the demo"], {"report": str(folder / "report.html")})
            document = watch(store, baseline, span, span.end, readers)
            verdicts[name] = document["verdict"]
    window = store.load_window(span.start, span.end)
    write_report(baseline, window, document["summary"], folder / "report.html")
    told = store.load(DELIVERIES)
    alert = as_text(alert_of(json.loads(told[0]["document"]))) if told else None
    store.close()
    return Rehearsed(verdicts, alert, folder / "report.html")


def load_held_out(root: Path) -> list[bytes]:
    """Files of val rows, as they came: the model was not taught by them."""
    manifest = load_table(root / "data/clean/manifest.parquet", ["image_id"])
    rows = load_rows(root / "data/rows/val.npy")[:_MOST_IMAGES]
    wanted = frozenset(manifest["image_id"].iloc[rows])
    shards = sorted((root / "data/raw/shards").iterdir())
    return [raw.data for shard in shards for raw in load_some(shard, wanted)]


def worsen(data: bytes) -> bytes:
    """Half as bright, and turned by a quarter."""
    with Image.open(io.BytesIO(data)) as image:
        turned = ImageEnhance.Brightness(image).enhance(0.5).transpose(Image.Transpose.ROTATE_90)
        written = io.BytesIO()
        turned.save(written, "PNG")
    return written.getvalue()


@contextmanager
def serving(root: Path, folder: Path, store: str) -> Iterator[str]:
    """The address of a service of its own, on loopback, gone when the block ends."""
    settings = {"PORT": "0", "STORE": store, "FOLDER": str(folder), "IMAGE_FRACTION": "0"}
    named = {f"TILTH_SERVE_{name}": value for name, value in settings.items()}
    log = folder / "serving.log"
    with log.open("wb") as output:
        process = start_module(("serving",), root, output, named)
    try:
        yield await_address(log, process)
    finally:
        end_groups([process])


def ask(url: str, images: list[bytes], store: Store) -> Span:
    """Asks about all images; gives when, once the store has all that was answered."""
    start, before = datetime.now(UTC), store.count()
    with httpx.Client(base_url=url, timeout=_PATIENCE_SECONDS, trust_env=False) as client:
        for first in range(0, len(images), _PER_REQUEST):
            some = images[first : first + _PER_REQUEST]
            files = [("image", ("digit.png", data, "image/png")) for data in some]
            client.post("/predict", files=files).raise_for_status()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while store.count() < before + len(images):
        if time.monotonic() > deadline:
            raise ArtifactError("the store does not have all predictions that were answered")
        time.sleep(0.1)
    return Span(start, datetime.now(UTC) + timedelta(milliseconds=1))


def describe(rehearsed: Rehearsed) -> str:
    """For a terminal."""
    lines = ["Served, asked and watched:"]
    lines += [f"  {name:24} {verdict}" for name, verdict in rehearsed.verdicts.items()]
    lines += ["", rehearsed.alert or "Nobody would be told."]
    return "\n".join([*lines, "", f"What changed: {rehearsed.report}"])
