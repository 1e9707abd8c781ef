"""What a reader of Markdown makes of the text is the text again, whatever data brought along."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pages.blocks import (
    Agenda,
    Code,
    Facts,
    Folded,
    Lines,
    Matrix,
    Notice,
    Section,
    Table,
    Text,
)
from pages.markdown import render_markdown
from pages.text import shown, visible

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# Anything, and more often than not what Markdown and HTML take for themselves.
SPECIAL = "ab1 .-+*_`~#|[]()<>&=!\\:/@\n"
TEXTS = st.text(max_size=30) | st.text(SPECIAL, max_size=20)


class Read(HTMLParser):
    """The elements of a document and the text of each, in their order."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() or (self.open and self.open[-1] == "code"):
            tag, text = self.texts[-1]
            self.texts[-1] = (tag, text + data)


def read(*sections: Section, notice: Notice | None = None) -> list[tuple[str, str]]:
    return Read(READER.render(render_markdown("Title", "Lead.", sections, notice))).texts


def words(text: str) -> list[str]:
    return str(visible(text)).split()


def is_plain(text: str) -> bool:
    """Whether pages leave it as it is but for white space."""
    return len(text) < 200 and text.isascii() and text.replace("\n", "").isprintable()


@given(TEXTS.filter(is_plain))
def test_a_paragraph_reads_as_it_was(text):
    texts = read(Section("A", [Text(text)]))
    assert [tag for tag, _ in texts] == ["h1", "p", "h2"] + ["p"] * (len(texts) - 3)
    assert " ".join(found for _, found in texts[3:]).split() == words(text)


@given(TEXTS.filter(is_plain), TEXTS.filter(is_plain))
def test_a_cell_reads_as_it_was(name, cell):
    texts = read(Section("A", [Table([name, "b"], [[cell, 1.5]])]))
    assert [found.split() for tag, found in texts if tag in ("th", "td")] == [
        words(name), ["b"], words(cell), ["1.5"],
    ]  # fmt: skip


@given(TEXTS)
def test_no_text_brings_markup_along(text):
    section = Section(text, [Text(text), Facts({text: text}), Notice("good", text)])
    matrix = Matrix([text], [[1]], text, text, text)
    table = Table([text], [[text]], text)
    texts = read(section, Section(text, [matrix, table]), notice=Notice("bad", text))
    allowed = {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "blockquote", "strong"}
    assert {tag for tag, _ in texts} <= allowed


@given(TEXTS.filter(is_plain).filter(str.strip))
def test_code_stays_as_it_is(text):
    assert ("code", text.strip("\n") + "\n") in [
        (tag, found.strip("\n") + "\n") for tag, found in read(Section("A", [Code(text)]))
    ]


def test_figures_stand_to_the_right_as_people_write_them():
    document = render_markdown("T", "L", [Section("A", [Table(["a", "b"], [["x", 12345.6]])])])
    assert "| --- | ---: |\n| x | 12,346 |" in document
    assert shown(12345.6) == "12,346"


def test_of_a_picture_its_caption_stays():
    lines = Lines({"a": [1.0, 2.0]}, "epoch", "Loss *by* epoch.")
    texts = read(Section("A", [Folded("More", [lines])]))
    assert texts[3:] == [
        ("p", "More"),
        ("p", ""),
        ("em", "On the page a picture: Loss *by* epoch."),
    ]


def test_what_has_no_words_is_refused():
    with pytest.raises(ValueError, match="Agenda has no form in Markdown"):
        render_markdown("T", "L", [Section("A", [Agenda([])])])
