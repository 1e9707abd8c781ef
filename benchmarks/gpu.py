"""What one large GPU makes of the loop: `python -m benchmarks.gpu --device cuda`.

training     images/s of ResNet-18 in bf16 and the share of what a matrix product reaches: with
             augmentation on the device, by albumentations, and against a plain PyTorch loop whose
             DataLoader augments
accuracy     seconds and epochs to 94 % and to 96 % test accuracy (airbench: 2.6 s and 27 s, A100)
simclr       images/s, and accuracy of the nearest neighbours after `--simclr-epochs` (lightly: 84.8
             after 200)

Without `--device cuda` it runs on the processor, where small numbers show only that it runs. All
but `training` need TILTH_CIFAR10.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.device_lessons import (
    AirbenchNet,
    Labels,
    OnDevice,
    Projected,
    Views,
    load_data,
    make_noise,
)
from benchmarks.lessons import AugmentedImages, Classes, PlainSteps, ResidualNet
from benchmarks.plain_loop import now, plain_loop
from benchmarks.record import Row, make_row
from tasks.core.device_augmentation import DevicePolicy
from tasks.core.inference import Place
from tasks.core.policy import Transform, Transforms, build_policy
from tasks.feeding import spare_cores
from tasks.learning import History, Training
from tasks.lesson import Course, Lesson

MOVED = [
    Transform(name="Affine", arguments={"translate_px": [-2, 2], "p": 1.0}),
    Transform(name="HorizontalFlip", arguments={"p": 0.5}),
]
LIGHT = TypeAdapter(Transforms).validate_python("light", strict=True)
SSL = TypeAdapter(Transforms).validate_python("ssl", strict=True)


def learn(
    lesson: Lesson, setting: Setting, seed: int, epochs: int, batch_size: int, rate: float
) -> History:
    """By SGD with Nesterov's momentum, as large batches want it."""
    options = setting.options
    net = lesson.net

    def optimise(per_epoch: int) -> PlainSteps:
        learnt = [parameter for parameter in net.parameters() if parameter.requires_grad]
        optimiser = torch.optim.SGD(learnt, rate, 0.9, weight_decay=5e-4, nesterov=True)
        return PlainSteps(optimiser, net, epochs * per_epoch)

    course = Course(
        "gpu", epochs, batch_size, 1, None, None, options.compile, seed, num_workers=spare_cores(1)
    )
    place = Place(torch.device(options.device), options.precision)
    return Training(lesson, optimise, course, place).run()


def resnet18(options) -> ResidualNet:
    widths = tuple(options.width * 2**stage for stage in range(4))
    return ResidualNet(widths, 2, 3, 10)


def matmul_flops(device: torch.device, precision: str, size: int) -> float:
    """Floating-point operations a second of a product of square matrices, the best of ten."""
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    a = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        started = now(device)
        torch.matmul(a, a)
        best = min(best, now(device) - started)
    return 2 * size**3 / best


def flops_per_image(net: nn.Module, device: torch.device) -> float:
    """Of a step: forwards and backwards."""
    net = net.to(device)
    with FlopCounterMode(display=False) as counter:
        images_NHWC = torch.zeros(2, 32, 32, 3, dtype=torch.uint8, device=device)
        net(images_NHWC).sum().backward()
    return counter.get_total_flops() / 2


def measure_training(setting: Setting) -> Iterator[Row]:
    options = setting.options
    device, data = torch.device(options.device), make_noise(options.num_train)
    policy = build_policy(LIGHT, (32, 32, 3))
    peak = matmul_flops(device, options.precision, options.matrix)
    flops = flops_per_image(resnet18(options), device)
    batch_size = options.batch_size

    def on_device(seed: int) -> float:
        lesson = Labels(resnet18(options), data, DevicePolicy(policy), device, options.precision)
        learn(lesson, setting, seed, 2, batch_size, 0.1)
        return len(data.train_NHWC) / lesson.seconds[-1]

    def by_albumentations(seed: int) -> float:
        source = AugmentedImages(data.train_NHWC, data.train_labels_N, policy, seed)
        rows = np.arange(len(data.train_NHWC))
        lesson = Ticking(resnet18(options), source, rows, np.ones(len(rows), np.float32), None)
        learn(lesson, setting, seed, 2, batch_size, 0.1)
        return len(rows) / (lesson.ends[-1] - lesson.ends[-2])

    def plain(_: int) -> float:
        return plain_loop(resnet18(options).to(device), data, policy, options, device)

    speeds = [
        [loop(seed) for seed in range(options.seeds)]
        for loop in (on_device, by_albumentations, plain)
    ]
    name = "training: ResNet-18, augmented {}, against a plain loop with a DataLoader"
    yield make_row(name.format("on the device"), speeds[0], "images/s", speeds[2])
    yield make_row(name.format("by albumentations"), speeds[1], "images/s", speeds[2])
    reached = [speed * flops / 1e12 for speed in speeds[0]]
    name = "training: ResNet-18, augmented on the device, against a matrix product"
    yield make_row(name, reached, "TFLOP/s", peak / 1e12)


class Ticking(Classes):
    """Notes when each epoch ends."""

    def measure(self, net: nn.Module) -> dict[str, float]:
        end = now(next(net.parameters()).device)
        self.ends = [*getattr(self, "ends", []), end]
        return {}


def measure_accuracy(setting: Setting) -> Iterator[Row]:
    options = setting.options
    assert setting.cifar10 is not None
    device = torch.device(options.device)
    data = load_data(setting.cifar10, options.num_train, options.num_test)
    recipes: tuple[tuple[float, str, Callable[[], nn.Module], int, float], ...] = (
        (0.94, "airbench's net", lambda: AirbenchNet(data.train_NHWC, 10), 10, 2.0),
        (0.96, "ResNet-18", lambda: resnet18(options), 60, 0.4),
    )
    policy = DevicePolicy(build_policy(MOVED, (32, 32, 3)))
    for goal, name, make, epochs, rate in recipes:
        epochs = min(epochs, options.most_epochs)
        seconds, reached, last = [], [], []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            lesson = Labels(make(), data, policy, device, options.precision)
            lesson.seed = seed
            history = learn(lesson, setting, seed, epochs, options.batch_size, rate)
            accuracies = [entry["test_accuracy"] or 0.0 for entry in history[1:]]
            say(f"{name}, seed {seed}: {accuracies[-1]:.4f} after {sum(lesson.seconds):.1f} s")
            last.append(accuracies[-1])
            first = next((n for n, one in enumerate(accuracies, start=1) if one >= goal), None)
            if first is not None:
                reached.append(first)
                seconds.append(sum(lesson.seconds[:first]))
        what = f"accuracy: {name}, {epochs} epochs"
        yield make_row(f"{what}: test accuracy after the last", last, "", goal)
        yield make_row(f"{what}: seeds that reach {goal:.0%}, of all", len(reached), "", len(last))
        if reached:
            yield make_row(f"{what}: epochs to {goal:.0%}", reached, "")
            yield make_row(f"{what}: seconds to {goal:.0%}", seconds, "s")


def measure_simclr(setting: Setting) -> Iterator[Row]:
    options = setting.options
    assert setting.cifar10 is not None
    device = torch.device(options.device)
    data = load_data(setting.cifar10, options.num_train, options.num_test)
    torch.manual_seed(0)
    encoder = resnet18(options)
    encoder.head = nn.Identity()  # type: ignore[assignment]
    policy = DevicePolicy(build_policy(SSL, (32, 32, 3)))
    net = Projected(encoder, options.width * 8)
    lesson: OnDevice = Views(net, data, policy, device, options.precision)
    lesson.num_epochs = options.simclr_epochs  # type: ignore[attr-defined]
    history = learn(lesson, setting, 0, options.simclr_epochs, options.batch_size, 0.24)
    speeds = [len(data.train_NHWC) / seconds for seconds in lesson.seconds]
    yield make_row("simclr: ResNet-18, two views on the device", speeds, "images/s")
    accuracy = history[-1]["knn_accuracy"]
    assert accuracy is not None
    name = f"simclr: kNN after {options.simclr_epochs} epochs, against lightly's after 200"
    yield make_row(name, accuracy, "", 0.848)


CELLS = (
    Cell("training", measure_training),
    Cell("accuracy", measure_accuracy, needs_cifar10=True),
    Cell("simclr", measure_simclr, needs_cifar10=True),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("gpu", __doc__, CELLS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="bf16", choices=("float32", "bf16", "fp16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--num-train", type=int, default=50_000)
    parser.add_argument("--num-test", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--most-epochs", type=int, default=1000)
    parser.add_argument("--simclr-epochs", type=int, default=200)
    parser.add_argument("--width", type=int, default=64, help="of ResNet-18's first stage")
    parser.add_argument("--matrix", type=int, default=8192, help="rows of the matrix product")
    run_cells("gpu", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
