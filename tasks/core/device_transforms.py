"""Transforms of a batch of images at once, each computed as albumentations does it for one, in
float32 from 0 to 255 and without rounding.

N images, C channels, H height, W width, T tries, O offsets, M places in a row
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Arguments = Mapping[str, Any]
_GREY = (0.299, 0.587, 0.114)
_TRIES = 10


class Draws:
    """Random numbers for some images of a batch. They are drawn for all of it, so that an image's
    do not hang on which others are asked for."""

    def __init__(self, generator: torch.Generator, num_images: int, first: int, last: int):
        self._generator, self._num_images = generator, num_images
        self._own = slice(first, last)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """float32 (N, *shape)."""
        drawn = torch.rand(
            (self._num_images, *shape), generator=self._generator, device=self._generator.device
        )
        return low + (high - low) * drawn[self._own]

    def normal(self, *shape: int) -> Tensor:
        drawn = torch.randn(
            (self._num_images, *shape), generator=self._generator, device=self._generator.device
        )
        return drawn[self._own]

    def integer(self, low: int, high: int, *shape: int) -> Tensor:
        """From `low` to `high`, both included."""
        return (self.uniform(low, high + 1, *shape)).floor().clamp(max=high)

    def order(self, count: int) -> list[int]:
        """One for all images: an order of each image's own would compute everything `count` times.

        It waits for no device, as it is drawn on the host."""
        host = torch.Generator().manual_seed(self._generator.initial_seed())
        return torch.randperm(count, generator=host).tolist()


def along(values_N: Tensor) -> Tensor:
    """One value per image, to compute with (N, C, H, W)."""
    return values_N.view(-1, 1, 1, 1)


def flip_across(x_NCHW: Tensor, _: Arguments, __: Draws) -> Tensor:
    return x_NCHW.flip(3)


def flip_down(x_NCHW: Tensor, _: Arguments, __: Draws) -> Tensor:
    return x_NCHW.flip(2)


def crop(x_NCHW: Tensor, arguments: Arguments, draws: Draws) -> Tensor:
    """A box of a share of the area and a ratio of its sides, drawn anew where it does not fit, and
    stretched over the image; the whole image where no draw fits."""
    height, width = x_NCHW.shape[2:]
    low, high = arguments["ratio"]
    area_NT = draws.uniform(*arguments["scale"], _TRIES) * height * width
    ratio_NT = draws.uniform(math.log(low), math.log(high), _TRIES).exp()
    across_NT, down_NT = (area_NT * ratio_NT).sqrt().round(), (area_NT / ratio_NT).sqrt().round()
    fits_NT = (across_NT >= 1) & (across_NT <= width) & (down_NT >= 1) & (down_NT <= height)
    chosen_N1 = fits_NT.float().argmax(dim=1, keepdim=True)
    does_fit_N = fits_NT.any(dim=1)
    across_N = torch.where(does_fit_N, across_NT.gather(1, chosen_N1)[:, 0], width)
    down_N = torch.where(does_fit_N, down_NT.gather(1, chosen_N1)[:, 0], height)
    left_N = (draws.uniform(0, 1) * (width - across_N + 1)).floor()
    top_N = (draws.uniform(0, 1) * (height - down_N + 1)).floor()
    x_NW = _stretched(left_N, across_N, width)
    y_NH = _stretched(top_N, down_N, height)
    return _sampled(x_NCHW, x_NW[:, None, :].expand(-1, height, -1), y_NH[:, :, None])


def _stretched(start_N: Tensor, length_N: Tensor, count: int) -> Tensor:
    """Where `count` pixels come from that cover `length_N` ones; the outermost are not left."""
    places = torch.arange(count, device=start_N.device) + 0.5
    inside_NM = places * length_N[:, None] / count - 0.5
    return start_N[:, None] + torch.minimum(inside_NM.clamp(min=0), length_N[:, None] - 1)


def _sampled(x_NCHW: Tensor, x_NHW: Tensor, y_NHW: Tensor) -> Tensor:
    """The image at places in pixels, between them by their distances, black beyond it."""
    height, width = x_NCHW.shape[2:]
    y_NHW = y_NHW.expand_as(x_NHW)
    grid_NHW2 = torch.stack([(2 * x_NHW + 1) / width - 1, (2 * y_NHW + 1) / height - 1], dim=-1)
    return F.grid_sample(x_NCHW, grid_NHW2, padding_mode="zeros", align_corners=False)


def warp(x_NCHW: Tensor, arguments: Arguments, draws: Draws) -> Tensor:
    """Scaled, rotated, sheared and moved around its centre, in this order."""
    height, width = x_NCHW.shape[2:]
    move_x_N, move_y_N = _move(arguments, "x", width, draws), _move(arguments, "y", height, draws)
    shear_x_N, shear_y_N = (
        torch.deg2rad(-draws.uniform(*arguments["shear"][axis])).tan() for axis in "xy"
    )
    scale_x_N, scale_y_N = (draws.uniform(*arguments["scale"][axis]) for axis in "xy")
    angle_N = torch.deg2rad(draws.uniform(*arguments["rotate"]))
    cos_N, sin_N = angle_N.cos(), angle_N.sin()
    # The matrix is shear @ rotation @ scale.
    a_N, b_N = (cos_N - shear_x_N * sin_N) * scale_x_N, (sin_N + shear_x_N * cos_N) * scale_y_N
    c_N, d_N = (shear_y_N * cos_N - sin_N) * scale_x_N, (shear_y_N * sin_N + cos_N) * scale_y_N
    determinant_N = a_N * d_N - b_N * c_N
    centre_x, centre_y = width / 2 - 0.5, height / 2 - 0.5
    across_NHW = torch.arange(width, device=x_NCHW.device) - centre_x - move_x_N.view(-1, 1, 1)
    down_NHW = (torch.arange(height, device=x_NCHW.device) - centre_y).view(1, -1, 1)
    down_NHW = down_NHW - move_y_N.view(-1, 1, 1)
    a, b, c, d = (value_N.div(determinant_N).view(-1, 1, 1) for value_N in (a_N, b_N, c_N, d_N))
    from_x_NHW = d * across_NHW - b * down_NHW + centre_x
    from_y_NHW = a * down_NHW - c * across_NHW + centre_y
    fill = arguments["fill"]
    return _sampled(x_NCHW - fill, from_x_NHW, from_y_NHW) + fill


def _move(arguments: Arguments, axis: str, length: int, draws: Draws) -> Tensor:
    """In pixels: whole ones, or any share of the image."""
    if arguments["translate_px"] is not None:
        return draws.integer(*arguments["translate_px"][axis])
    return draws.uniform(*arguments["translate_percent"][axis]) * length


def jitter(x_NCHW: Tensor, arguments: Arguments, draws: Draws) -> Tensor:
    """Brightness, contrast, saturation and hue, in an order drawn once a batch."""
    changes = (_brighten, _contrast, _saturate, _turn_hue)
    names = ("brightness", "contrast", "saturation", "hue")
    amounts = [along(draws.uniform(*arguments[name])) for name in names]
    for number in draws.order(4):
        x_NCHW = changes[number](x_NCHW, amounts[number]).clamp(0, 255)
    return x_NCHW


def _brighten(x_NCHW: Tensor, factor_N111: Tensor) -> Tensor:
    return x_NCHW * factor_N111


def _contrast(x_NCHW: Tensor, factor_N111: Tensor) -> Tensor:
    mean_N111 = grey_of(x_NCHW).mean(dim=(1, 2, 3), keepdim=True)
    return mean_N111 + factor_N111 * (x_NCHW - mean_N111)


def _saturate(x_NCHW: Tensor, factor_N111: Tensor) -> Tensor:
    grey_N1HW = grey_of(x_NCHW)
    return grey_N1HW + factor_N111 * (x_NCHW - grey_N1HW)


def _turn_hue(x_NCHW: Tensor, turns_N111: Tensor) -> Tensor:
    """Hue is turned where value and saturation stay (Smith, Color gamut transform pairs, 1978)."""
    if x_NCHW.shape[1] == 1:
        return x_NCHW
    r, g, b = x_NCHW.unbind(dim=1)
    value, least = x_NCHW.amax(dim=1), x_NCHW.amin(dim=1)
    spread = value - least
    safe = spread.clamp(min=1e-6)
    sixths = torch.where(
        value == r, (g - b) / safe, torch.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe)
    )
    turned = sixths + 6 * turns_N111[:, :, :, 0]
    channels = [
        value - spread * torch.minimum(k := (turned + offset) % 6, 4 - k).clamp(0, 1)
        for offset in (5, 3, 1)
    ]
    return torch.stack(channels, dim=1)


def grey_of(x_NCHW: Tensor) -> Tensor:
    """(N, 1, H, W), by the weights of ITU-R BT.601."""
    if x_NCHW.shape[1] == 1:
        return x_NCHW
    r, g, b = (weight * x_N1HW for weight, x_N1HW in zip(_GREY, x_NCHW.split(1, 1), strict=True))
    return r + g + b


def scale_values(x_NCHW: Tensor, arguments: Arguments, draws: Draws) -> Tensor:
    contrast_N111 = 1 + along(draws.uniform(*arguments["contrast_limit"]))
    brightness_N111 = along(draws.uniform(*arguments["brightness_limit"]))
    return x_NCHW * contrast_N111 + 255 * brightness_N111


def to_grey(x_NCHW: Tensor, _: Arguments, __: Draws) -> Tensor:
    return grey_of(x_NCHW).expand_as(x_NCHW)


def blur(x_NCHW: Tensor, arguments: Arguments, draws: Draws) -> Tensor:
    """Weights of a normal curve, cut off at 3.5 standard deviations, first down, then across."""
    low, high = arguments["sigma_limit"]
    sigma_N1 = draws.uniform(low, high)[:, None]
    reach = min(int(3.5 * high), *(length - 1 for length in x_NCHW.shape[2:]))
    offsets = torch.arange(-reach, reach + 1, device=x_NCHW.device)
    weights_NO = (-0.5 * (offsets / sigma_N1.clamp(min=1e-6)) ** 2).exp()
    weights_NO = weights_NO * (offsets.abs() <= (3.5 * sigma_N1).floor())
    weights_NO = weights_NO / weights_NO.sum(dim=1, keepdim=True)
    for axis, padding in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        length = x_NCHW.shape[axis]
        padded_NCHW = F.pad(x_NCHW, padding, mode="reflect")
        x_NCHW = torch.stack(
            [
                along(weights_NO[:, offset]) * padded_NCHW.narrow(axis, offset, length)
                for offset in range(2 * reach + 1)
            ]
        ).sum(dim=0)
    return x_NCHW


def add_noise(x_NCHW: Tensor, arguments: Arguments, draws: Draws) -> Tensor:
    sigma_N111, mean_N111 = (
        along(draws.uniform(*arguments[name])) for name in ("std_range", "mean_range")
    )
    return x_NCHW + 255 * (mean_N111 + sigma_N111 * draws.normal(*x_NCHW.shape[1:]))


def drop_boxes(x_NCHW: Tensor, arguments: Arguments, draws: Draws) -> Tensor:
    """Boxes are filled (DeVries and Taylor, Improved regularization of convolutional neural
    networks with cutout, 2017)."""
    height, width = x_NCHW.shape[2:]
    least, most = arguments["num_holes_range"]
    count_N = draws.integer(least, most)
    is_dropped_NHW = torch.zeros_like(x_NCHW[:, 0], dtype=torch.bool)
    for hole in range(most):
        top_N, bottom_N = _span(arguments["hole_height_range"], height, draws)
        left_N, right_N = _span(arguments["hole_width_range"], width, draws)
        y = torch.arange(height, device=x_NCHW.device).view(1, -1, 1)
        x = torch.arange(width, device=x_NCHW.device).view(1, 1, -1)
        top, bottom, left, right, count = (
            value_N.view(-1, 1, 1) for value_N in (top_N, bottom_N, left_N, right_N, count_N)
        )
        is_inside_NHW = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        is_dropped_NHW |= is_inside_NHW & (count > hole)
    return x_NCHW.masked_fill(is_dropped_NHW[:, None], arguments["fill"])


def _span(given: tuple[float, float], length: int, draws: Draws) -> tuple[Tensor, Tensor]:
    """First and one after the last of some pixels in a row: as many as drawn, or a share of all."""
    low, high = given
    if high >= 1:
        extent_N = draws.integer(int(low), int(min(high, length)))
    else:
        extent_N = (length * draws.uniform(low, high)).floor()
    first_N = (draws.uniform(0, 1) * (length - extent_N + 1)).floor()
    return first_N, first_N + extent_N
