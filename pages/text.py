"""Text for people: values written out, unseen characters made visible, labels that fit."""

from __future__ import annotations

import math
import numbers
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

MISSING = "–"
MISSING_TEXTS = ("None", "nan", "NaT", "<NA>")
# Characters that are not seen but change what is: controls, directional overrides, separators.
UNSEEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Line breaks and tabs are white space in HTML; the joiners shape letters and emoji.
KEPT_CHARACTERS = "\n\t\u200c\u200d"

_LONGEST_LINE, _HEAD, _TAIL = 300, 200, 60

# The mean width in pixels of a character in the charts' 12-pixel type.
CHARACTER_WIDTH = 6.6


def visible(value: Any) -> Any:
    """Replace unseen characters of a text by their code point in brackets: `⟦U+202E⟧`."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return "".join(
        f"⟦U+{ord(character):04X}⟧"
        if unicodedata.category(character) in UNSEEN_CATEGORIES and character not in KEPT_CHARACTERS
        else character
        for character in value
    )


def shown(value: Any) -> str:
    """Write a value for people: grouped thousands, four significant digits, – where missing."""
    if isinstance(value, str):
        return value
    if str(value) in MISSING_TEXTS:
        return MISSING
    if str(value) in ("True", "False"):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}".replace("-", "−")
    if isinstance(value, numbers.Real):
        return _shown_float(float(value)).replace("-", "−")
    return str(value)


def is_number(value: Any) -> bool:
    """Whether a cell is set in a column of figures; a missing value may stand among them."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _shown_float(value: float) -> str:
    """Write a float with four significant digits, in powers of ten only where zeros would pile."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e15:
        mantissa, exponent = f"{value:.3e}".split("e")
        superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa.rstrip('0').rstrip('.')} × 10{superscript}"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def shorten(text: str, length: int) -> str:
    """Cut a text to at most `length` characters, the last of them an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def written_moment(at: float) -> str:
    """A moment in seconds since 1970, in UTC to the minute."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def is_local(address: str) -> bool:
    """Whether an address leads to a place of the same site, and can be nothing else."""
    return re.fullmatch(r"(/\w[\w.-]*)*/?(\?\w+=\w+)?(#[\w-]+)?", address, re.ASCII) is not None


def abridge(text: str) -> str:
    """Leave out the middle of lines that would fill a screen; what people wrote ends at times in
    what tells it apart."""
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[:_HEAD]} … {line[-_TAIL:]}"
        for line in text.split("\n")
    )


def text_width(text: str) -> float:
    """Estimate the width of a chart label in pixels; East Asian wide characters count double."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return CHARACTER_WIDTH * (len(text) + wide)
