"""Batch predictions in the layout of monitoring say what predictions for people say."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import pytest

from tasks.artifacts.predictions import SCHEMA, load_predictions
from tasks.core.onnx_model import describe_session, make_session
from tasks.predict import main, predict
from tests.serving.champions import CLASSES, make_onnx, png


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "classifier.onnx").write_bytes(make_onnx(0.01))
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "in").mkdir(parents=True)
    for path, data in {"a.png": png(250), "in/b.png": png(3), "in/cut.png": png(3)[:40]}.items():
        (folder / path).write_bytes(data)
    return folder


def window(path):
    now = datetime.now(UTC)
    return load_predictions(path, now - timedelta(minutes=5), now + timedelta(minutes=5))


def test_it_says_what_people_are_told_and_more(photos, model, tmp_path, capsys):
    out = tmp_path / "out.parquet"
    asked = [str(photos), "--model", str(model), "--layout", "monitoring", "--out"]
    assert main([*asked, str(out)]) == 0
    frame = window(out)
    assert list(frame.columns) == SCHEMA.names and len(frame) == 3
    people = predict(photos, model, 1)
    by_class = {one.predicted: one for one in frame.itertuples()}
    assert set(by_class) == {None, *CLASSES}
    for told in people[people["problem"] == ""].itertuples():
        one = by_class[told.label]
        assert one.model_sha256 == sha256((model / "classifier.onnx").read_bytes()).hexdigest()
        assert one.refused == "" and one.width == 8
        logits = _logits(model, 250 if told.label == "light" else 3)
        shares = np.exp(logits / 2) / np.exp(logits / 2).sum()
        np.testing.assert_allclose(np.asarray(one.probabilities), shares, rtol=1e-5)
        assert np.shape(np.asarray(one.embedding)) == (4,)
    (refused,) = (one for one in frame.itertuples() if one.predicted is None)
    assert refused.refused == "truncated" and refused.embedding is None
    before = frame.drop(columns="predicted_at").sort_values("prediction_id")
    assert main([*asked, str(out)]) == 0
    again = window(out).drop(columns="predicted_at").sort_values("prediction_id")
    assert before["prediction_id"].tolist() == again["prediction_id"].tolist()
    assert main([*asked, str(tmp_path / "out.csv")]) == 1
    assert "writes .parquet" in capsys.readouterr().err


def _logits(model, shade):
    session = make_session((model / "classifier.onnx").read_bytes(), 1)
    size = describe_session(session).canonical.size
    images = np.full((1, size, size, 1), shade, np.uint8)
    return np.asarray(session.run(["logits"], {"images": images})[0], np.float64)[0]
