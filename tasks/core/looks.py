"""Ways of looking at images through an encoder, for a judge to choose from.

whole      the embedding
quarters   the mean of what is seen in each quarter of the image: what is where counts too
mirrored   the same, averaged over the image and its mirror image: of photographs, whose left and
           right mean nothing, a steadier view; of digits a worse one

N images, H height, W width, C channels, D width of the embedding
"""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from tasks.core.encoder import Encoder
from tasks.core.inference import ImageRows, Place, run_net

Look = Literal["whole", "quarters", "mirrored"]


class Looking(nn.Module):
    """uint8 (N, H, W, C) → float32 (N, D + 2 · 4D), all looks side by side."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, images_NHWC: Tensor) -> Tensor:
        places, mirrored = (
            self.encoder.places(images).float() for images in (images_NHWC, images_NHWC.flip(2))
        )
        quarters = quarter(places)
        looks = [places.mean(dim=(2, 3)), quarters, (quarters + quarter(mirrored)) / 2]
        return torch.cat(looks, dim=1)


def quarter(places_NDHW: Tensor) -> Tensor:
    """Means over quarters (N, 4D); over halves, or the whole, where no more places are."""
    height, width = (min(2, count) for count in places_NDHW.shape[2:])
    return adaptive_avg_pool2d(places_NDHW, (height, width)).flatten(1)


def look_at(
    encoder: Encoder, looks: Sequence[Look], images: ImageRows, num_images: int, place: Place
) -> Mapping[Look, np.ndarray]:
    """What the embedding and the asked looks give for each image, by look: float32 (N, …)."""
    rows = np.arange(num_images)
    if set(looks) == {"whole"}:
        return {"whole": run_net(encoder, images, rows, place.device, place.precision)}
    seen = run_net(Looking(encoder), images, rows, place.device, place.precision)
    width = encoder.embedding_width
    parts = np.split(seen, [width, (width + seen.shape[1]) // 2], axis=1)
    return {
        look: part
        for look, part in zip(get_args(Look), parts, strict=True)
        if look in ("whole", *looks)
    }
