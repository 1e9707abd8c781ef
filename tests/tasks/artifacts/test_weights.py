"""Weights come back to the bit, or are refused with the path."""

import json
import struct
from pathlib import Path

import joblib
import pytest
import torch
from safetensors.torch import save

from tasks.artifacts.weights import load_weights, save_weights
from tasks.core.errors import ArtifactError

TENSORS = {
    "b": torch.randn(3, 4, generator=torch.manual_seed(0)),
    "a": torch.arange(5),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "scalar": torch.tensor(2.5, requires_grad=True),
}
DESCRIPTION = {"classes": ["ü", "b"], "size": 3, "nested": {"z": 1, "a": None}}


@pytest.fixture
def file(tmp_path):
    save_weights(TENSORS, DESCRIPTION, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_weights_come_back_to_the_bit(file):
    weights = load_weights(file)
    assert weights.description == DESCRIPTION
    assert set(weights.tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert weights.tensors[name].dtype == tensor.dtype
        assert torch.equal(weights.tensors[name], tensor)


def test_bytes_hang_on_content_alone(file, tmp_path):
    other = tmp_path / "another name"
    turned = dict(reversed(list(TENSORS.items())))
    save_weights(turned, dict(reversed(list(DESCRIPTION.items()))), other)
    assert other.read_bytes() == file.read_bytes()


def test_a_missing_file_is_told(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ArtifactError, match="does not exist"):
            load_weights(path)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match="is not a readable safetensors file"):
        load_weights(file)


class Hostile:
    """Runs code in whoever unpickles it."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("dump", [torch.save, joblib.dump], ids=["torch", "joblib"])
def test_a_pickled_model_is_refused_and_its_code_not_run(tmp_path, dump):
    mark, file = tmp_path / "ran", tmp_path / "w"
    dump(Hostile(mark), file)
    with pytest.raises(ArtifactError, match="is not a readable safetensors file"):
        load_weights(file)
    assert not mark.exists()
    joblib.load(file) if dump is joblib.dump else torch.load(file, weights_only=False)
    assert mark.exists()


def rewritten(data: bytes, change) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


LIES = {
    "shape": lambda header: header["b"].update(shape=[300, 400]),
    "type": lambda header: header["b"].update(dtype="F64"),
    "offsets": lambda header: header["b"].update(data_offsets=[0, 10**9]),
    "overlap": lambda header: header["b"].update(data_offsets=header["a"]["data_offsets"]),
    "negative": lambda header: header["b"].update(data_offsets=[-4, 44]),
    "missing tensor": lambda header: header.pop("a"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_header_that_lies_is_refused(file, lie):
    file.write_bytes(rewritten(file.read_bytes(), lie))
    with pytest.raises(ArtifactError, match="is not a readable safetensors file"):
        load_weights(file)


def test_a_length_that_lies_is_refused(file):
    data = file.read_bytes()
    for length in (0, 2, 2**62, 2**64 - 1):
        file.write_bytes(struct.pack("<Q", length) + data[8:])
        with pytest.raises(ArtifactError, match="is not a readable safetensors file"):
            load_weights(file)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_file_is_refused(tmp_path, metadata):
    (tmp_path / "w").write_bytes(save({"a": torch.ones(1)}, metadata=metadata))
    with pytest.raises(ArtifactError, match="lacks the key 'tilth'"):
        load_weights(tmp_path / "w")


def test_a_description_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "w").write_bytes(save({"a": torch.ones(1)}, metadata={"tilth": "{"}))
    with pytest.raises(ArtifactError, match="description is not valid JSON"):
        load_weights(tmp_path / "w")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_not_finite_are_refused(tmp_path, value, dtype):
    tensor = torch.zeros(7, dtype=dtype)
    tensor[3] = value
    save_weights({"good": torch.ones(1), "bad": tensor}, {}, tmp_path / "w")
    with pytest.raises(ArtifactError, match="tensor 'bad' holds values that are not finite"):
        load_weights(tmp_path / "w")
