"""Every row is seen once an epoch, in an order that (seed, epoch) alone decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.batches import Batch, check_parts, num_batches, parts_of, shuffled_batches
from tasks.core.errors import ParamsError


@given(num_rows=st.integers(0, 200), batch_size=st.integers(2, 50), epoch=st.integers(0, 3))
def test_all_rows_come_once_in_batches_of_like_size(num_rows, batch_size, epoch):
    rows = np.arange(1000, 1000 + num_rows)
    batches = list(shuffled_batches(rows, batch_size, 7, epoch))
    seen = [row for batch in batches for row in batch.rows.tolist()]
    assert sorted(seen) == (rows.tolist() if num_rows > 1 else [])
    assert [batch.number for batch in batches] == list(range(num_batches(num_rows, batch_size)))
    sizes = {len(batch.rows) for batch in batches}
    assert not sizes or 2 <= min(sizes) <= max(sizes) <= max(3, batch_size)
    assert not sizes or max(sizes) - min(sizes) <= 1


@given(num_rows=st.integers(2, 100), num_parts=st.integers(1, 8))
def test_parts_are_the_batch_cut_evenly(num_rows, num_parts):
    batch = Batch(3, np.arange(100, 100 + num_rows))
    parts = parts_of(batch, 5, num_parts)
    assert np.concatenate([part.own_rows for part in parts]).tolist() == batch.rows.tolist()
    assert np.concatenate([part.places for part in parts]).tolist() == list(range(num_rows))
    sizes = [len(part.own_rows) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert {(part.epoch, part.number) for part in parts} == {(5, 3)}


def test_parts_of_less_than_two_rows_are_refused():
    check_parts(64, 16, 8)
    with pytest.raises(ParamsError, match=r"batches of 16 rows .* into 9 parts"):
        check_parts(64, 16, 9)
    # 17 rows at 16 a batch are two batches, of nine and of eight.
    with pytest.raises(ParamsError, match="batches of 8 rows"):
        check_parts(17, 16, 5)


def test_repeated_rows_are_repeated():
    rows = np.array([5, 5, 5, 9])
    (batch,) = shuffled_batches(rows, 10, 0, 0)
    assert sorted(batch.rows.tolist()) == [5, 5, 5, 9]


def test_the_order_hangs_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return [
            row for batch in shuffled_batches(np.arange(64), 16, seed, epoch) for row in batch.rows
        ]

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_the_rows_given_keep_their_order():
    rows = np.arange(50)
    list(shuffled_batches(rows, 8, 0, 0))
    assert rows.tolist() == list(range(50))


def test_draws_of_a_part_hang_on_its_place_and_the_seed_alone():
    rows = np.arange(64)
    seeds = {
        part.seed(seed)
        for seed in (0, 1)
        for epoch in (1, 2)
        for batch in shuffled_batches(rows, 16, 0, epoch)
        for part in parts_of(batch, epoch, 2)
    }
    assert len(seeds) == 2 * 2 * 4 * 2
    one, other = (parts_of(Batch(3, rows[:num]), 1, 1)[0] for num in (10, 20))
    assert one.seed(5) == other.seed(5)
