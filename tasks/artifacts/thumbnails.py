"""Small pictures of raw images, for pages."""

from pathlib import Path

import pandas as pd
from PIL import Image

from tasks.artifacts.images import load_some
from tasks.core.gate import Limits
from tasks.core.pixels import decode
from tasks.core.thumbnails import encode_png

_LARGEST = 128


def load_thumbnails(
    shards: Path, index: pd.DataFrame, image_ids: frozenset[str], limits: Limits
) -> dict[str, bytes]:
    """PNGs by image_id, of images that decode. index: image_id, shard."""
    wanted = index[index["image_id"].isin(image_ids)]
    thumbnails = {}
    for shard, rows in wanted.groupby("shard"):
        for image in load_some(shards / str(shard), frozenset(rows["image_id"])):
            picture = decode(image.data, image.name, limits, smallest=_LARGEST)
            small = Image.fromarray(picture.pixels)
            small.thumbnail((_LARGEST, _LARGEST))
            thumbnails[image.image_id] = encode_png(small)
    return thumbnails
