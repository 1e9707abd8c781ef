"""How fast the loop trains: `python -m benchmarks.training_speed`.

loop         images/s of our loop, augmentation included, against a bare PyTorch loop of the same
             net, batch, precision and augmentation (at least 0.95 ×)
stage        the same of what the stage finetune teaches, with its net, loss, views and optimiser,
             and ten val images after each epoch
precision    ours in bf16 and channels_last, against float32 as PyTorch has it by default (at least
             1.8 × where the processor has avx512_bf16), of a ResNet-20 and of a wider net
trainers     Lightning's and transformers' Trainer on the same work, where they are installed
workers      our loop with augmentation between steps, and in one process beside it
where        augmentation alone: by albumentations on one core, and batched in torch

The data is noise, which costs what photographs cost once they are pixels. Each speed is that of one
epoch after a first, which warms up; loops take turns, so that all see the same machine.
"""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator

import albumentations as A
import numpy as np
import torch
from pydantic import TypeAdapter
from torch.nn import functional as F

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.classifiers import NOBODY, on_disk, params_of
from benchmarks.few_labels import Data, Part
from benchmarks.lessons import AugmentedImages, Classes, PlainSteps
from benchmarks.record import Row, make_row
from benchmarks.trainers import TRAINERS
from benchmarks.work import (
    BATCH_SIZE,
    NETS,
    RECIPE,
    SEED,
    SHAPE,
    TRANSFORMS,
    Work,
    make_classifier,
    make_net,
    make_optimiser,
    make_work,
)
from tasks.core.batches import shuffled_batches
from tasks.core.device_augmentation import DevicePolicy
from tasks.core.inference import Place, at_precision
from tasks.core.policy import Transforms, augment_batch, build_policy
from tasks.finetune import finetune
from tasks.learning import Training
from tasks.lesson import Course


def ours(work: Work, num_workers: int = 0) -> float:
    """Images/s of `tasks.learning`, of the second epoch."""
    net = make_net(work)
    source = AugmentedImages(work.images_NHWC, work.labels_N, work.policy, SEED)
    rows = np.arange(len(work.images_NHWC))
    lesson = Timed(net, source, rows, np.ones(len(rows), np.float32), None)
    course = Course("training_speed", 2, BATCH_SIZE, 1, None, None, False, SEED, num_workers)
    place = Place(torch.device("cpu"), work.precision)
    Training(lesson, lambda n: PlainSteps(make_optimiser(net), net, 2 * n), course, place).run()
    return len(rows) / (lesson.ends[-1] - lesson.ends[-2])


class Timed(Classes):
    """Notes when each epoch ends."""

    def measure(self, net: torch.nn.Module) -> dict[str, float]:
        self.ends = [*getattr(self, "ends", []), time.perf_counter()]
        return {}


def stage(work: Work) -> float:
    """Images/s of what the stage finetune teaches, of the second epoch."""
    train = Part(work.images_NHWC, work.labels_N)
    few = train.take(np.arange(10))
    with on_disk(Data(train, few, few, work.precision)) as ground:
        given = ground.labelled(ground.train, TRANSFORMS)
        params = params_of(2, **RECIPE)
        place, ends = Place(torch.device("cpu"), work.precision), []
        training = finetune(make_classifier(work), given, NOBODY, params, place, SEED)
        training.run(lambda entry: ends.append(time.perf_counter()))
    return len(train.labels_N) / (ends[2] - ends[1])


def bare(work: Work, make: Callable[[Work], torch.nn.Module] = make_net) -> float:
    """Images/s of what one would write without a framework, of the second epoch."""
    net = make(work)
    optimiser = make_optimiser(net)
    rows, device = np.arange(len(work.images_NHWC)), torch.device("cpu")
    num_steps = 2 * -(-len(rows) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=num_steps + 1)
    net.train()
    started = 0.0
    for epoch in (1, 2):
        started = time.perf_counter()
        total = 0.0
        for batch in shuffled_batches(rows, BATCH_SIZE, SEED, epoch):
            drawn = [work.policy(image=image)["image"] for image in work.images_NHWC[batch.rows]]
            images_NHWC = torch.from_numpy(np.stack(drawn))
            labels_N = torch.from_numpy(work.labels_N[batch.rows])
            with at_precision(work.precision, device):
                logits_NK = net(images_NHWC)
            loss = F.cross_entropy(logits_NK.float(), labels_N)
            loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
            total += loss.item()
    return len(rows) / (time.perf_counter() - started)


def alternate(repeats: int, *loops: Callable[[], float]) -> list[list[float]]:
    """The speeds of each loop, which take turns."""
    speeds: list[list[float]] = [[] for _ in loops]
    for _ in range(repeats):
        for loop, found in zip(loops, speeds, strict=True):
            found.append(loop())
    return speeds


def measure_loop(setting: Setting) -> Iterator[Row]:
    options = setting.options
    for precision in ("float32", "bf16"):
        work = make_work(options.num_images, precision, is_channels_last=True)
        say(f"our loop and a bare one, {precision}")
        mine, plain = alternate(options.repeats, lambda work=work: ours(work), lambda: bare(work))  # noqa: B023
        name = f"loop: ours, against a bare PyTorch loop, {precision}, channels_last"
        yield make_row(name, mine, "images/s", plain)


def measure_stage(setting: Setting) -> Iterator[Row]:
    options = setting.options
    for precision in ("float32", "bf16"):
        work = make_work(options.num_images, precision, is_channels_last=True)
        say(f"the stage finetune and a bare loop, {precision}")
        mine, plain = alternate(
            options.repeats,
            lambda work=work: stage(work),  # type: ignore[misc]
            lambda work=work: bare(work, make_classifier),  # type: ignore[misc]
        )
        name = f"stage: finetune, against a bare PyTorch loop, {precision}, channels_last"
        yield make_row(name, mine, "images/s", plain)


def measure_precision(setting: Setting) -> Iterator[Row]:
    options = setting.options
    for net in NETS:
        fast = make_work(options.num_images, "bf16", True, net)
        slow = make_work(options.num_images, "float32", False, net)
        say(f"bf16 and channels_last, and float32, {net}")
        quick, usual = alternate(
            options.repeats,
            lambda fast=fast: ours(fast),  # type: ignore[misc]
            lambda slow=slow: bare(slow),  # type: ignore[misc]
        )
        name = f"precision: ours in bf16 and channels_last, against a bare loop in float32, {net}"
        yield make_row(name, quick, "images/s", usual)


def measure_trainers(setting: Setting) -> Iterator[Row]:
    options = setting.options
    work = make_work(options.num_images, "bf16", is_channels_last=True)
    for name, trainer in TRAINERS.items():
        if missing := [each for each in trainer.needs if importlib.util.find_spec(each) is None]:
            say(f"{name} is left out, as {', '.join(missing)} is not installed")
            continue
        say(f"our loop and {name}")
        mine, theirs = alternate(
            options.repeats, lambda: ours(work), lambda trainer=trainer: trainer.run(work)
        )
        yield make_row(f"trainers: ours, against {name}, bf16", mine, "images/s", theirs)


def measure_workers(setting: Setting) -> Iterator[Row]:
    options = setting.options
    work = make_work(options.num_images, "bf16", is_channels_last=True)
    say("augmentation beside the training, and between its steps")
    beside, between = alternate(options.repeats, lambda: ours(work, 1), lambda: ours(work, 0))
    threads = torch.get_num_threads()
    name = f"workers: one beside a training on {threads} threads, against none"
    yield make_row(name, beside, "images/s", between)


def measure_where(setting: Setting) -> Iterator[Row]:
    options = setting.options
    images_NHWC = make_work(1024, "float32", False).images_NHWC
    for preset in ("light", "standard", "ssl"):
        transforms = TypeAdapter(Transforms).validate_python(preset, strict=True)
        policy = build_policy(transforms, SHAPE)
        batched, given = DevicePolicy(policy), torch.from_numpy(images_NHWC)

        def in_torch(batched: DevicePolicy = batched, given: torch.Tensor = given) -> float:
            started = time.perf_counter()
            batched.augment(given, SEED, 0, 0, 0, len(given))
            return len(given) / (time.perf_counter() - started)

        def on_host(policy: A.Compose = policy) -> float:
            started = time.perf_counter()
            augment_batch(policy, images_NHWC, SEED, 0, 0)
            return len(images_NHWC) / (time.perf_counter() - started)

        fast, usual = alternate(options.repeats + 1, in_torch, on_host)
        name = f"where: {preset}, batched in torch on the CPU, against albumentations"
        yield make_row(name, fast[1:], "images/s", usual[1:])


CELLS = (
    Cell("loop", measure_loop),
    Cell("stage", measure_stage),
    Cell("precision", measure_precision),
    Cell("trainers", measure_trainers),
    Cell("workers", measure_workers),
    Cell("where", measure_where),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("training_speed", __doc__, CELLS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--num-images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    run_cells("training_speed", CELLS, options)


if __name__ == "__main__":
    main(sys.argv[1:])
