"""Every row is seen once an epoch, in an order that (seed, epoch) alone decide."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.batches import num_batches, shuffled_batches


@given(num_rows=st.integers(0, 200), batch_size=st.integers(2, 50), epoch=st.integers(0, 3))
def test_all_rows_come_once_but_for_a_last_one_alone(num_rows, batch_size, epoch):
    rows = np.arange(1000, 1000 + num_rows)
    batches = list(shuffled_batches(rows, batch_size, 7, epoch))
    seen = [row for batch in batches for row in batch.rows.tolist()]
    left_out = 1 if num_rows % batch_size == 1 else 0
    assert len(seen) == len(set(seen)) == num_rows - left_out
    assert set(seen) <= set(rows.tolist())
    assert [batch.number for batch in batches] == list(range(num_batches(num_rows, batch_size)))
    assert all(2 <= len(batch.rows) <= batch_size for batch in batches)


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
