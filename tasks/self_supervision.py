"""How an encoder is taught without labels: two views of each image, and a method."""

import numpy as np
from torch import Tensor, nn

from tasks.artifacts.images import Images
from tasks.core.adoption import Embedded
from tasks.core.batches import Part
from tasks.core.inference import Place
from tasks.core.self_supervised import SelfSupervised
from tasks.core.yardstick import Yardstick, embed, measure
from tasks.lesson import Lesson, Outcome
from tasks.views import Views


class SelfSupervision(Lesson):
    """`net` is the method with its encoder; the yardstick measures that, and teaches it nothing.

    embedded: what it was when it was last measured; None before.
    """

    net: SelfSupervised

    def __init__(
        self,
        method: SelfSupervised,
        pixels: Images,
        rows: np.ndarray,
        views: Views,
        yardstick: Yardstick,
        place: Place,
    ):
        super().__init__()
        self.net, self.rows = method, rows
        self.views, self.source = views, views.source
        self.pixels, self.yardstick, self.place = pixels, yardstick, place
        self.embedded: Embedded | None = None

    def forward(self, part: Part, *tensors: Tensor) -> Outcome:
        return Outcome(self.net(*self.views.draw(part, *tensors)), float("nan"))

    def measure(self, net: nn.Module) -> dict[str, float]:
        self.embedded = embed(self.net.encoder, self.pixels, self.yardstick, self.place)
        return measure(self.embedded, self.yardstick, self.net.projector, self.place.device)

    def end_step(self, progress: float) -> None:
        self.net.end_step(progress)
