"""Numbers are written as people read them; characters that hide are shown."""

import math
import sys
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.text import abridge, is_number, shorten, shown, text_width, visible


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (-1234, "−1,234"),
        (np.int64(60000), "60,000"),
        (0.1 + 0.2, "0.3"),
        (1e-05, "0.00001"),
        (3e-4, "0.0003"),
        (0.99996, "1"),
        (12345.678, "12,346"),
        (12300.0, "12,300"),
        (-0.0, "0"),
        (np.float32(0.1), "0.1"),
        (2.5e-9, "2.5 × 10⁻⁹"),
        (-6.02214e23, "−6.022 × 10²³"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
        (None, "–"),
        (pd.NaT, "–"),
        (pd.NA, "–"),
        (True, "yes"),
        (np.False_, "no"),
        ("None", "None"),
        ("1e-05", "1e-05"),
        (pd.Timestamp("2024-05-01"), "2024-05-01 00:00:00"),
    ],
)
def test_values_are_written_for_people(value, expected):
    assert shown(value) == expected


@given(st.floats(min_value=1e-6, max_value=1e14))
def test_four_significant_digits_survive(value):
    written = float(shown(value).replace(",", ""))

    assert written == pytest.approx(value, rel=5.001e-4)


def test_a_truth_value_is_no_number():
    assert is_number(1) and is_number(np.float32(1)) and not is_number(True)
    assert not is_number("1") and not is_number(np.True_)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cats/\u202egpj.exe", "cats/⟦U+202E⟧gpj.exe"),
        ("a\x00b\x1b[31m", "a⟦U+0000⟧b⟦U+001B⟧[31m"),
        ("soft\u00adhyphen", "soft⟦U+00AD⟧hyphen"),
        ("lone \udc80", "lone ⟦U+DC80⟧"),
        ("two\nlines\tand a\u00a0space", "two\nlines\tand a\u00a0space"),
        ("👩\u200d🌾 été 猫", "👩\u200d🌾 été 猫"),
    ],
)
def test_unseen_characters_are_named(text, expected):
    assert visible(text) == expected


def test_no_character_hides_and_no_other_changes():
    hiding = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        hides = unicodedata.category(character) in hiding and character not in "\n\t\u200c\u200d"
        assert visible(character) == (f"⟦U+{code:04X}⟧" if hides else character)


def test_long_labels_end_in_an_ellipsis():
    assert shorten("automobile", 10) == "automobile"
    assert shorten("automobile", 5) == "auto…"


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=400), min_size=1))
def test_of_a_line_that_would_fill_a_screen_both_ends_stay(lines):
    for line, brief in zip(lines, abridge("\n".join(lines)).split("\n"), strict=True):
        assert brief == line if len(line) <= 300 else brief == f"{line[:200]} … {line[-60:]}"


def test_wide_characters_count_double():
    assert text_width("猫") == text_width("ab")
