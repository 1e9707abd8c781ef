"""A state comes back as it was, to the bit, and only for the training that it is of."""

import math
from collections import OrderedDict

import pytest
import torch
from torch import nn

from tasks.artifacts.checkpoints import Checkpoints


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints({"stage": "a"}, tmp_path)


def assert_same(one, other) -> None:
    assert type(one) is type(other) or {type(one), type(other)} == {dict, OrderedDict}
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and one.stride() == other.stride()
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for ours, theirs in zip(one, other, strict=True):
            assert_same(ours, theirs)
    else:
        assert one == other


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters())
    net(torch.randn(2, 3, 8, 8)).square().sum().backward()
    optimiser.step()
    return net, optimiser


def test_states_of_nets_and_optimisers_come_back_to_the_bit(checkpoints):
    net, optimiser = trained()
    state = {
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "best": {"loss": math.inf, "weights": None},
        "history": [{"epoch": 1, "loss": 0.1 + 0.2}],
        "pair": (1, True, "ä", 5e-324, -0.0),
        "bf16": torch.tensor([1.0, math.nan, -math.inf], dtype=torch.bfloat16).nan_to_num(7.0),
        "empty": torch.empty(0, 3),
        "bytes": torch.get_rng_state(),
    }
    checkpoints.save(state, 3)
    assert_same(checkpoints.load(), state)


def test_tensors_that_share_memory_are_kept_apart(checkpoints):
    base = torch.arange(6.0)
    checkpoints.save([base, base, base[2:], base.view(2, 3).T], 0)
    assert_same(checkpoints.load(), [base, base, base[2:], base.view(2, 3).T])


def test_what_would_come_back_as_another_type_is_our_mistake(checkpoints):
    import numpy as np

    for value in (np.float64(1.0), {1, 2}, b"bytes"):
        with pytest.raises(AssertionError):
            checkpoints.save({"value": value}, 0)


def test_the_latest_is_loaded_and_one_before_it_is_kept(checkpoints):
    assert checkpoints.load() is None
    for step in (9, 10, 11):
        checkpoints.save({"step": step}, step)
    assert checkpoints.load() == {"step": 11}
    assert len(list(checkpoints.folder.iterdir())) == 2
    checkpoints.delete()
    assert checkpoints.load() is None and not checkpoints.folder.exists()
    checkpoints.delete()


@pytest.mark.parametrize("damage", [b"", b"no tensors", None])
def test_a_damaged_file_counts_as_none(checkpoints, damage):
    checkpoints.save({"step": 1, "tensor": torch.ones(100)}, 1)
    checkpoints.save({"step": 2, "tensor": torch.ones(100)}, 2)
    (path,) = checkpoints.folder.glob("*2.0-of-1*")
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    assert checkpoints.load()["step"] == 1


def test_another_fingerprint_is_another_training(tmp_path):
    Checkpoints({"seed": 0, "rate": 0.1}, tmp_path).save({"step": 1}, 1)
    assert Checkpoints({"rate": 0.1, "seed": 0}, tmp_path).load() == {"step": 1}
    assert Checkpoints({"rate": 0.1, "seed": 1}, tmp_path).load() is None


def test_several_processes_go_on_from_the_step_that_all_have(checkpoints):
    for process in (0, 1):
        checkpoints.save({"step": 4, "process": process}, 4, process, 2)
    checkpoints.save({"step": 5, "process": 0}, 5, 0, 2)
    assert [checkpoints.load(process, 2) for process in (0, 1)] == [
        {"step": 4, "process": 0},
        {"step": 4, "process": 1},
    ]
    assert checkpoints.load() is None
    assert checkpoints.load(0, 3) is None


def test_what_one_process_cannot_read_no_other_goes_on_from(checkpoints):
    for step in (4, 5):
        for process in (0, 1):
            checkpoints.save({"step": step, "tensor": torch.ones(100)}, step, process, 2)
    (path,) = checkpoints.folder.glob("*5.0-of-2*")
    path.write_bytes(path.read_bytes()[:-100])
    assert [checkpoints.load(process, 2)["step"] for process in (0, 1)] == [4, 4]
