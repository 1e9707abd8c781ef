"""Tables come back as they were, bytes stay put, and what people open in a spreadsheet is text."""

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.tables import (
    load_csv,
    load_rows,
    load_table,
    save_csv,
    save_rows,
    save_table,
)
from tasks.core.errors import ArtifactError

FRAME = pd.DataFrame(
    {"id": ["a", "b", "c"], "label": pd.array(["x", None, "ü"], "string"), "n": [1, 2, 3]}
)


def test_a_table_comes_back_without_its_index(tmp_path):
    save_table(FRAME.set_index(np.array([7, 8, 9])), tmp_path / "t.parquet")
    read = load_table(tmp_path / "t.parquet")
    assert read.columns.tolist() == ["id", "label", "n"]
    assert read.index.tolist() == [0, 1, 2]
    assert read["label"].isna().tolist() == [False, True, False]
    assert read["n"].tolist() == [1, 2, 3]


def test_the_same_frame_gives_the_same_bytes(tmp_path):
    save_table(FRAME, tmp_path / "one")
    save_table(FRAME.copy().set_index(np.array([3, 4, 5])), tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_columns_are_chosen_and_missing_ones_told(tmp_path):
    save_table(FRAME, tmp_path / "t")
    assert load_table(tmp_path / "t", ["n"]).columns.tolist() == ["n"]
    with pytest.raises(ArtifactError, match=r"lacks the columns \['m', 'o'\]; it has \['id'"):
        load_table(tmp_path / "t", ["n", "o", "m"])


@pytest.mark.parametrize("load", [load_table, load_rows, load_csv])
def test_a_missing_file_is_told(tmp_path, load):
    with pytest.raises(ArtifactError, match="nowhere: does not exist"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("load", [load_table, load_rows])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"id,label\n", b"\x80\x04N.", b"PK\3\4junk"])
def test_another_kind_of_file_is_told(tmp_path, load, data):
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(ArtifactError, match="f: is not a readable"):
        load(tmp_path / "f")


def test_damage_within_a_table_is_told(tmp_path):
    file = tmp_path / "t.parquet"
    save_table(pd.DataFrame({"a": [str(number) for number in range(5000)]}), file)
    whole = file.read_bytes()
    refused = 0
    for at in range(20, len(whole), len(whole) // 40):
        file.write_bytes(
            whole[:at] + bytes(byte ^ 0xFF for byte in whole[at : at + 8]) + whole[at + 8 :]
        )
        try:
            load_table(file)
        except ArtifactError:
            refused += 1
    assert refused > 20


def test_rows_come_back(tmp_path):
    for rows in ([], [3, 1, 1], np.arange(5, dtype=np.int32)):
        save_rows(np.array(rows), tmp_path / "r.npy")
        read = load_rows(tmp_path / "r.npy")
        assert read.dtype == np.int64 and read.tolist() == list(rows)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), np.int64), np.zeros(3), np.array(["a"]), np.int64(3)]
)
def test_an_array_of_another_kind_is_told(tmp_path, array):
    np.save(tmp_path / "r.npy", array)
    with pytest.raises(ArtifactError, match=r"expected int64 \(N,\)"):
        load_rows(tmp_path / "r.npy")


def test_pickled_rows_are_not_loaded(tmp_path):
    np.save(tmp_path / "r.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="is not a readable"):
        load_rows(tmp_path / "r.npy")


@pytest.mark.parametrize(
    "formula", ['=HYPERLINK("http://a/","b")', "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1"]
)
@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_formulas_become_text(tmp_path, formula, dtype):
    cells = [formula, "a=b", None, "", f"a{formula}"]
    frame = pd.DataFrame({"label": pd.Series(cells, dtype=dtype), "n": -1})
    save_csv(frame, tmp_path / "f.csv")
    read = load_csv(tmp_path / "f.csv")
    # A carriage return outside quotes would begin a row.
    shown = formula.replace("\r", "\n")
    assert read["label"].tolist() == [f"'{shown}", "a=b", "", "", f"a{shown}"]
    assert read["n"].tolist() == ["-1"] * 5
    assert frame["label"].iloc[0] == formula


def test_csv_bytes_do_not_hang_on_the_system(tmp_path):
    save_csv(pd.DataFrame({"a": ["x", 'y"z,\n']}), tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_bytes() == b'a\nx\n"y""z,\n"\n'


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa,b\r\n1,NA\r\n",
        b"a,b\n1,NA\n",
        b'a,b\n"1",NA',
        b"\na,b\n\n1,NA\n\n",
        b"a,b\r1,NA\r",
    ],
)
def test_cells_are_text_whatever_ends_the_lines(tmp_path, data):
    (tmp_path / "f.csv").write_bytes(data)
    assert load_csv(tmp_path / "f.csv").to_dict("list") == {"a": ["1"], "b": ["NA"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"a,b\n1\n", "row 1 has 1 cells"),
        (b"a,b\n1,2\n1,2,3\n", "row 2 has 3 cells"),
        (b"a,b\n1,2,3\n4,5,6\n", "row 1 has 3 cells"),
        (b'a,b\n"1,2\n', "unexpected end"),
        (b"a,b\n1,\xff\n", "utf-8"),
        ("a,b\n1,2\n".encode("utf-16"), "utf-8"),
        (b"a,b\n1," + b"x" * 1_000_000 + b"\n", "field larger"),
    ],
)
def test_malformed_csv_is_told(tmp_path, data, message):
    (tmp_path / "f.csv").write_bytes(data)
    with pytest.raises(ArtifactError, match=f"is not a readable CSV file.*{message}"):
        load_csv(tmp_path / "f.csv")


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    (tmp_path / "f.csv").write_bytes(b"a,b\n")
    read = load_csv(tmp_path / "f.csv")
    assert read.columns.tolist() == ["a", "b"] and len(read) == 0
