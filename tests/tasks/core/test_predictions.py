"""Each image has a row; one with a problem has no label, whatever the net would say of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.predictions import tabulate_predictions

CLASSES = ["cat", "dog", "猫"]


@given(st.lists(st.booleans(), max_size=20), st.integers(0, 9))
def test_the_label_is_the_class_of_the_largest_probability(usable, seed):
    probabilities = np.random.default_rng(seed).dirichlet([1, 1, 1], len(usable))
    problems = ["" if one else "empty: no bytes" for one in usable]
    paths = [f"{number}.png" for number in range(len(usable))]
    table = tabulate_predictions(paths, problems, probabilities, CLASSES)
    assert table["path"].tolist() == paths and table["problem"].tolist() == problems
    for row, shares, good in zip(table.to_dict("records"), probabilities, usable, strict=True):
        if good:
            assert row["label"] == CLASSES[shares.argmax()]
            assert row["confidence"] == shares.max()
            assert [row[f"probability_{name}"] for name in CLASSES] == shares.tolist()
        else:
            assert not isinstance(row["label"], str)
            assert np.isnan([row["confidence"], *(row[f"probability_{n}"] for n in CLASSES)]).all()


@pytest.mark.parametrize("problems", [["empty: x"], [""]])
def test_columns_are_of_one_type_also_where_none_or_all_are_usable(problems):
    table = tabulate_predictions(["a"], problems, np.array([[0.2, 0.3, 0.5]]), CLASSES)
    types = [str(kind) for kind in table.dtypes]
    assert types == ["string", "string", "float64", "string", *["float64"] * 3]
