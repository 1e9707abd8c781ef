"""Names that cannot be read, or that look like others, are told."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasks.artifacts.folders import clean_text
from tasks.core.names import Label, SourceName, find_lookalikes

LABEL, SOURCE = TypeAdapter(Label), TypeAdapter(SourceName)


def is_label(text: str) -> bool:
    try:
        return LABEL.validate_python(text) == text
    except ValidationError:
        return False


@given(st.text(max_size=6))
def test_a_label_is_what_ingest_could_have_written(text):
    plain = not any(character < " " for character in text)
    assert is_label(text) == (bool(text) and clean_text(text) == text and plain)


@given(st.text(max_size=6))
def test_a_source_is_one_part_of_a_path_and_seen(text):
    try:
        SOURCE.validate_python(text)
    except ValidationError:
        return
    assert text.split("/") == [text] and text not in ("", ".", "..") and text == text.strip()
    assert not any(unicodedata.category(character).startswith("C") for character in text)


@given(st.lists(st.sampled_from(["a", "A", "ａ", "a\u200b", "b", "é", "e\u0301", "É", "a b"])))
def test_two_names_look_alike_where_folding_makes_them_one(names):
    def folded(name: str) -> str:
        return unicodedata.normalize("NFKC", name).replace("\u200b", "").casefold()

    different = set(names)
    assert (find_lookalikes(different) is None) == (
        len({folded(name) for name in different}) == len(different)
    )
