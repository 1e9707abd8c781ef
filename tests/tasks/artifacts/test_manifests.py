"""Manifests and Parquet files: what is right arrives, what is wrong is told by row."""

import json
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.artifacts.folders import Arrival
from tasks.artifacts.manifests import list_manifest, list_parquet
from tasks.core.errors import SourceError


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "a.png").write_bytes(b"A")
    (root / "in" / "b c.png").write_bytes(b"B")
    (tmp_path / "secret.png").write_bytes(b"SECRET")
    return root


def csv(root: Path, text: str | bytes) -> list[Arrival]:
    file = root / "manifest.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(list_manifest(file))


def parquet(root: Path, **columns) -> list[Arrival]:
    pq.write_table(pa.table(columns), root / "manifest.parquet")
    return list(list_manifest(root / "manifest.parquet"))


def test_rows_arrive_in_order_of_path(root):
    arrivals = csv(
        root,
        "label,path,group,split,captured_at,note\n"
        "dog,in/b c.png,g1,val,2026-01-31T12:00:00+02:00,x\n"
        " cat ,a.png,,,,\n",
    )
    assert arrivals == [
        Arrival("a.png", b"A", "cat"),
        Arrival("in/b c.png", b"B", "dog", "val", "g1", "2026-01-31T10:00:00+00:00"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfpath,label\r\na.png,cat\r\n",
        b'"path","label"\n"a.png","cat"',
        b"path,label\n\na.png,cat\n\n",
        b"path,label\ra.png,cat\r",
    ],
    ids=["BOM and CRLF", "quotes", "blank lines", "CR"],
)
def test_dialects_are_read_alike(root, text):
    assert csv(root, text) == [Arrival("a.png", b"A", "cat")]


@pytest.mark.parametrize("label", ["", " ", '" "'])
def test_an_empty_label_is_none(root, label):
    assert csv(root, f"path,label\na.png,{label}\n")[0].label is None


@pytest.mark.parametrize("label", ["NA", "nan", "null", "None", "0", "1e3", "TRUE", "007"])
def test_labels_are_text_whatever_they_look_like(root, label):
    assert csv(root, f"path,label\na.png,{label}\n")[0].label == label


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "it is empty"),
        (b"path,label\n", "has a header but no rows"),
        (b"path\na.png\n", r"lacks the columns \['label'\]"),
        (b"label\ncat\n", r"lacks the columns \['path'\]"),
        (b"Path,Label\na.png,cat\n", r"lacks the columns \['path', 'label'\].*found \['Path'"),
        (b"path,label,label\na.png,cat,dog\n", r"has the columns \['label'\] more than once"),
        (b"path,label\na.png,cat\na.png,dog\n", "names 'a.png' more than once"),
        (b"path,label\na.png\n", "row 1 has 1 cells"),
        (b"path,label\nx.png,cat\na.png,cat,dog\n", "row 2 has 3 cells"),
        (b"path,label\na.png,cat,\n", "row 1 has 3 cells"),
        (b'path,label\n"a.png,cat\n', "unexpected end of data"),
        ("path,label\na.png,cat\n".encode("utf-16"), "is not a CSV file in UTF-8"),
        ("path,label\na.png,cät\n".encode("latin-1"), "is not a CSV file in UTF-8"),
        (b"path,label\na.png," + b"x" * 1_000_000, "field larger"),
        (b"PK\x03\x04 a spreadsheet", "lacks the columns"),
    ],
)
def test_a_malformed_manifest_is_told(root, text, message):
    with pytest.raises(SourceError, match=rf"manifest\.csv: .*{message}"):
        csv(root, text)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",cat,", "path '' is not text"),
        (" ,cat,", "path ' ' is not text"),
        ("../secret.png,cat,", "must be relative"),
        ("in/../../secret.png,cat,", "must be relative"),
        ("in/../a.png,cat,", "must be relative"),
        ("..,cat,", "must be relative"),
        ("/etc/passwd,cat,", "must be relative"),
        ("//etc/passwd,cat,", "must be relative"),
        ("in\\b c.png,cat,", "must be relative"),
        ("a\0.png,cat,", "must be relative"),
        (".,cat,", "leads out"),
        ("a.png,cat,tset", r"\(a\.png\): split 'tset' is not one of \['train', 'val', 'test'\]"),
        ("a.png,cat,Train", "split 'Train' is not one of"),
    ],
)
def test_a_wrong_row_is_told_by_number(root, row, message):
    with pytest.raises(SourceError, match=f"row 2.*{message}"):
        csv(root, f"path,label,split\nzzz.png,dog,\n{row}\n")


def test_a_path_is_not_decoded_before_it_is_opened(root):
    (arrival,) = csv(root, "path,label\n%2e%2e/secret.png,cat\n")
    assert (arrival.data, arrival.problem) == (b"", "unreadable: No such file or directory")
    (root / "%2e%2e").mkdir()
    (root / "%2e%2e" / "secret.png").write_bytes(b"inside")
    assert csv(root, "path,label\n%2e%2e/secret.png,cat\n")[0].data == b"inside"


def test_a_link_that_leads_out_is_refused(root):
    (root / "link.png").symlink_to("../secret.png")
    (root / "out").symlink_to("..")
    for path in ("link.png", "out/secret.png"):
        with pytest.raises(SourceError, match=r"leads out of .* through a link"):
            csv(root, f"path,label\n{path},cat\n")


def test_a_link_within_is_followed(root):
    (root / "link.png").symlink_to("in/b c.png")
    assert csv(root, "path,label\nlink.png,cat\n")[0].data == b"B"


def test_what_cannot_be_read_is_a_problem_of_its_row(root):
    arrivals = csv(root, "path,label\na.png,cat\ngone.png,cat\nin,cat\n")
    assert [a.problem for a in arrivals][:2] == ["", "unreadable: No such file or directory"]
    assert arrivals[2].problem and not arrivals[2].data


def test_a_hash_that_differs_is_a_problem_and_keeps_the_bytes_out(root):
    good, bad = sha256(b"A").hexdigest().upper(), "0" * 64
    first, second = csv(root, f"path,label,sha256\na.png,cat,{good}\nin/b c.png,cat,{bad}\n")
    assert (first.data, first.problem) == (b"A", "")
    assert (second.data, second.problem) == (
        b"",
        "sha256 differs from the manifest's 000000000000…",
    )
    assert csv(root, "path,label,sha256\na.png,cat,\n")[0].problem == ""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31 23:59", "2026-01-31T23:59:00+00:00"),
        ("2026-01-31T23:59:59.75Z", "2026-01-31T23:59:59+00:00"),
        ("2026-01-31T23:30:00-01:00", "2026-02-01T00:30:00+00:00"),
        ("20260131T120000", "2026-01-31T12:00:00+00:00"),
        ("", None),
    ],
)
def test_moments_become_utc(root, text, moment):
    assert csv(root, f"path,label,captured_at\na.png,cat,{text}\n")[0].captured_at == moment


@pytest.mark.parametrize(
    "text",
    [
        "31.01.2026",
        "2026-02-30",
        "yesterday",
        "1769860800",
        "2026-01-31T25:00",
        "0001-01-01T00:00+12:00",
    ],
)
def test_another_moment_is_refused(root, text):
    with pytest.raises(SourceError, match=r"row 1 \(a\.png\): captured_at '"):
        csv(root, f"path,label,captured_at\na.png,cat,{text}\n")


def test_parquet_types_are_read(root):
    zoned = pa.array([datetime(2026, 1, 31, 12)], pa.timestamp("us", "Europe/Zurich"))
    exact = pa.array([1_769_860_800_123_456_789], pa.timestamp("ns"))
    for moments, expected in (
        (zoned, "T12:00:00"),
        (exact, "T12:00:00"),
        (pa.array([None], pa.timestamp("s")), None),
    ):
        (arrival,) = parquet(root, path=["a.png"], label=["cat"], captured_at=moments)
        assert (arrival.captured_at or "")[10:19] == (expected or "")
    (arrival,) = parquet(root, path=["a.png"], label=[7], group=pa.array([None], pa.string()))
    assert (arrival.label, arrival.group) == ("7", None)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        (1.5, "float"),
        (True, "bool"),
        (b"cat", "bytes"),
        (date(2026, 1, 1), "date"),
        (["cat"], "ndarray"),
    ],
)
def test_a_label_of_another_type_is_told(root, label, kind):
    with pytest.raises(SourceError, match=rf"row 1 \(a\.png\): label .* is {kind}, expected text"):
        parquet(root, path=["a.png"], label=[label])


def test_a_path_of_another_type_is_told(root):
    with pytest.raises(SourceError, match="row 1: path 7 is not text"):
        parquet(root, path=[7], label=["cat"])


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"path,label\na.png,cat\n", b"PAR1" + bytes(90) + b"PAR1"]
)
def test_a_torn_parquet_manifest_is_told(root, data):
    (root / "m.parquet").write_bytes(data)
    with pytest.raises(SourceError, match=r"m\.parquet: is not a readable Parquet file"):
        list(list_manifest(root / "m.parquet"))


def test_a_missing_manifest_is_told(root):
    for path in (root / "gone.csv", root):
        with pytest.raises(SourceError, match="no such manifest"):
            list(list_manifest(path))


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
    hugging_face(tmp_path / "f.parquet", ["cat"], pa.array([0, -1, 5, None]))
    assert [a.label for a in list_parquet(tmp_path / "f.parquet")] == ["cat", "-1", "5", None]


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
