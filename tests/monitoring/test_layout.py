"""A window is the same from a store and from Parquet."""

from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest

from monitoring.layout import load_window
from monitoring.store import Store, parse_store
from tasks.artifacts.predictions import save_predictions
from tasks.core.errors import ArtifactError
from tests.monitoring.records import START, feedback, record

END = START + timedelta(seconds=7)


def test_from_a_store_from_a_file_and_from_a_folder(tmp_path):
    url = f"sqlite:///{tmp_path}/store.sqlite"
    store = Store(parse_store(url))
    store.add([record(number, metadata='{"site": "a"}') for number in range(10)])
    store.add([feedback(2, "light", 10.0)])
    store.close()
    expected = load_window(url, START, END)
    assert len(expected) == 7 and expected["site"].eq("a").all()
    whole = load_window(url, START, START + timedelta(days=1))
    for name, rows in (("a", whole[:4]), ("b", whole[4:])):
        table = pa.Table.from_pandas(rows, preserve_index=False)
        save_predictions(table, tmp_path / f"days/{name}.parquet")
    save_predictions(pa.Table.from_pandas(whole, preserve_index=False), tmp_path / "all.parquet")
    for source in (tmp_path / "days", str(tmp_path / "all.parquet")):
        pd.testing.assert_frame_equal(load_window(source, START, END), expected)


@pytest.mark.parametrize("source", ["sqlite:///{}/none.sqlite", "{}/none.parquet", "{}/none"])
def test_what_is_not_there_is_told_and_not_made(tmp_path, source):
    with pytest.raises(ArtifactError, match="none"):
        load_window(source.format(tmp_path), START, END)
    assert list(tmp_path.iterdir()) == []
