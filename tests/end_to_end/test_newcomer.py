"""A folder as people have it: odd names, formats, sizes and states; from it to the quality page."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.checkout import Checkout, ran, succeeded
from tests.end_to_end.conftest import Copy
from tests.end_to_end.pictures import (
    SECRET,
    SHAPES,
    broken_pictures,
    odd_pictures,
    save_shapes,
)

PER_SHAPE = 30


def save(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture(scope="module")
def newcomer(copy_at: Copy, fresh: Checkout) -> Checkout:
    """A checkout in which the data stages ran on such a folder."""
    checkout = copy_at(fresh)
    folder = checkout.around / "My Pictures"
    save_shapes(folder, dict.fromkeys(SHAPES, PER_SHAPE))
    save(folder, odd_pictures())
    save(folder, {name: data for name, (data, _) in broken_pictures().items()})
    save(folder, {"Thumbs.db": b"x", "circle/.DS_Store": b"x", "square/notes.txt": b"x"})
    checkout.set_params(
        {
            "ingest.sources": {"mine": {"type": "folder", "root": str(folder)}},
            "clean.image_size": 32,
            "clean.channels": 3,
        }
    )
    checkout.dvc("repro", "quality")
    return checkout


def test_every_readable_picture_comes_through(newcomer: Checkout) -> None:
    import unicodedata

    manifest = newcomer.table("data/clean/manifest.parquet")
    shards = sorted((newcomer.root / "data/clean/images").glob("*.npy"))
    pixels = np.concatenate([np.load(path) for path in shards])
    assert pixels.shape == (len(manifest), 32, 32, 3)
    assert sorted(manifest["label"].unique()) == list(SHAPES)
    arrived = {unicodedata.normalize("NFD", path) for path in manifest["path"]}
    for name in odd_pictures():
        assert f"mine/{name}" in arrived
    assert len(manifest) == len(SHAPES) * PER_SHAPE + len(odd_pictures())
    index = newcomer.table("data/raw/index.parquet")
    assert not index["path"].str.contains("Thumbs|DS_Store|notes").any()


def test_broken_files_are_set_apart_with_their_reasons(newcomer: Checkout) -> None:
    quarantine = newcomer.table("data/quarantine.parquet").set_index("path")["reason"]
    expected = {f"mine/{name}": reason for name, (_, reason) in broken_pictures().items()}
    assert quarantine.to_dict() == expected
    verdict = json.loads((newcomer.root / "metrics/validate.json").read_text())
    assert verdict["verdict"] == "pass"
    assert verdict["num_rejected"] == len(expected)


def test_pictures_stand_upright(newcomer: Checkout) -> None:
    manifest = newcomer.table("data/clean/manifest.parquet").set_index("path")
    turned = manifest.loc["mine/circle/holiday photo.JPG"]
    assert (turned["width"], turned["height"]) == (30, 60)


def test_places_and_notes_are_nowhere_in_what_was_taken_in(newcomer: Checkout) -> None:
    folder = newcomer.around / "My Pictures"
    carriers = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(SECRET.encode() in path.read_bytes() for path in carriers) == 3
    for path in newcomer.root.glob("data/raw/shards/*"):
        images = pq.read_table(path)["image"].to_pylist()
        assert not any(SECRET.encode() in image["bytes"] for image in images)
    everything = newcomer.contents("data", "reports", "metrics", "models", "runs", ".cache")
    assert not [name for name, data in everything.items() if SECRET.encode() in data]


def test_the_pages_show_names_as_text(newcomer: Checkout) -> None:
    quality = (newcomer.root / "reports/quality.html").read_text(encoding="utf-8")
    arrivals = (newcomer.root / "reports/arrivals.html").read_text(encoding="utf-8")
    for page in (quality, arrivals):
        assert "<b>.png" not in page
        assert "<!doctype html><title>404" not in page
        assert "<script" not in page.lower()
    assert "half.png" in arrivals


def test_a_new_picture_is_taken_in_with_the_next_snapshot(
    copy_at: Copy, newcomer: Checkout
) -> None:
    copy = copy_at(newcomer)
    before = copy.table("data/raw/index.parquet")
    # Latin-1, as old disks have it: bytes that are no UTF-8.
    name = bytes(newcomer.around / "My Pictures" / "circle") + b"/photo \xe9.png"
    picture = (newcomer.around / "My Pictures/circle/alpha.PNG").read_bytes()
    Path(name.decode("utf-8", "surrogateescape")).write_bytes(picture)
    assert ran(copy.dvc("repro", "validate")) == set()
    succeeded(copy.module("tasks.snapshot", "second"))
    assert ran(copy.dvc("repro", "clean")) == {"ingest", "validate", "clean"}
    after = copy.table("data/raw/index.parquet")
    assert len(after) == len(before) + 1
    known = after[after["path"].isin(before["path"])]
    columns = ["image_id", "path", "label"]
    pd.testing.assert_frame_equal(
        known[columns].reset_index(drop=True), before[columns].reset_index(drop=True)
    )
    dropped = copy.table("data/clean/dropped.parquet").set_index("path")
    assert len(dropped) == 1
    assert dropped["reason"].tolist() == ["duplicate"]
