"""What is learnt hangs on no interruption, no portion of a batch, and no number of processes."""

import os
import signal
import subprocess
import sys
from functools import partialmethod
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.killed import EPOCHS
from benchmarks.lessons import AugmentedImages, Classes, PlainSteps, ResidualNet
from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.documents import load_json
from tasks.core.errors import ParamsError, TilthError
from tasks.core.inference import Place
from tasks.learning import Training
from tasks.lesson import Course

ROOT = Path(__file__).parents[2]
COURSE = Course(
    title="finetune",
    epochs=3,
    batch_size=16,
    num_accumulated=1,
    judge="val_loss",
    patience=None,
    is_compiled=False,
    seed=3,
    num_workers=0,
)
PLACE = Place(torch.device("cpu"), "float32")


def group_norm(width: int) -> nn.Module:
    return nn.GroupNorm(2, width)


def make_lesson(norm=group_norm, dropout: float = 0.0) -> Classes:
    """72 images of three classes, which differ in brightness; rows of unequal weight."""
    rng = np.random.default_rng(0)
    labels = np.arange(72) % 3
    images = rng.integers(0, 120, (72, 8, 8, 1)) + 60 * labels[:, None, None, None]
    policy = A.Compose([A.HorizontalFlip(p=0.5), A.GaussNoise((0.02, 0.1), p=0.5)])
    source = AugmentedImages(images.astype(np.uint8), labels, policy, COURSE.seed)
    torch.manual_seed(1)
    net = ResidualNet((4, 8), 1, 1, 3, norm, dropout)
    weights = rng.uniform(0.05, 1, 72).astype(np.float32)
    return Classes(net, source, np.arange(50), weights, np.arange(50, 72))


def make_training(
    lesson: Classes | None = None,
    course: Course = COURSE,
    place: Place = PLACE,
    checkpoints: Checkpoints | None = None,
) -> Training:
    lesson = lesson or make_lesson()
    net = lesson.net

    def optimise(per_epoch: int) -> PlainSteps:
        optimiser = torch.optim.AdamW(net.parameters(), 0.02)
        return PlainSteps(optimiser, net, course.epochs * per_epoch)

    return Training(lesson, optimise, course, place, checkpoints, seconds_between_checkpoints=0)


def weights_of(training: Training) -> dict[str, bytes]:
    state = training.lesson.net.state_dict()
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}


def column(history: list[dict], name: str) -> list[float]:
    return [entry[name] for entry in history[1:]]


def test_it_learns_and_tells_of_every_epoch():
    course = COURSE._replace(epochs=10)
    training = make_training(course=course)
    history = training.run()
    assert [entry["epoch"] for entry in history] == list(range(11))
    assert history[0]["loss"] is None and history[0]["accuracy"] is None
    assert column(history, "loss")[-1] < 0.8 * column(history, "loss")[0]
    assert column(history, "accuracy")[-1] > 0.6
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    again = make_training(course=course)
    assert again.run() == history and weights_of(again) == weights_of(training)


def test_parts_of_a_batch_add_up_to_it():
    whole = make_training(course=COURSE._replace(epochs=1))
    history = whole.run()
    for num_accumulated in (2, 3):
        parts = make_training(course=COURSE._replace(epochs=1, num_accumulated=num_accumulated))
        found = parts.run()
        assert column(found, "loss") == pytest.approx(column(history, "loss"), abs=1e-6)
        assert column(found, "accuracy") == pytest.approx(column(history, "accuracy"), abs=1e-6)
        for name, tensor in whole.lesson.net.state_dict().items():
            other = parts.lesson.net.state_dict()[name]
            torch.testing.assert_close(other, tensor, atol=2e-4, rtol=1e-3)


def test_too_many_parts_are_refused():
    with pytest.raises(ParamsError, match="into 7 parts"):
        make_training(course=COURSE._replace(num_accumulated=7))


def test_the_best_epoch_is_kept_and_patience_ends_it():
    class Worsening(Classes):
        def measure(self, net):
            bias = net.get_parameter("head.1.bias").detach().clone()
            self.seen = [*getattr(self, "seen", []), bias]
            return {"val_loss": [5.0, 2.0, 1.0, 3.0, 1.5, 0.1][len(self.seen) - 1]}

    lesson = make_lesson()
    lesson.__class__ = Worsening
    training = make_training(lesson, COURSE._replace(epochs=5, patience=2))
    history = training.run()
    assert [entry["epoch"] for entry in history] == [0, 1, 2, 3, 4]
    assert torch.equal(lesson.net.head[1].bias, lesson.seen[2])  # type: ignore[union-attr, index]


def test_without_a_judge_the_last_average_is_kept():
    lesson = make_lesson()
    net = lesson.net
    averages: list[nn.Module] = []

    class Averaged(PlainSteps):
        def __init__(self, num_steps: int):
            super().__init__(torch.optim.SGD(net.parameters(), 0.1), net, num_steps)
            self.net = net
            self.judged_net = make_lesson().net
            averages.append(self.judged_net)

        def step(self):
            super().step()
            for kept, new in zip(self.judged_net.parameters(), self.net.parameters(), strict=True):
                kept.data.lerp_(new.data, 0.1)

    course = COURSE._replace(judge=None)
    Training(lesson, lambda per_epoch: Averaged(3 * per_epoch), course, PLACE).run()
    for ours, theirs in zip(net.parameters(), averages[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_loss_that_is_not_finite_is_told():
    lesson = make_lesson()
    lesson.weights = np.full(72, np.nan, np.float32)
    with pytest.raises(TilthError, match="finetune: the loss is not finite; try a lower finetune"):
        make_training(lesson).run()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_fewer_bits_learn_nearly_the_same(precision):
    exact = column(make_training().run(), "loss")
    found = column(make_training(place=PLACE._replace(precision=precision)).run(), "loss")
    assert found == pytest.approx(exact, abs=0.05)
    assert found != exact


def test_steps_whose_scaled_gradients_overflow_are_left_out():
    training = make_training(place=PLACE._replace(precision="fp16"))
    assert training.scaler is not None
    training.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    # Fabric scales by the scaler that it was given.
    training.fabric._precision.scaler = training.scaler  # type: ignore[attr-defined]
    before = weights_of(training)
    stream = iter_stream(training)
    training._learn(stream)
    assert weights_of(training) == before
    assert training.scaler.get_scale() == 2.0**59
    assert all(parameter.grad is None for parameter in training.lesson.net.parameters())


def iter_stream(training: Training):
    for part in training._parts():
        arrays = training.lesson.source(part)
        yield part, tuple(torch.from_numpy(array) for array in arrays)


def test_dropout_hangs_on_the_seed_and_not_on_what_was_drawn_before():
    def learnt(draws: int, seed: int) -> dict[str, bytes]:
        lesson = make_lesson(dropout=0.5)
        lesson.source = lesson.source._replace(seed=0)
        torch.rand(draws)
        training = make_training(lesson, COURSE._replace(epochs=1, seed=seed))
        training.run()
        return weights_of(training)

    assert learnt(0, 1) == learnt(7, 1) != learnt(0, 2)


def test_channels_last_and_compilation_leave_the_names_of_weights_alone():
    training = make_training(course=COURSE._replace(is_compiled=True))
    assert list(training.lesson.net.state_dict()) == list(make_lesson().net.state_dict())
    kernel = training.lesson.net.stem[0].weight  # type: ignore[index]
    assert kernel.is_contiguous(memory_format=torch.channels_last)


def test_what_is_compiled_learns_the_same(monkeypatch):
    """The graph is taken as for any compiler, and then run by torch itself, which takes no time."""
    compile_by = partialmethod(nn.Module.compile, backend="eager")
    monkeypatch.setattr(nn.Module, "compile", compile_by)
    lesson = make_lesson(dropout=0.3)
    called = []
    lesson.net.register_forward_hook(lambda *_: called.append(torch.compiler.is_compiling()))
    compiled = make_training(lesson, COURSE._replace(is_compiled=True))
    plain = make_training(make_lesson(dropout=0.3))
    assert compiled.run() == plain.run()
    assert weights_of(compiled) == weights_of(plain)
    assert any(called)


@pytest.mark.slow
def test_dropout_is_compiled_with_the_same_draws():
    compiled = make_training(make_lesson(dropout=0.3), COURSE._replace(is_compiled=True, epochs=1))
    plain = make_training(make_lesson(dropout=0.3), COURSE._replace(epochs=1))
    found, expected = (column(training.run(), "loss") for training in (compiled, plain))
    assert found == pytest.approx(expected, abs=1e-5)


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(ParamsError, match=r"finetune\.compiled is true, and torch finds no C"):
        make_training(course=COURSE._replace(is_compiled=True))


# Going on


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_going_on_after_any_step_ends_with_the_same_bytes(tmp_path, precision):
    course = COURSE._replace(epochs=2, num_accumulated=2)
    place = PLACE._replace(precision=precision)
    make = {"norm": nn.BatchNorm2d, "dropout": 0.3}
    whole = make_training(make_lesson(**make), course, place)
    history = whole.run()
    num_steps = course.epochs * whole.per_epoch
    for steps in range(1, num_steps + 1):
        checkpoints = Checkpoints({"killed after": steps}, tmp_path)
        first = make_training(make_lesson(**make), course, place, checkpoints)
        save = first._save_if_due

        def save_and_end(save=save, first=first, steps=steps):
            save()
            if first._num_steps == steps:
                raise Interrupted

        first._save_if_due = save_and_end  # type: ignore[method-assign]
        with pytest.raises(Interrupted):
            first.run()
        second = make_training(make_lesson(**make), course, place, checkpoints)
        assert second.run() == history
        assert weights_of(second) == weights_of(whole)
        # What was learnt is kept until it is safe elsewhere.
        third = make_training(make_lesson(**make), course, place, checkpoints)
        assert third.run() == history and third.num_seen == 0
        assert weights_of(third) == weights_of(whole)
        third.delete_checkpoints()
        assert not checkpoints.folder.exists()


def run_script(folder: Path, *launcher: str) -> subprocess.Popen:
    command = [*(launcher or (sys.executable,)), "-m", "benchmarks.killed", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Where a training lies that ran through, alone."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_script(folder).wait() == 0
    return folder


def test_killed_it_goes_on_and_ends_with_the_same_bytes(tmp_path, whole):
    folder = tmp_path / "checkpoints"
    killed = run_script(tmp_path)
    seen: set[Path] = set()
    while len(seen) < 5 and killed.poll() is None:
        seen |= set(folder.glob("*/*.safetensors"))
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert run_script(tmp_path).wait() == 0
    for name in ("weights.safetensors", "history.json"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
    assert not list(folder.glob("*"))


def test_two_processes_learn_what_one_does(tmp_path, whole):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    assert run_script(tmp_path, *torchrun, "--nproc-per-node", "2").wait() == 0
    one, two = (load_json(folder / "history.json") for folder in (whole, tmp_path))
    assert len(one) == len(two) == EPOCHS + 1
    assert column(one, "loss")[-1] < column(one, "loss")[0]
    for ours, theirs in zip(one[1:], two[1:], strict=True):
        assert theirs == pytest.approx(ours, abs=1e-5)
