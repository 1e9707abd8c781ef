"""Sources become an index and shards: the same files give the same bytes, whatever their order."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from tasks.artifacts.images import load_row_group, num_row_groups
from tasks.artifacts.shards import ShardWriter
from tasks.core.errors import SourceError
from tasks.core.hashing import content_id
from tasks.ingest import INDEX_COLUMNS, Ingested, Params, ingest

SECRET = b"SECRET of the camera"


def jpeg(number: int, exif: bool = False) -> bytes:
    file = io.BytesIO()
    tags = Image.Exif()
    tags[0x010E] = SECRET.decode()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", **({"exif": tags} if exif else {}))
    return file.getvalue()


def params(sources: dict, **changed) -> Params:
    values = {"keep_metadata": False, "shard_bytes": 100_000, **changed}
    return Params.model_validate({**values, "sources": sources})


def folder(root: Path) -> dict:
    return {"type": "folder", "root": str(root)}


@pytest.fixture
def root(tmp_path):
    for number in range(6):
        path = tmp_path / "in" / ("cat", "dog")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    return tmp_path / "in"


def run(asked: Params, out: Path) -> tuple[Ingested, dict[str, bytes]]:
    out.mkdir()
    ingested = ingest(asked, ShardWriter(out, asked.shard_bytes))
    return ingested, {path.name: path.read_bytes() for path in out.iterdir()}


def stored(out: Path, index: pd.DataFrame) -> list[bytes]:
    rows = {
        shard: [
            image
            for group in range(num_row_groups(out / shard))
            for image in load_row_group(out / shard, group)
        ]
        for shard in index["shard"].unique()
    }
    found = [rows[shard][row] for shard, row in zip(index["shard"], index["row"], strict=True)]
    assert [image.image_id for image in found] == index["image_id"].tolist()
    return [image.data for image in found]


def test_the_index_tells_of_every_image_and_where_it_lies(root, tmp_path):
    ingested, _ = run(params({"pets": folder(root)}), tmp_path / "out")
    index = ingested.index
    assert list(index.columns) == INDEX_COLUMNS
    assert index["path"].tolist() == [f"pets/cat/{n}.jpg" for n in (0, 2, 4)] + [
        f"pets/dog/{n}.jpg" for n in (1, 3, 5)
    ]
    assert index["label"].tolist() == ["cat"] * 3 + ["dog"] * 3
    assert stored(tmp_path / "out", index) == [jpeg(n) for n in (0, 2, 4, 1, 3, 5)]
    assert index["image_id"].tolist()[0] == content_id(jpeg(0))
    assert len(ingested.faults) == 0


def test_the_same_files_give_the_same_index_and_bytes(root, tmp_path):
    first, shards = run(params({"pets": folder(root)}), tmp_path / "one")
    again, others = run(params({"pets": folder(root)}), tmp_path / "other")
    pd.testing.assert_frame_equal(first.index, again.index)
    assert shards == others


@pytest.mark.parametrize("form", ["zip", "tar", "gztar"])
def test_an_archive_gives_the_bytes_that_its_folder_gives(root, tmp_path, form):
    (root / "dog" / "7.jpg").write_bytes(jpeg(0, exif=True))
    (root / "dog" / "8.jpg").write_bytes(jpeg(0))
    archive = shutil.make_archive(str(tmp_path / "photos"), form, root)
    first, shards = run(params({"pets": folder(root)}), tmp_path / "one")
    again, others = run(params({"pets": folder(Path(archive))}), tmp_path / "other")
    pd.testing.assert_frame_equal(first.index, again.index)
    assert shards == others


def test_sources_come_in_order_of_their_names(root, tmp_path):
    names = {"b": folder(root / ".." / "in"), "a": folder(root)}
    ingested, _ = run(params(names), tmp_path / "out")
    assert [path.split("/")[0] for path in ingested.index["path"]] == ["a"] * 6 + ["b"] * 6


def test_equal_files_are_numbered(root, tmp_path):
    for name in ("7.jpg", "8.jpg"):
        (root / "dog" / name).write_bytes(jpeg(0))
    ingested, _ = run(params({"pets": folder(root)}), tmp_path / "out")
    by_path = ingested.index.set_index("path")["image_id"]
    first = content_id(jpeg(0))
    assert by_path["pets/cat/0.jpg"] == first
    assert by_path["pets/dog/7.jpg"] == f"{first}-2"
    assert by_path["pets/dog/8.jpg"] == f"{first}-3"
    assert ingested.index["image_id"].is_unique


def test_metadata_goes_unless_it_is_kept(root, tmp_path):
    (root / "cat" / "0.jpg").write_bytes(jpeg(0, exif=True))
    _, without = run(params({"pets": folder(root)}), tmp_path / "without")
    _, kept = run(params({"pets": folder(root)}, keep_metadata=True), tmp_path / "kept")
    assert SECRET not in b"".join(without.values())
    assert SECRET in b"".join(kept.values())


def test_a_hash_is_checked_against_the_file_as_it_came(root, tmp_path):
    data = {"0.jpg": jpeg(0, exif=True), "2.jpg": jpeg(2, exif=True)}
    lines = ["path,label,sha256"]
    for name, bytes_ in data.items():
        (root / "cat" / name).write_bytes(bytes_)
        lines.append(f"cat/{name},cat,{sha256(bytes_).hexdigest()}")
    lines.append(f"cat/4.jpg,cat,{'0' * 64}")
    (root / "m.csv").write_text("\n".join(lines))
    source = {"type": "manifest", "file": str(root / "m.csv")}
    ingested, shards = run(params({"pets": source}), tmp_path / "out")
    assert ingested.index["problem"].str.partition(": ")[0].tolist() == ["", "", "wrong_hash"]
    assert stored(tmp_path / "out", ingested.index)[2] == b""
    assert SECRET not in b"".join(shards.values())


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything; nobody may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_with_faults_are_in_the_index_with_their_problem(root):
    dog = root / "dog"
    os.mkfifo(dog / "fifo.jpg")
    (dog / "folder.jpg").mkdir()
    (dog / "folder.jpg" / "inner.jpg").write_bytes(jpeg(7))
    (dog / "gone.jpg").symlink_to("nowhere.jpg")
    (dog / "loop.jpg").symlink_to("loop.jpg")
    (dog / "pipe.jpg").symlink_to("fifo.jpg")
    (dog / "zero.jpg").write_bytes(b"")
    with (dog / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)
    with TemporaryDirectory() as out:
        ingested, _ = run(params({"pets": folder(root)}), Path(out) / "out")
        lengths = [len(data) for data in stored(Path(out) / "out", ingested.index)]
    index = ingested.index.set_index("path").assign(length=lengths)
    problems = index.loc[index["problem"] != "", "problem"]
    assert problems.rename(lambda path: path.removeprefix("pets/dog/")).to_dict() == {
        "fifo.jpg": "unreadable: is not a regular file",
        "gone.jpg": "unreadable: No such file or directory",
        "huge.jpg": "too_many_bytes: 1,099,511,627,776 bytes; expected 268,435,456 at most",
        "loop.jpg": "unreadable: Too many levels of symbolic links",
        "pipe.jpg": "unreadable: is not a regular file",
    }
    assert (index["length"] == 0).sum() == 6 and index["length"]["pets/dog/zero.jpg"] == 0
    assert index["length"]["pets/dog/folder.jpg/inner.jpg"] > 0
    assert index["image_id"].is_unique


def test_a_file_that_may_not_be_read_is_in_the_index_with_its_problem():
    # Not beneath pytest's folder, which others may not enter.
    with TemporaryDirectory() as place:
        root, out = Path(place) / "in", Path(place) / "out"
        (root / "cat").mkdir(parents=True)
        for name in ("a.jpg", "b.jpg"):
            (root / "cat" / name).write_bytes(jpeg(1))
        (root / "cat" / "a.jpg").chmod(0)
        out.mkdir()
        for path, mode in ((place, 0o755), (out, 0o777)):
            os.chmod(path, mode)
        with unprivileged():
            ingested = ingest(params({"pets": folder(root)}), ShardWriter(out, 100_000))
    assert ingested.index["problem"].tolist() == ["unreadable: Permission denied", ""]


def test_a_file_that_vanishes_while_others_are_read_is_in_the_index(root, tmp_path):
    class Vanishing(ShardWriter):
        def add(self, image):
            (root / "dog" / "5.jpg").unlink(missing_ok=True)
            super().add(image)

    (tmp_path / "out").mkdir()
    ingested = ingest(params({"pets": folder(root)}), Vanishing(tmp_path / "out", 100_000))
    assert ingested.index["problem"].tolist()[:-1] == [""] * 5
    assert ingested.index["problem"].iloc[-1] == "unreadable: No such file or directory"


def test_a_link_out_of_the_root_stops_the_run(root, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(jpeg(9))
    (root / "dog" / "9.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(SourceError, match=r"9\.jpg: is a link that leads out of"):
        run(params({"pets": folder(root)}), tmp_path / "out")


def test_planted_faults_are_told_apart_from_the_index(tmp_path):
    faults = {
        "truncated_fraction": 0.02,
        "duplicate_fraction": 0.0,
        "wrong_label_fraction": 0.05,
        "thinned": {},
        "seed": 0,
    }
    ingested, _ = run(params({"d": {"type": "digits", "faults": faults}}), tmp_path / "out")
    assert set(ingested.faults["fault"]) == {"truncated", "wrong_label"}
    assert "fault" not in ingested.index and "true_label" not in ingested.index
    joined = ingested.index.merge(ingested.faults, on="image_id")
    wrong = joined[joined["fault"] == "wrong_label"]
    assert (wrong["label"] != wrong["true_label"]).all()
    assert set(joined["split"]) == {"train"}


def test_a_source_that_cannot_be_read_stops_the_run(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no image"):
        run(params({"a": folder(root), "b": folder(tmp_path / "empty")}), tmp_path / "out")


GOOD = {
    "keep_metadata": False,
    "shard_bytes": 100_000,
    "sources": {"d": {"type": "digits"}},
}


@pytest.mark.parametrize(
    "changed",
    [{"shard_bytes": 10}, {"sources": {}}, {"more": 1}],
)
def test_other_params_are_refused(changed):
    Params.model_validate(GOOD)
    with pytest.raises(ValidationError):
        Params.model_validate({**GOOD, **changed})


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([""], "1 to 100 characters"),
        (["x" * 101], "1 to 100 characters"),
        (["a/../b"], "without slash"),
        (["a\\b"], "without slash"),
        ([".."], "without slash"),
        (["a\0b"], "U\\+0000, which nobody sees"),
        (["a\nb"], "U\\+000A, which nobody sees"),
        (["a\u202eb"], "U\\+202E, which nobody sees"),
        (["a\u2028b"], "U\\+2028, which nobody sees"),
        ([" a"], "without space around it"),
        (["e\u0301"], "expected 'é', in Unicode's composed form"),
        (["photos", "Photos"], "'Photos' and 'photos' differ in case, space or form alone"),
        (["a b", "a  b"], "differ in case, space or form alone"),
        (["\uff41", "a"], "differ in case, space or form alone"),
    ],
)
def test_names_of_sources_can_be_read_and_told_apart(names, told):
    with pytest.raises(ValidationError, match=told):
        Params.model_validate({**GOOD, "sources": {name: {"type": "digits"} for name in names}})


def test_names_of_sources_may_be_any_other_text():
    names = ["photos 2026", "猫", "é", "a.b-c_d", "<b>&", "=1+1", "...", "-"]
    read = Params.model_validate({**GOOD, "sources": {key: {"type": "digits"} for key in names}})
    assert list(read.sources) == names
