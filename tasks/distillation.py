"""How a smaller net is taught to say what a larger one says; labels are not needed.

N images, K classes
"""

from typing import NamedTuple

import albumentations as A
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.artifacts.images import Images
from tasks.core.batches import Part
from tasks.core.encoder import Classifier
from tasks.core.inference import Place, chosen_device
from tasks.core.optimisation import Optimisation, make_optimisation
from tasks.core.optimisers import AdamW
from tasks.core.params import Run
from tasks.core.schedules import Cosine
from tasks.launching import asked_workers
from tasks.learning import Training
from tasks.lesson import Course, Lesson, Outcome
from tasks.views import Views, make_views


class Examples(NamedTuple):
    """What there is to learn from: images by row, and how they are augmented."""

    pixels: Images
    rows: np.ndarray
    policy: A.Compose


class Distillation(Lesson):
    """`net` learns the logits of `teacher` on the same augmented images (Ba and Caruana, Do deep
    nets really need to be deep?, 2014): the squared error of the logits is the loss."""

    net: Classifier

    def __init__(self, student: Classifier, teacher: Classifier, views: Views, rows: np.ndarray):
        super().__init__()
        self.net, self.teacher, self.rows = student, teacher, rows
        self.views, self.source = views, views.source

    def begin_epoch(self, epoch: int) -> None:
        self.net.train()
        self.teacher.eval()

    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        (images_NHWC,) = self.views.draw(part, *tensors)
        with torch.no_grad():
            expected_NK = self.teacher(images_NHWC).float()
        logits_NK = self.net(images_NHWC).float()
        agrees_N = logits_NK.detach().argmax(dim=1) == expected_NK.argmax(dim=1)
        return Outcome(F.mse_loss(logits_NK, expected_NK), agrees_N.float().mean())

    def measure(self, net: torch.nn.Module) -> dict[str, float]:
        """Nothing: the last epoch is kept, and test rows are not to choose by."""
        return {}


def distil(
    student: Classifier,
    teacher: Classifier,
    examples: Examples,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    run: Run,
) -> None:
    """Teaches the student in place; the teacher stays as it is. Both end on the CPU."""
    place = Place(chosen_device(run.device), run.precision)
    rows = np.sort(np.unique(examples.rows))
    views = make_views(examples.pixels, examples.policy, 1, run.seed, "host", place.device)
    teacher.requires_grad_(False)
    lesson = Distillation(student, teacher, views, rows).to(place.device)
    course = Course(
        title="export",
        epochs=epochs,
        batch_size=min(batch_size, len(rows)),
        num_accumulated=1,
        judge=None,
        patience=None,
        is_compiled=False,
        seed=run.seed,
        num_workers=asked_workers(place.device, views.reads_images),
    )

    def optimise(per_epoch: int) -> Optimisation:
        settings = AdamW(
            name="adamw",
            learning_rate=learning_rate,
            weight_decay=0.0,
            betas=[0.9, 0.999],
            epsilon=1e-8,
            l1_penalty=0.0,
            clip_norm=0.0,
            ema_decay=0.0,
        )
        schedule = Cosine(name="cosine", warmup_epochs=0)
        return make_optimisation(student, settings, schedule, epochs, per_epoch)

    Training(lesson, optimise, course, place).run()
    lesson.cpu()
