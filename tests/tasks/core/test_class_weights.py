"""Class weights by plain arithmetic."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasks.core.class_weights import ClassWeights

SECTIONS = TypeAdapter(ClassWeights)


def weights(counts: list[int], **section) -> list[float]:
    found = SECTIONS.validate_python(section).of(torch.tensor(counts, dtype=torch.float64))
    return found.tolist()


def test_inverse_frequency_makes_classes_weigh_the_same():
    found = weights([2, 10, 40], name="inverse_frequency", from_epoch=1)
    assert [count * weight for count, weight in zip([2, 10, 40], found, strict=True)] == (
        pytest.approx([found[0] * 2] * 3)
    )
    assert sum(found) == pytest.approx(3)


def test_effective_numbers_add_what_each_further_row_is_worth():
    """n rows are worth 1 + β + β² + …: each one the share β of the one before."""
    counts, beta = [1, 3, 30, 500], 0.99
    found = weights(counts, name="effective_number", beta=beta, from_epoch=1)
    numbers = [sum(beta**row for row in range(count)) for count in counts]
    total = sum(1 / number for number in numbers)
    assert found == pytest.approx([4 / number / total for number in numbers])


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=9))
def test_effective_numbers_lie_between_none_and_inverse_frequency(counts):
    none = weights(counts, name="none")
    assert none == [1.0] * len(counts)
    low = weights(counts, name="effective_number", beta=0.0, from_epoch=1)
    assert low == pytest.approx(none)
    high = weights(counts, name="effective_number", beta=1 - 1e-9, from_epoch=1)
    assert high == pytest.approx(weights(counts, name="inverse_frequency", from_epoch=1), rel=1e-3)


@pytest.mark.parametrize(
    "section",
    [
        {"name": "none", "from_epoch": 1},
        {"name": "inverse_frequency"},
        {"name": "inverse_frequency", "from_epoch": 0},
        {"name": "effective_number", "beta": 1.0, "from_epoch": 1},
        {"name": "square_root", "from_epoch": 1},
    ],
)
def test_other_sections_are_refused(section):
    with pytest.raises(ValidationError):
        SECTIONS.validate_python(section)
