"""The layout that monitoring reads is written and read without loss, and held to."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.artifacts.predictions import SCHEMA, load_predictions, save_predictions, tabulate
from tasks.core.errors import ArtifactError

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=1)


def row(number: int, **more) -> dict:
    return {
        "prediction_id": f"p{number}",
        "predicted_at": START + timedelta(hours=number),
        "model_sha256": "m",
        "predicted": "a",
        "probabilities": np.array([0.5, 0.5]),
        "embedding": np.array([number, 0.25]),
        "refused": "",
        "brightness": 0.5,
        **more,
    }


def test_a_window_holds_its_start_and_not_its_end(tmp_path):
    rows = [row(30), row(24), row(23, camera=3), row(0, site="é")]
    save_predictions(tabulate(rows), tmp_path / "p.parquet")
    frame = load_predictions(tmp_path / "p.parquet", START, END)
    assert frame["prediction_id"].tolist() == ["p0", "p23"]
    assert list(frame.columns) == [*SCHEMA.names, "camera", "site"]
    assert frame["site"].tolist() == ["é", None] and np.isnan(frame["camera"][0])
    np.testing.assert_array_equal(frame["embedding"][1], np.array([23, 0.25], np.float32))


def test_equal_rows_give_equal_bytes(tmp_path):
    for name in "ab":
        save_predictions(tabulate([row(1), row(2)]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_metadata_of_two_kinds_are_text():
    assert tabulate([row(1, x=1.5), row(2, x="a"), row(3)])["x"].to_pylist() == ["1.5", "a", None]


def test_what_others_write_may_lack_labels_and_measures_and_be_of_other_widths(tmp_path):
    table = tabulate([row(1)]).select(SCHEMA.names[:7])
    index = table.column_names.index("predicted_at")
    table = table.set_column(
        index, "predicted_at", table["predicted_at"].cast(pa.timestamp("ms", tz="UTC"))
    )
    index = table.column_names.index("embedding")
    table = table.set_column(index, "embedding", table["embedding"].cast(pa.list_(pa.float64())))
    pq.write_table(table, tmp_path / "p.parquet")
    frame = load_predictions(tmp_path / "p.parquet", START, END)
    assert frame["label"].isna().all() and frame["brightness"].isna().all()
    assert frame["predicted_at"][0] == pd.Timestamp(START + timedelta(hours=1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["refused"]), r"lacks the columns \['refused'\]"),
        (lambda table: table.set_column(5, "embedding", pa.array(["x"])), "column embedding"),
        (lambda table: table.set_column(1, "predicted_at", pa.array(["x"])), "predicted_at|read"),
    ],
)
def test_what_is_of_another_layout_is_told(tmp_path, change, said):
    pq.write_table(change(tabulate([row(1)])), tmp_path / "p.parquet")
    with pytest.raises(ArtifactError, match=said):
        load_predictions(tmp_path / "p.parquet", START, END)


def test_a_file_that_is_none_is_told(tmp_path):
    (tmp_path / "p.parquet").write_text("no table")
    for name in ("p.parquet", "none.parquet"):
        with pytest.raises(ArtifactError, match=name):
            load_predictions(tmp_path / name, START, END)
