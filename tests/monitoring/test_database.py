"""Rows go in by the hundred and by name, and those that are there stay as they are."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, inspect, select

from monitoring.database import insert, open_engine
from monitoring.store import parse_store
from monitoring.tables import METADATA, REQUESTS
from tasks.core.errors import ArtifactError


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_engine(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))


def rows_of(numbers: list[int], moment: int) -> list[dict[str, object]]:
    # In another order than the table's.
    return [
        {"num_images": number, "request_id": f"{number}", "received_at": moment}
        for number in numbers
    ]


@given(first=st.integers(0, 250), second=st.integers(0, 250))
@settings(max_examples=20, deadline=None)
def test_any_number_of_rows_is_there_once_and_as_it_was_first(first: int, second: int) -> None:
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    with engine.begin() as connection:
        insert(connection, REQUESTS, rows_of(list(range(first)), 1))
        insert(connection, REQUESTS, rows_of(list(range(second)), 2))
        found = {row.num_images: row for row in connection.execute(select(REQUESTS))}
    assert sorted(found) == list(range(max(first, second)))
    assert all(row.request_id == f"{number}" for number, row in found.items())
    assert [row.received_at for row in found.values()].count(1) == first


def test_a_table_without_such_a_column_takes_nothing(engine: Engine) -> None:
    rows = [row | {"colour": "red"} for row in rows_of([1], 1)]
    with pytest.raises(ArtifactError, match="colour"), engine.begin() as connection:
        insert(connection, REQUESTS, rows)
    with engine.connect() as connection:
        assert connection.execute(select(REQUESTS)).all() == []


def test_a_new_store_may_be_opened_by_several_at_once(address: str) -> None:
    url, together = parse_store(address), Barrier(4)

    def open_together(_: int) -> set[str]:
        together.wait()
        return set(inspect(open_engine(url)).get_table_names())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(open_together, range(4))) == [set(METADATA.tables)] * 4
