"""Images in Parquet files arrive with the names of their classes; another layout is told."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.artifacts.parquets import list_parquet
from tasks.core.errors import SourceError

IMAGES = pa.array(
    [
        {"bytes": b"0", "path": "x"},
        {"bytes": b"1", "path": None},
        {"bytes": None, "path": "y"},
        None,
    ],
    pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
)


def hugging_face(file: Path, names: list[str] | None, labels: pa.Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    features: dict = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    table = pa.table({"image": IMAGES, "label": labels})
    pq.write_table(table.replace_schema_metadata(metadata), file)


def test_class_names_are_read_from_the_schema(tmp_path):
    hugging_face(tmp_path / "f.parquet", ["cat", "dog"], pa.array([1, 0, None, 1]))
    arrivals = list(list_parquet(tmp_path / "f.parquet"))
    assert [a.label for a in arrivals] == ["dog", "cat", None, "dog"]
    assert [a.data for a in arrivals] == [b"0", b"1", b"", b""]
    assert [a.path for a in arrivals] == [f"f.parquet/{n:08d}" for n in range(4)]


def test_labels_without_names_are_numbers_as_text(tmp_path):
    hugging_face(tmp_path / "f.parquet", None, pa.array([1, 0, None, 12]))
    assert [a.label for a in list_parquet(tmp_path / "f.parquet")] == ["1", "0", None, "12"]
    hugging_face(tmp_path / "f.parquet", None, pa.array([0, -1, 5, None]))
    assert [a.label for a in list_parquet(tmp_path / "f.parquet")] == ["0", "-1", "5", None]


def test_minus_one_among_named_classes_is_no_label(tmp_path):
    hugging_face(tmp_path / "f.parquet", ["cat", "dog"], pa.array([1, -1, 0, None]))
    assert [a.label for a in list_parquet(tmp_path / "f.parquet")] == ["dog", None, "cat", None]


@pytest.mark.parametrize("number", [2, -2])
def test_a_class_without_a_name_is_told(tmp_path, number):
    hugging_face(tmp_path / "f.parquet", ["cat", "dog"], pa.array([1, 0, number, None]))
    with pytest.raises(SourceError, match=rf"row 3: label {number} has no name; .* 2 classes"):
        list(list_parquet(tmp_path / "f.parquet"))


def test_splits_come_from_file_names_in_order(tmp_path):
    for name in ("train-00000-of-00002", "train-00001-of-00002", "validation-0", "test", "other"):
        hugging_face(tmp_path / "data" / f"{name}.parquet", None, pa.array(["c"] * 4))
    found = [(a.path, a.split) for a in list_parquet(tmp_path) if a.path.endswith("/00000000")]
    assert found == [
        ("data/other.parquet/00000000", None),
        ("data/test.parquet/00000000", "test"),
        ("data/train-00000-of-00002.parquet/00000000", "train"),
        ("data/train-00001-of-00002.parquet/00000000", "train"),
        ("data/validation-0.parquet/00000000", "val"),
    ]


def test_images_without_labels_arrive(tmp_path):
    pq.write_table(pa.table({"image": IMAGES}), tmp_path / "f.parquet")
    assert [a.label for a in list_parquet(tmp_path / "f.parquet")] == [None] * 4


@pytest.mark.parametrize(
    "frame", [{"picture": [b""]}, {"image": [b""]}, {"image": [{"path": "x"}]}]
)
def test_another_layout_is_told(tmp_path, frame):
    pd.DataFrame(frame).to_parquet(tmp_path / "f.parquet")
    with pytest.raises(
        SourceError, match=r"f\.parquet: expected a column `image` of \{bytes, path\}"
    ):
        list(list_parquet(tmp_path / "f.parquet"))


def test_a_label_of_another_type_in_parquet_is_told(tmp_path):
    hugging_face(tmp_path / "f.parquet", None, pa.array([None, 1.5, None, None]))
    with pytest.raises(SourceError, match=r"f\.parquet: row 2: label 1\.5 is float"):
        list(list_parquet(tmp_path / "f.parquet"))


def test_no_parquet_files_are_told(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(SourceError, match=r"no such file, and no folder with \.parquet files"):
            list(list_parquet(path))


def test_torn_parquet_is_told(tmp_path):
    file = tmp_path / "f.parquet"
    hugging_face(file, None, pa.array(["c"] * 4))
    whole = file.read_bytes()
    for torn in (b"", whole[:-1], whole[:60] + bytes(40) + whole[100:]):
        file.write_bytes(torn)
        with pytest.raises(SourceError, match=r"f\.parquet: is not a readable Parquet file"):
            list(list_parquet(file))
