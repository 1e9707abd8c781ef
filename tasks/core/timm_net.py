"""Nets of the timm library, built for the images that they will see, or refused.

N images, C channels, H height, W width, D width of the embedding
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from tasks.core.architecture import Timm
from tasks.core.errors import ParamsError
from tasks.core.transformers_net import measure_embedding


def make_timm_net(architecture: Timm, num_channels: int, image_size: int) -> nn.Module:
    """Float (N, C, H, W) → (N, D), with fresh weights drawn from torch's generator.

    Raises ParamsError for a net that cannot be built for such images.
    """
    import timm  # type: ignore[import-not-found]

    name, options = architecture.name, {"in_chans": num_channels, "num_classes": 0}
    with _refusing(architecture, num_channels, image_size):
        try:
            return timm.create_model(name, img_size=image_size, **options)
        except TypeError as error:
            # Nets that take any size do not know the word.
            if "img_size" not in str(error):
                raise
        return timm.create_model(name, **options)


def measure_timm_net(net: nn.Module, architecture: Timm, num_channels: int, image_size: int) -> int:
    """The width of the embedding, as the net gives it: what timm says of it (`num_features`) is
    that of the last layer but one for some.

    Raises ParamsError for a net that cannot take such images, or gives no embedding of them.
    """
    with _refusing(architecture, num_channels, image_size):
        return measure_embedding(net, num_channels, image_size)


@contextmanager
def _refusing(architecture: Timm, num_channels: int, image_size: int) -> Iterator[None]:
    try:
        yield
    # Nets say by errors of any kind, assertions among them, that images are not for them.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ParamsError(
            f"pretrain.architecture.name: {architecture.name!r} of timm does not work on images of "
            f"{image_size} × {image_size} pixels × {num_channels} channels ({reason}); expected a "
            f"clean.image_size and clean.channels that it takes{_made_for(architecture.name)}, if "
            "that is why, or another net"
        ) from error


def _made_for(name: str) -> str:
    import timm  # type: ignore[import-not-found]

    shape_CHW = timm.get_pretrained_cfg_value(name, "input_size")
    if shape_CHW is None:
        return ""
    channels, height, width = shape_CHW
    return f" (it was made for {height} × {width} × {channels})"
