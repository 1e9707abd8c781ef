"""Manifests: what is right arrives, what is wrong is told by row.

Long because it holds every fault that a list of images may have.
"""

import unicodedata
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.artifacts.folders import Arrival
from tasks.artifacts.manifests import list_manifest
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
        (
            b"path,label,Split\na.png,cat,val\n",
            r"has the columns \['Split'\], which would not be read",
        ),
        (b"path,label, sha256\na.png,cat,x\n", r"has the columns \[' sha256'\], which would not"),
        (b"path\na.png\n", r"lacks the columns \['label'\]"),
        (b"label\ncat\n", r"lacks the columns \['path'\]"),
        (b"Path,Label\na.png,cat\n", r"lacks the columns \['path', 'label'\].*found \['Path'"),
        (b"path,label,label\na.png,cat,dog\n", r"has the columns \['label'\] more than once"),
        (b"path,label\na.png,cat\na.png,dog\n", "row 2: names 'a.png', which a row before"),
        (b"path,label\na.png,cat\n./a.png,cat\n", "row 2: names 'a.png', which a row before"),
        (b"path,label\nin//x.png,cat\nin/./x.png,cat\n", "row 2: names 'in/x.png', which"),
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
    found = sha256(b"B").hexdigest()
    assert (second.data, second.problem) == (
        b"",
        f"wrong_hash: sha256 is {found}; the manifest states {bad}",
    )
    assert csv(root, "path,label,sha256\na.png,cat,\n")[0].problem == ""


def test_a_hash_says_nothing_of_a_file_that_is_not_there(root):
    (arrival,) = csv(root, f"path,label,sha256\ngone.png,cat,{'0' * 64}\n")
    assert arrival.problem == "unreadable: No such file or directory"


@pytest.mark.parametrize("stated", ["0" * 63, "0" * 65, "g" * 64, "sha256:" + "0" * 64, "0x0"])
def test_a_hash_that_is_none_is_told(root, stated):
    message = r"row 1 \(a\.png\): sha256 '.*' is not 64 hexadecimal digits"
    with pytest.raises(SourceError, match=message):
        csv(root, f"path,label,sha256\na.png,cat,{stated}\n")


@pytest.mark.parametrize(
    "label", ['=HYPERLINK(""http://a/"",""b"")', "<script>alert(1)</script>", "-1", "inf", "1.0"]
)
def test_a_label_stays_the_text_that_it_is(root, label):
    quoted = f'path,label\na.png,"{label}"\n'
    assert csv(root, quoted)[0].label == label.replace('""', '"')


def test_twins_by_space_and_form_are_one_label(root):
    for name in "cdef":
        (root / f"{name}.png").write_bytes(b"")
    apart, composed = unicodedata.normalize("NFD", "é"), unicodedata.normalize("NFC", "é")
    arrivals = csv(
        root,
        f'path,label\na.png,{apart}\nc.png,{composed}\nd.png, {composed} \ne.png,"{composed}\n"\n'
        "f.png,É\n",
    )
    assert [a.label for a in arrivals] == [composed] * 4 + ["É"]


@pytest.mark.parametrize("text", ["a.png,\nin/b c.png,\n", 'a.png," "\nin/b c.png,""\n'])
def test_a_column_of_empty_labels_is_no_label(root, text):
    assert [a.label for a in csv(root, f"path,label\n{text}")] == [None, None]


def test_moments_may_lie_ahead_and_be_equal(root):
    rows = "a.png,cat,2999-01-01\nin/b c.png,cat,2999-01-01\n"
    arrivals = csv(root, f"path,label,captured_at\n{rows}")
    assert [a.captured_at for a in arrivals] == ["2999-01-01T00:00:00+00:00"] * 2


@pytest.mark.parametrize("column", ["path", "label", "group", "split", "captured_at", "sha256"])
def test_a_cell_without_end_is_told_in_few_words(root, column):
    row = {"path": "a.png", "label": "cat", column: "x" * 1_000_000}
    with pytest.raises(SourceError, match=f"{column} 'xxx.* has 1,000,000 characters") as caught:
        parquet(root, **{name: [value] for name, value in row.items()})
    assert len(str(caught.value)) < 500
    row[column] = "x" * 5000
    with pytest.raises(SourceError, match=f"{column} 'xxx.* has 5,000 characters"):
        csv(root, f"{','.join(row)}\n{','.join(row.values())}\n")


def test_an_archive_is_no_manifest(root):
    (root / "m.zip").write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"m\.zip: is an archive"):
        list(list_manifest(root / "m.zip"))


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


def test_whole_numbers_stay_whole_beside_empty_cells(root):
    arrivals = parquet(
        root,
        path=["a.png", "in/b c.png"],
        label=pa.array([7, None], pa.int64()),
        group=pa.array([None, 2**60 + 1], pa.int64()),
    )
    assert [(a.label, a.group) for a in arrivals] == [("7", None), (None, str(2**60 + 1))]


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
@pytest.mark.parametrize("column", ["label", "group", "captured_at", "sha256"])
def test_a_number_without_end_is_told(root, column, value):
    cells = {"path": ["a.png"], "label": ["cat"], column: [value]}
    with pytest.raises(SourceError, match=f"{column} -?inf is float, expected text"):
        parquet(root, **cells)


def test_a_column_of_nan_is_empty(root):
    (arrival,) = parquet(root, path=["a.png"], label=[float("nan")], group=[float("nan")])
    assert (arrival.label, arrival.group) == (None, None)
    with pytest.raises(SourceError, match="row 1: path nan is not text"):
        parquet(root, path=[float("nan")], label=["cat"])


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
