"""Cells that are no vectors are marked, and a hash is of what a table says."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.rows import content_hash, in_order, read_rows, sample_rows, stack_vectors
from tasks.artifacts.tables import load_table, save_table
from tasks.core.errors import ArtifactError
from tests.monitoring.planted import a_window


@pytest.mark.parametrize(
    "cell",
    [
        None,
        np.nan,
        [1.0],
        [1.0, 2.0, 3.0],
        [[1.0, 2.0]],
        "ab",
        ["a", "b"],
        [None, 1.0],
        3,
        {},
        b"ab",
    ],
)
def test_what_is_no_vector_of_that_length_is_nan(cell: Any) -> None:
    stacked = stack_vectors(pd.Series([[1, 2], cell, np.array([3.0, 4.0])], dtype=object), 2)
    assert stacked[[0, 2]].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert np.isnan(stacked[1]).all()


@pytest.mark.parametrize(
    ("embedding", "probabilities", "is_used"),
    [
        ([1.0, 2.0], [0.5, 0.5], True),
        ([1.0, 2.0], [0.502, 0.5], True),
        ([np.nan, 2.0], [0.5, 0.5], False),
        ([np.inf, 2.0], [0.5, 0.5], False),
        ([1e39, 2.0], [0.5, 0.5], False),
        ([1.0, 2.0], [np.nan, 0.5], False),
        ([1.0, 2.0], [0.5, 0.6], False),
        ([1.0, 2.0], [1.5, -0.5], False),
        (None, [0.5, 0.5], False),
    ],
)
def test_rows_that_hold_no_usable_numbers_are_left_out(
    embedding: Any, probabilities: Any, is_used: bool
) -> None:
    table = pd.DataFrame(
        {"embedding": [[0.0, 1.0], embedding], "probabilities": [[1.0, 0.0], probabilities]}
    )
    rows, is_used_N = read_rows(table, 2, 2)
    assert is_used_N.tolist() == [True, is_used]
    assert len(rows.embeddings_ND) == len(rows.probabilities_NK) == 1 + is_used


def test_a_hash_is_of_the_cells_alone(tmp_path: Path) -> None:
    table = a_window(50)
    save_table(table, tmp_path / "a.parquet")
    save_table(table[sorted(table.columns)], tmp_path / "b.parquet")
    one, other = (load_table(tmp_path / f"{name}.parquet") for name in "ab")
    assert content_hash(one) == content_hash(other)
    assert content_hash(in_order(one.iloc[::-1], "prediction_id")) == content_hash(one)
    changed = one.assign(width=[*one["width"][:-1], 33])
    renamed = one.rename(columns={"width": "height"})
    assert len({content_hash(table) for table in (one, changed, renamed, one[:49])}) == 4


def test_windows_of_several_writers_have_a_hash() -> None:
    table = a_window(4)
    wide = table.assign(embedding=[cell.astype(np.float64) for cell in table["embedding"]])
    mixed = pd.concat([table[:2], wide[2:]])
    assert content_hash(mixed) == content_hash(mixed) != content_hash(mixed[:3])


def test_a_column_of_several_kinds_is_told() -> None:
    with pytest.raises(ArtifactError, match="cells of several kinds"):
        content_hash(pd.DataFrame({"a": [1, "b", [2.0]]}))


def test_a_sample_is_all_rows_or_as_many_as_asked() -> None:
    assert sample_rows(5, 5, [0]).tolist() == [0, 1, 2, 3, 4]
    drawn = sample_rows(1000, 10, [0])
    assert len(set(drawn)) == 10 and sorted(drawn) == list(drawn)
    assert sample_rows(1000, 10, [0]).tolist() == drawn.tolist()
    assert sample_rows(1000, 10, [1]).tolist() != drawn.tolist()
