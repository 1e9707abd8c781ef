"""A planted reason is found with its direction; where there is none, the fidelity says so."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

from tasks.core.surrogates import (
    _shap_values,
    imitate_classes,
    imitate_confidence,
    make_features,
)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(300)],
            "label": rng.choice(["a", "b"], 300),
            "brightness": rng.random(300),
            "contrast": rng.random(300),
            "width": 32,
            "camera": pd.Series(rng.choice(["x", "y"], 300), dtype="string"),
            "group": ["left", "right", None] * 100,
            "note": [f"note {n}" for n in range(300)],
        }
    )


def test_features_are_numbers_that_differ(table):
    table.loc[:9, "contrast"] = [np.nan, np.inf] * 5
    table.loc[:9, "camera"] = pd.NA
    features = make_features(table)
    text = ["camera=x", "camera=y", "group=left", "group=right"]
    assert list(features.columns) == ["brightness", "contrast", *text]
    assert np.isfinite(features.to_numpy()).all()
    median = table["contrast"].iloc[10:].median()
    assert (features["contrast"].iloc[:10] == median).all()
    assert features["camera=x"].tolist() == (table["camera"] == "x").fillna(False).tolist()
    assert not features.loc[:9, ["camera=x", "camera=y"]].to_numpy().any()


def test_what_moves_the_confidence_is_named_first_with_its_direction(table):
    noise = np.random.default_rng(1).normal(scale=0.02, size=300)
    confidence = 0.9 - 0.5 * table["brightness"].to_numpy() + noise
    confidence += 0.1 * (table["camera"] == "x").to_numpy(dtype=float)
    found = imitate_confidence(make_features(table), confidence, 0)
    assert found is not None and found.direction is not None
    first, second, *rest = found.importance
    assert first == "brightness" and second.startswith("camera=") and "contrast" in rest
    assert found.direction["brightness"] < -0.9
    assert found.fidelity > 0.9


def test_of_noise_nothing_is_explained(table):
    found = imitate_confidence(make_features(table), np.random.default_rng(2).random(300), 0)
    assert found is not None and found.fidelity < 0.05
    said = np.random.default_rng(2).integers(0, 3, 300)
    classes = imitate_classes(make_features(table), said, 0)
    assert classes is not None and classes.fidelity < classes.baseline + 0.1


def test_what_goes_with_the_class_is_named_first(table):
    said = (table["contrast"].to_numpy() * 3).astype(int)
    found = imitate_classes(make_features(table), said, 0)
    assert found is not None and found.direction is None
    assert next(iter(found.importance)) == "contrast"
    assert found.fidelity > 0.95
    assert found.baseline == pytest.approx(np.bincount(said).max() / 300)
    assert found == imitate_classes(make_features(table), said, 0)


def test_shap_values_add_up_to_what_the_forest_says(table):
    features = make_features(table)
    target = features["brightness"].to_numpy() * features["contrast"].to_numpy()
    forest = RandomForestRegressor(20, max_depth=4, random_state=0).fit(features.to_numpy(), target)
    said = forest.predict(features.to_numpy())
    gaps = said - _shap_values(forest, features).sum(axis=1)
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-6)


def test_there_must_be_something_to_learn(table):
    features = make_features(table)
    assert imitate_confidence(features, np.full(300, 0.9), 0) is None
    assert imitate_classes(features, np.zeros(300, dtype=int), 0) is None
    assert imitate_classes(features.iloc[:10], np.arange(10) % 2, 0) is None
    assert imitate_classes(features[[]], np.arange(300) % 2, 0) is None
