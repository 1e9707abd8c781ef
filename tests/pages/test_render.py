"""A page holds what it was given as text, allows only its own style, and is the same each time.

Long because it holds a reader of pages and one page with every block.
"""

import base64
import hashlib
import io
import os
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pages.blocks import (
    Agenda,
    Bars,
    Beside,
    Example,
    Facts,
    Field,
    Figure,
    Folded,
    Form,
    Gallery,
    Heatmap,
    Lines,
    Link,
    Links,
    Matrix,
    Moment,
    Notice,
    Picture,
    Point,
    Section,
    Table,
    Text,
    Thumbnails,
    Trend,
)
from pages.render import render_page
from pages.text import visible

ROOT = Path(__file__).parents[2]
HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style></svg><svg onload=alert(1)>",
    "<!-- ]]> {{ 7 * 7 }} {% raw %} &lt;b&gt;",
    '=HYPERLINK("http://example.org","click")',
    "javascript:alert(1)\x00\u202e\u2028\udfff",
]


class Document(HTMLParser):
    """What a page holds: elements with the names of their attributes, texts, attribute values."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.attributes = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.attributes.extend((tag, name, value) for name, value in attrs)

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"comment {data!r}")

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


def png(width=8, height=8):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (40, 120, 80)).save(buffer, "PNG")
    return buffer.getvalue()


def page_of(text):
    """Put a text wherever a page takes one."""
    blocks = [
        Text(text),
        Notice("warning", text),
        Facts({text: text}),
        Table([text, "count"], [[text, 1], [text, None]], text),
        Bars({text: {text: 1.0}, text + "2": {text: 2.0}}, text),
        Lines({text: [1.0, 2.0]}, text, text),
        Matrix([text, "other"], [[1, 2], [3, 4]], text, text, text),
        Heatmap([text], [text], [[0.5]], [[True]], text, text, text),
        Thumbnails([Picture(png(), text, [text, text])], text),
        Gallery([text, text], [Example([text, text], [Picture(png(), text)])], text),
        Figure(png(), text, text),
        Agenda([Point(text, 3, text, text, text, "review.html")]),
        Folded(text, [Text(text), Folded(text, [Text(text)])]),
        Trend({text: [Moment(5.0, 1.0, 0.5, 2.0, True)]}, 0.0, 9.0, text, {text: 1.0}, text),
        Beside([Text(text), Text(text)]),
        Links(text, [Link(text, "/watch?days=7"), Link(text, "#content", True)]),
    ]
    return render_page(text, text, [Section(text, blocks)], Notice("bad", text))


PLAIN = Document(page_of("plain"))


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=()), min_size=1))
@example(HOSTILE[0])
@example(HOSTILE[1])
@example(HOSTILE[2])
@example(HOSTILE[3])
@example(HOSTILE[4])
@example(HOSTILE[5])
def test_any_text_is_text_wherever_it_stands(text):
    html = page_of(text)
    document = Document(html)

    assert document.elements == PLAIN.elements
    expected = visible(text)
    assert document.texts.count(expected) >= PLAIN.texts.count("plain") - 5  # shortened labels
    assert document.values("alt") == [expected] * 3
    hidden = {c for c in html if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert hidden <= set("\n\t\u200c\u200d")


def test_the_policy_allows_this_style_and_nothing_else():
    html = page_of("plain")
    document = Document(html)
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(value for value in document.values("content") if "default-src" in value)

    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert directives == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert html.index("Content-Security-Policy") < html.index("<style>")


def form(text="plain", action="/watch/silence"):
    fields = [Field("hidden", "episode", value=text), Field("text", "by", text, text)]
    return Form(action, fields, text, text, is_grave=True)


def policy_of(html):
    return next(value for value in Document(html).values("content") if "default-src" in value)


@pytest.mark.parametrize(
    "block", [form(), Folded("more", [form()]), Beside([Text("t"), Folded("more", [form()])])]
)
def test_only_a_page_that_asks_for_something_may_send_it_and_to_its_own_site(block):
    html = render_page("t", "l", [Section("s", [block])])
    strict = render_page("t", "l", [Section("s", [Text("t")])])
    assert policy_of(html).endswith("form-action 'self'")
    assert policy_of(strict).endswith("form-action 'none'")
    assert policy_of(html).replace("'self'", "'none'") == policy_of(strict)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_form_holds_any_text_as_text(text):
    hostile, plain = (
        Document(render_page("t", "l", [Section("s", [form(one)])])) for one in (text, "plain")
    )
    assert hostile.elements == plain.elements
    assert hostile.values("value") == [visible(text)] * 2
    assert hostile.values("action") == ["/watch/silence"]


@pytest.mark.parametrize(
    "address",
    ["//evil.example", "https://evil.example", "javascript:alert(1)", "/a b", "/../x", "/a/../b",
     "/x?a=1&b=2", "\\\\evil", "/watch\n", "/é"],
)  # fmt: skip
def test_nothing_leads_elsewhere(address):
    for block in (Links("ways", [Link("on", address)]), form(action=address)):
        with pytest.raises(ValueError, match="leads to no place of this site"):
            render_page("t", "l", [Section("s", [block])])


def test_the_document_needs_nothing_outside_itself():
    tags = {element[0] for element in PLAIN.elements}
    names = {name for _, name, _ in PLAIN.attributes}

    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert "style" not in names and not any(name.startswith("on") for name in names)
    assert all(source.startswith("data:image/png;base64,") for source in PLAIN.values("src"))
    links = [target for target in PLAIN.values("href") if not target.startswith("#")]
    assert links == ["review.html", "/watch?days=7"], (
        "a page beside this one, and what was asked for"
    )
    assert "url(" not in page_of("plain") and "@import" not in page_of("plain")


def test_equal_arguments_give_equal_bytes_in_any_process():
    program = (
        "import hashlib; from pages.render import *\n"
        "sections = [Section('s', [Bars({'b': {'z': 1.0, 'a': .1 + .2}}), Facts({'n': 1}),"
        " Lines({'l': [1.0, 0.3]}, 'x'), Matrix(['a', 'b'], [[1, 2], [3, 4]], 'r', 'c')])]\n"
        "print(hashlib.sha256(render_page('t', 'l', sections).encode()).hexdigest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert digests[0] == digests[1] != ""


def test_facts_keep_their_order():
    html = render_page("t", "l", [Section("s", [Facts({"zebra": 1, "ant": 2})])])

    assert html.index(">zebra<") < html.index(">ant<")


def test_the_contents_name_every_section_once():
    titles = ["One", "Two", "One"]
    html = render_page("t", "l", [Section(title, [Text("words")]) for title in titles])
    document = Document(html)

    ids = document.values("id")
    assert len(set(ids)) == len(ids)
    assert {target[1:] for target in document.values("href")} <= set(ids)
    assert html.count('href="#section-') == 3
    assert document.elements[0] == ("html", "lang")


def test_a_point_leads_to_its_section_and_what_is_folded_opens_without_a_script():
    point = Point("Leaks", 4, "why", "advice", "Second")
    sections = [
        Section("First", [Agenda([point])]),
        Section("Second", [Folded("4 pairs", [Table(["pair"], [["a"]])])]),
    ]
    html = render_page("t", "l", sections)

    assert 'See <a href="#section-2">Second</a>' in html
    assert "<summary>4 pairs</summary>" in html.split('id="section-2"')[1]
    assert html.count("<details>") == html.count("</details>") == 1


def test_tables_name_their_columns_rows_and_subject():
    section = Section("Sources", [Table(["path", "images"], [["cats", 12345], ["dogs", None]])])
    html = render_page("t", "l", [section])

    assert '<th scope="col" class="figure">images</th>' in html
    assert '<th scope="row">cats</th>' in html
    assert '<td class="figure">12,345</td>' in html
    assert '<td class="figure">–</td>' in html
    assert '<caption class="unseen">Sources</caption>' in html


def test_every_chart_has_a_title_and_every_picture_a_text():
    charts = page_of("plain").split('role="img"')[1:]

    assert len(charts) == 5
    assert all("<title>plain" in chart.split("<text")[0] for chart in charts)
    assert all("alt" in element for element in PLAIN.elements if element[0] == "img")


@pytest.mark.parametrize(
    ("size", "shown"),
    [((8, 8), (96, 96)), ((32, 16), (96, 48)), ((28, 28), (112, 112)), ((300, 200), (300, 200))],
)
def test_tiny_pictures_grow_by_whole_factors(size, shown):
    html = render_page("t", "l", [Section("s", [Thumbnails([Picture(png(*size), "cat")])])])

    assert f'width="{shown[0]}" height="{shown[1]}"' in html
    assert ('class="enlarged"' in html) == (size != shown)


def test_pictures_carry_their_own_bytes():
    html = render_page("t", "l", [Section("s", [Figure(png(20, 10), "sheet")])])
    source = Document(html).values("src")[0]

    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == png(20, 10)


@pytest.mark.parametrize(
    "block",
    [
        Facts({}),
        Table(["path"], []),
        Table([], []),
        Bars({}),
        Bars({"train": {}}),
        Lines({}, "epoch"),
        Lines({"loss": []}, "epoch"),
        Matrix([], [], "given", "predicted"),
        Heatmap([], [], [], [], "marked", "plain"),
        Thumbnails([]),
        Gallery(["image"], []),
        Agenda([]),
        Folded("more", []),
    ],
)
def test_an_empty_block_says_none(block):
    assert "none" in Document(render_page("t", "l", [Section("s", [block])])).texts


def test_an_empty_section_says_none():
    assert "none" in Document(render_page("t", "l", [Section("s", [])])).texts


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Table(["a", "b"], [[1, 2], [3]]), "row 2 has 1 cells for 2 columns"),
        (Table([], [[1]]), "row 1 has 1 cells for 0 columns"),
        (Matrix(["a", "b"], [[1, 2]], "r", "c"), r"not square: 2 labels, rows of lengths \[2\]"),
        (Matrix(["a", "b"], [[1, 2], [3]], "r", "c"), r"rows of lengths \[2, 1\]"),
        (Matrix(["a"], [[1, 2], [3, 4]], "r", "c"), r"1 labels, rows of lengths \[2, 2\]"),
        (
            Heatmap(["a"], ["b", "c"], [[1, 2]], [[True]], "m", "p"),
            r"1 rows and 2 columns has rows of lengths \[1\]",
        ),
        (Heatmap(["a"], ["b"], [], [[True]], "m", "p"), r"has rows of lengths \[\]"),
        (Notice("fatal", "x"), r"tone 'fatal' is not one of \['good', 'warning', 'bad'\]"),
        (Figure(b"GIF89a" + bytes(30), "x"), r"not a PNG \(it begins with b'GIF89a"),
        (Thumbnails([Picture(b"", "x")]), "not a PNG"),
        (Gallery(["a", "b"], [Example(["x"], [Picture(b"", "x")])]), "not a PNG"),
        (Gallery(["a", "b"], [Example(["x"], [])]), "row 1 has 0 pictures for 1 columns"),
        (Figure(png()[:16] + bytes(8) + png()[24:], "x"), "PNG has size 0 × 0"),
        ("words", "str is not a kind of block"),
        (Agenda([Point("x", 1, "", "", "Third")]), r"'Third' is not one of \['First', 'Second'\]"),
        (Agenda([Point("x", 1, "", "", "First", "//evil.html")]), "not the name of a page beside"),
        (Folded("more", cast(Any, ["words"])), "block 1: str is not a kind of block"),
    ],
)
def test_a_block_that_contradicts_itself_is_refused(block, message):
    sections = [Section("First", []), Section("Second", [Text("words"), block])]

    with pytest.raises(ValueError, match=f"section 'Second', block 2[:,].*{message}"):
        render_page("t", "l", sections)


def test_an_unknown_tone_of_the_page_is_refused():
    with pytest.raises(ValueError, match="the page's notice: tone 'ok' is not one of"):
        render_page("t", "l", [], Notice("ok", "fine"))
