"""What benchmarks of learning are given: tails, wrong labels, divisions, encoders."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import long_tail, semi_supervised
from benchmarks.classifiers import Ground, params_of
from benchmarks.encoders import learnt_encoder
from benchmarks.few_labels import Part
from benchmarks.pictures import plant
from benchmarks.record import ROOT
from tasks import pretrain
from tasks.artifacts.documents import load_yaml
from tasks.artifacts.images import Images, save_pixels


def test_a_tail_falls_by_the_same_factor_to_a_hundredth() -> None:
    counts = long_tail.tail_counts(4900, 100)
    assert (counts[0], counts[-1]) == (4900, 49)
    np.testing.assert_allclose(counts[:-1] / counts[1:], 100 ** (1 / 9), rtol=0.02)
    part = Part(np.zeros((1000, 2, 2, 3), np.uint8), np.repeat(np.arange(10), 100))
    found = np.bincount(long_tail.cut(part, 0).labels_N)
    assert found.tolist() == long_tail.tail_counts(100, 100).tolist()


@pytest.mark.parametrize("name", long_tail.methods(30))
def test_a_method_for_a_tail_is_params_of_the_stage(name: str) -> None:
    method = long_tail.methods(30)[name]
    params = params_of(30, **{key: method[key] for key in method if key != "sampler"})
    assert params.loss.name == method["loss"]["name"]
    if "deferred" in name:
        assert params.loss.class_weights.from_epoch == 25


def test_a_sampler_balances_classes_and_none_takes_rows_as_they_are(tmp_path: Path) -> None:
    codes = np.repeat(np.arange(10), [100, 60, 40, 20, 10, 5, 4, 3, 2, 1])
    rows = np.arange(len(codes))
    save_pixels(np.zeros((len(codes), 8, 8, 3), np.uint8), tmp_path / "a.npy")
    ground = Ground(Images(tmp_path), rows, rows, rows, codes, "float32")
    assert long_tail.sample(ground, None, 0).tolist() == rows.tolist()
    sampled = long_tail.sample(ground, "RandomOverSampler", 0)
    assert np.bincount(codes[sampled]).tolist() == [100] * 10


def test_wrong_labels_are_those_of_the_nearest_class() -> None:
    codes = np.repeat(np.arange(3), 100)
    images = np.full((300, 2, 2, 1), 10, np.uint8)
    images[100:200] = 30
    images[200:] = 90
    planted = plant(images, codes, 0.4, 0)
    is_wrong = planted != codes
    assert is_wrong.sum() == 120
    assert set(zip(codes[is_wrong], planted[is_wrong], strict=True)) == {(0, 1), (1, 0), (2, 1)}


def test_digits_are_divided_once_and_held_out_ones_stay_out() -> None:
    images = np.arange(1000, dtype=np.int64)[:, None, None, None]
    data = semi_supervised.divide(images, np.arange(1000) % 10, "float32")
    parts = [part.images_NHWC.ravel().tolist() for part in (data.train, data.val, data.test)]
    assert [len(part) for part in parts] == [200, 400, 400]
    assert sorted(np.concatenate(parts)) == list(range(1000))


def test_an_encoder_is_taught_once_and_kept(tmp_path: Path) -> None:
    section = load_yaml(ROOT / "params.yaml")["pretrain"]
    small = section | {"epochs": 1, "batch_size": 8, "schedule": {"name": "constant"}}
    small["architecture"] = section["architecture"] | {"width": 4}
    params = pretrain.Params.model_validate(small)
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8)

    def learnt(images_NHWC: np.ndarray, seed: int) -> dict[str, torch.Tensor]:
        encoder = learnt_encoder(images_NHWC, params, seed, "float32", tmp_path)
        return encoder.state_dict()

    first = learnt(images, 0)
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    again = learnt(images, 0)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert kept.stat().st_mtime_ns == written and len(list(tmp_path.iterdir())) == 1
    learnt(images, 1)
    learnt(255 - images, 0)
    assert len(list(tmp_path.iterdir())) == 3
