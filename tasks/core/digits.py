"""The default source: handwritten digits, and the faults that may be planted among them.

Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998), 1,797 images of
8 × 8 pixels with 17 levels of grey, as scikit-learn ships them.
"""

import io
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field
from sklearn.datasets import load_digits

from tasks.core.hashing import hashed_fraction
from tasks.core.params import Section

Class = Annotated[str, Field(pattern="^[0-9]$")]
Fraction = Annotated[float, Field(ge=0, le=0.5)]
_VAL_FRACTION, _TEST_FRACTION = 0.15, 0.25


class Faults(Section):
    """Shares of train rows that get a fault; `thinned` gives the share of a class that stays."""

    truncated_fraction: Fraction
    duplicate_fraction: Fraction
    wrong_label_fraction: Fraction
    thinned: dict[Class, Annotated[float, Field(gt=0, le=1)]]
    seed: Annotated[int, Field(ge=0)]


class Digit(NamedTuple):
    """One image file; `fault` is what was planted in it, `true_label` what it really shows."""

    path: str
    data: bytes
    label: str
    split: Literal["train", "val", "test"]
    fault: str
    true_label: str


def make_digits(faults: Faults | None) -> list[Digit]:
    """All digits as PNG files with a split of their own, sorted by path.

    Faults are planted in train rows alone, each row bearing one at most.
    """
    bunch: Any = load_digits()
    levels = (bunch.images * 255 / 16).round().astype(np.uint8)
    digits = [
        _digit(number, pixels, str(label))
        for number, (pixels, label) in enumerate(zip(levels, bunch.target, strict=True))
    ]
    if faults is not None:
        digits = _with_faults(digits, faults)
    return sorted(digits, key=lambda digit: digit.path)


def _digit(number: int, pixels: np.ndarray, label: str) -> Digit:
    share = hashed_fraction(pixels.tobytes())
    split = "test" if share < _TEST_FRACTION else "train"
    if _TEST_FRACTION <= share < _TEST_FRACTION + _VAL_FRACTION:
        split = "val"
    return Digit(f"{number:04d}.png", _png(pixels), label, split, "", label)


def _png(pixels: np.ndarray, compress_level: int = 6) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=compress_level)
    return file.getvalue()


def _with_faults(digits: list[Digit], faults: Faults) -> list[Digit]:
    rng = np.random.default_rng(faults.seed)
    held_out = [digit for digit in digits if digit.split != "train"]
    train = [digit for digit in digits if digit.split == "train"]
    stays = rng.random(len(train))
    train = [
        digit
        for digit, draw in zip(train, stays, strict=True)
        if draw < faults.thinned.get(digit.label, 1.0)
    ]
    order = rng.permutation(len(train))
    counts = [
        round(fraction * len(train))
        for fraction in (
            faults.truncated_fraction,
            faults.duplicate_fraction,
            faults.wrong_label_fraction,
        )
    ]
    cut, copied, mislabelled = np.split(order, np.cumsum(counts))[:3]
    planted = list(train)
    for index in cut:
        digit = train[index]
        planted[index] = digit._replace(data=digit.data[: len(digit.data) // 2], fault="truncated")
    for index in mislabelled:
        digit = train[index]
        others = sorted({other.label for other in digits} - {digit.label})
        planted[index] = digit._replace(label=str(rng.choice(others)), fault="wrong_label")
    copies = [_copy(train[index]) for index in copied]
    return held_out + planted + copies


def _copy(digit: Digit) -> Digit:
    # Other bytes for the same pixels, as when a picture is saved again.
    pixels = np.asarray(Image.open(io.BytesIO(digit.data)))
    path = digit.path.replace(".png", "-copy.png")
    return digit._replace(path=path, data=_png(pixels, compress_level=0), fault="duplicate")
