"""Stage augment: the policy that finetune draws from, and a sheet of what it does."""

import io
import json
from pathlib import Path

import albumentations as A
import numpy as np
from PIL import Image
from pydantic import PositiveInt

from tasks.artifacts.documents import save_bytes, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.tables import load_rows
from tasks.core.params import Section
from tasks.core.policy import Transforms, augment_batch, build_policy

_TILE, _GAP = 64, 4


class Params(Section):
    """`num_examples` images are drawn on the sheet, each beside `num_draws` augmented ones."""

    transforms: Transforms
    num_examples: PositiveInt
    num_draws: PositiveInt


def main(
    images: Path, train: Path, out_policy: Path, out_sheet: Path, params: Params, seed: int
) -> None:
    pixels, rows = Images(images), load_rows(train)
    policy = build_policy(params.transforms, pixels.image_shape[0])
    examples = np.sort(np.random.default_rng(seed).permutation(rows)[: params.num_examples])
    # Through JSON, as albumentations leaves tuples that JSON reads back as lists.
    save_json(json.loads(json.dumps(A.to_dict(policy))), out_policy)
    save_bytes(draw_sheet(policy, pixels[examples], params.num_draws, seed), out_sheet)


def draw_sheet(policy: A.Compose, images_NHWC: np.ndarray, num_draws: int, seed: int) -> bytes:
    """A PNG: one row per image, the original at the left."""
    columns = [images_NHWC]
    columns += [augment_batch(policy, images_NHWC, seed, draw, 0) for draw in range(num_draws)]
    step = _TILE + _GAP
    sheet = Image.new("RGB", (step * len(columns) + 2 * _GAP, step * len(images_NHWC)), "white")
    for column, pictures in enumerate(columns):
        left = column * step + (2 * _GAP if column else 0)
        for row, picture in enumerate(pictures):
            tile = Image.fromarray(picture.squeeze()).convert("RGB")
            sheet.paste(tile.resize((_TILE, _TILE), Image.Resampling.NEAREST), (left, row * step))
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return file.getvalue()
