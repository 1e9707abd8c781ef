"""What goes on, in the order in which its pixels lie."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import ValidationError

from tasks.artifacts.atomic import replacing_folder
from tasks.artifacts.images import Images, RawImage, raw_table
from tasks.artifacts.memory import link
from tasks.clean import Params, find_dropped, write_images
from tasks.core.gate import Limits
from tasks.core.pixels import Canonical, canonical_pixels
from tasks.decoding import clean_row_group
from tasks.pool import Piece, Workers

LIMITS = Limits(max_file_bytes=10_000, max_pixels=10_000, max_frames=1, min_size=1)
CANONICAL = Canonical(size=6, channels=1, resize="squash", limits=LIMITS)


def png(number: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def shard(path: Path, numbers, row_group_size: int = 2) -> None:
    rows = [RawImage(f"id{number}", png(number), "x") for number in numbers]
    pq.write_table(raw_table(rows), path, row_group_size=row_group_size)


def write(rows: pd.DataFrame, raw: Path, out: Path) -> None:
    with Workers(1, clean_row_group) as workers, replacing_folder(out) as folder:
        cleaned = write_images(rows, raw, folder, CANONICAL, workers)
    for name, remembered in cleaned.items():
        link(out / name, remembered)


def accepted(*rows: tuple) -> pd.DataFrame:
    columns = ["image_id", "given_label", "label", "split", "pixel_hash"]
    frame = pd.DataFrame(list(rows), columns=columns)
    return frame.assign(path="s/" + frame["image_id"])


def test_ignored_classes_and_copies_are_dropped_with_their_reasons():
    dropped = find_dropped(
        accepted(
            ("a", "cat", "cat", None, "x"),
            ("b", "cat", "cat", None, "x"),
            ("c", "dog", "dog", None, "x"),
            ("d", "fox", None, None, "y"),
            ("e", None, None, None, "z"),
            ("f", "cat", "cat", None, "w"),
        )
    ).set_index("image_id")
    assert dropped["reason"].to_dict() == {
        "b": "duplicate",
        "c": "duplicate_with_other_label",
        "d": "ignored_class",
    }
    assert dropped["twin_id"].to_dict()["c"] == "a"
    assert dropped["path"].to_dict()["d"] == "s/d"


def test_a_row_of_an_ignored_class_is_no_ones_twin():
    dropped = find_dropped(
        accepted(("a", "fox", None, "test", "x"), ("b", "cat", "cat", "train", "x"))
    )
    assert dropped["image_id"].tolist() == ["a"]


def test_classes_merged_into_one_are_no_conflict():
    dropped = find_dropped(accepted(("a", "cat", "pet", None, "x"), ("b", "dog", "pet", None, "x")))
    assert dropped["reason"].tolist() == ["duplicate"]


def test_a_row_group_gives_the_wanted_images_in_order(tmp_path):
    shard(tmp_path / "s.parquet", range(4), row_group_size=4)
    wanted = frozenset({"id3", "id0"})
    images = clean_row_group(Piece(tmp_path / "s.parquet", 0, True, wanted), CANONICAL)
    expected = [canonical_pixels(png(number), "x", CANONICAL) for number in (0, 3)]
    assert (images == np.stack(expected)).all()
    none = clean_row_group(Piece(tmp_path / "s.parquet", 0, True, frozenset()), CANONICAL)
    assert none.shape == (0, 6, 6, 1)


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    shard(tmp_path / "raw" / "b.parquet", range(5))
    shard(tmp_path / "raw" / "a.parquet", range(5, 9))
    return tmp_path / "raw"


def manifest(*rows: tuple[str, int]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["shard", "number"]).assign(
        image_id=lambda frame: "id" + frame["number"].astype(str)
    )


def test_pixels_lie_as_the_manifest_numbers_them(raw, tmp_path):
    # As the stage orders them: by shard, then by row.
    rows = [
        ("a.parquet", 5),
        ("a.parquet", 8),
        ("b.parquet", 1),
        ("b.parquet", 2),
        ("b.parquet", 4),
    ]
    write(manifest(*rows), raw, tmp_path / "images")
    images = Images(tmp_path / "images")
    expected = [canonical_pixels(png(number), "x", CANONICAL) for _, number in rows]
    assert (images[np.arange(5)] == np.stack(expected)).all()
    # Another choice of rows, of which one shard is remembered.
    fewer = [*rows[:2], ("b.parquet", 3)]
    write(manifest(*fewer), raw, tmp_path / "images")
    images = Images(tmp_path / "images")
    expected = [canonical_pixels(png(number), "x", CANONICAL) for _, number in fewer]
    assert len(images) == 3 and (images[np.arange(3)] == np.stack(expected)).all()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"classes": {"a": ""}}, "this is empty"),
        ({"classes": {"a": "b "}}, "expected 'b', in Unicode's composed form"),
        ({"classes": {"a": "b\nc"}}, "no control characters"),
        ({"ignored": [" "]}, "this is empty"),
        (
            {"classes": {"a": "b"}, "ignored": ["a"]},
            r"\['a'\]: named in `classes` and in `ignored`",
        ),
    ],
)
def test_a_name_that_would_have_no_effect_is_refused(changed, told):
    good = {"image_size": 8, "channels": 1, "resize": "pad", "classes": {}, "ignored": []}
    Params.model_validate(good)
    with pytest.raises(ValidationError, match=told):
        Params.model_validate({**good, **changed})
