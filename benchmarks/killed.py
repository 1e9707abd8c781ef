"""A short training to be killed, or run by several processes: `python -m benchmarks.killed FOLDER`.

Saves weights and history in the folder, and checkpoints after every step while it learns.
"""

import sys
from pathlib import Path

import albumentations as A
import numpy as np
import torch
from torch import nn

from benchmarks.lessons import AugmentedImages, Classes, PlainSteps, ResidualNet
from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.documents import save_json
from tasks.artifacts.weights import save_weights
from tasks.core.inference import Place
from tasks.core.lifetime import end_with_parent
from tasks.learning import Training
from tasks.lesson import Course

SEED, NUM_ROWS, EPOCHS, BATCH_SIZE = 5, 130, 3, 16


def make_lesson() -> Classes:
    """Images of three classes, which differ in brightness. Group norm, which sees each image alone,
    so that several processes are to learn what one does."""
    rng = np.random.default_rng(0)
    labels = np.arange(NUM_ROWS + 30) % 3
    images = rng.integers(0, 120, (len(labels), 8, 8, 1)) + 60 * labels[:, None, None, None]
    policy = A.Compose([A.HorizontalFlip(p=0.5), A.GaussNoise((0.02, 0.1), p=0.5)])
    source = AugmentedImages(images.astype(np.uint8), labels, policy, SEED)
    torch.manual_seed(SEED)
    net = ResidualNet((4, 8), 1, 1, 3, lambda width: nn.GroupNorm(2, width))
    weights = rng.uniform(0.1, 1, len(labels)).astype(np.float32)
    rows = np.arange(len(labels))
    return Classes(net, source, rows[:NUM_ROWS], weights, rows[NUM_ROWS:])


def main(folder: Path) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    lesson = make_lesson()
    net = lesson.net
    course = Course("killed", EPOCHS, BATCH_SIZE, 1, "val_loss", None, False, SEED, num_workers=0)

    def optimise(per_epoch: int) -> PlainSteps:
        return PlainSteps(torch.optim.AdamW(net.parameters(), 0.003), net, EPOCHS * per_epoch)

    place = Place(torch.device("cpu"), "float32")
    checkpoints = Checkpoints({"benchmark": "killed"}, folder / "checkpoints")
    training = Training(lesson, optimise, course, place, checkpoints, 0.0)
    history = training.run()
    if training.rank == 0:
        save_weights(net.state_dict(), {}, folder / "weights.safetensors")
        save_json(history, folder / "history.json")
        training.delete_checkpoints()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
