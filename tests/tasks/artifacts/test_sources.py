"""A source is chosen by its type, and its section says no more than it knows."""

import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.artifacts.sources import Source, arrivals
from tasks.core.digits import make_digits
from tasks.core.errors import SourceError

ADAPTER: TypeAdapter = TypeAdapter(Source)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"A")
    (tmp_path / "m.csv").write_text("path,label\ncat/a.png,dog\n")
    table = pa.table({"image": [{"bytes": b"P", "path": "p"}], "label": ["fox"]})
    pq.write_table(table, tmp_path / "f.parquet")
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.write(tmp_path / "cat" / "a.png", "in/fox/z.png")
    return tmp_path


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"type": "folder", "root": ""}, ("cat/a.png", b"A", "cat")),
        ({"type": "folder", "root": "", "unlabelled": ["cat"]}, ("cat/a.png", b"A", None)),
        ({"type": "folder", "root": "f.zip/in"}, ("fox/z.png", b"A", "fox")),
        ({"type": "folder", "root": "f.zip", "unlabelled": ["in"]}, ("in/fox/z.png", b"A", None)),
        ({"type": "manifest", "file": "m.csv"}, ("cat/a.png", b"A", "dog")),
        ({"type": "parquet", "root": "f.parquet"}, ("f.parquet/00000000", b"P", "fox")),
    ],
)
def test_each_type_lists_its_images(root, section, expected):
    placed = {k: str(root / v) if k in ("root", "file") else v for k, v in section.items()}
    (arrival,) = arrivals(ADAPTER.validate_python(placed))
    assert (arrival.path, arrival.data, arrival.label) == expected


def test_digits_need_no_files():
    listed = list(arrivals(ADAPTER.validate_python({"type": "digits"})))
    assert [a.data for a in listed] == [digit.data for digit in make_digits(None)]
    assert {a.split for a in listed} == {"train", "val", "test"}


@pytest.mark.parametrize(
    "section",
    [
        {"type": "zip", "root": "x"},
        {"root": "x"},
        {"type": "folder"},
        {"type": "folder", "root": ""},
        {"type": "folder", "root": "x", "labels": "y"},
        {"type": "folder", "root": 7},
        {"type": "manifest", "root": "x"},
        {"type": "digits", "faults": {"seed": 0}},
    ],
)
def test_other_sections_are_refused(section):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(section)


@pytest.mark.parametrize(
    "section",
    [{"type": "folder", "root": "/nowhere/x"}, {"type": "manifest", "file": "/nowhere/m.csv"},
     {"type": "parquet", "root": "/nowhere/x"}],
)  # fmt: skip
def test_a_missing_source_is_told(section):
    with pytest.raises(SourceError, match="/nowhere/"):
        list(arrivals(ADAPTER.validate_python(section)))
