"""Up in a line, down along half a cosine."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.schedule import cosine_with_warmup


def test_known_values():
    factors = [cosine_with_warmup(step, 12, 4) for step in range(13)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[8] == pytest.approx(0.5)
    assert factors[6] == pytest.approx(0.5 + math.sqrt(0.125))
    assert factors[12] == pytest.approx(0)


def test_without_warmup_it_begins_at_1():
    assert cosine_with_warmup(0, 10, 0) == 1.0


@given(st.integers(1, 200), st.integers(0, 250), st.integers(0, 300))
def test_the_factor_stays_in_the_unit_interval_and_turns_once(num_steps, num_warmup, step):
    factor, following = (
        cosine_with_warmup(each, num_steps, num_warmup) for each in (step, step + 1)
    )
    assert 0 <= factor <= 1
    assert (
        following >= factor if step + 1 < num_warmup else following <= factor or step < num_warmup
    )
    assert factor > 0 or step >= num_steps
