"""Render a page: blocks of content in, one complete HTML document out.

The document stands alone: pictures are data: URIs, the style is inline and named by its hash in
the content-security policy, and there is no script. Equal arguments give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from pages import charts, curves, heatmap, matrix, parallel, scatter, trends, whiskers
from pages.blocks import (
    Agenda,
    Bars,
    Beside,
    Block,
    Code,
    Curves,
    Facts,
    Figure,
    Folded,
    Form,
    Gallery,
    Heatmap,
    Lines,
    Links,
    Matrix,
    Notice,
    Parallel,
    Point,
    Scatter,
    Section,
    Table,
    Text,
    Thumbnails,
    Trend,
    Whiskers,
)
from pages.text import MISSING, abridge, is_local, is_number, shorten, shown, visible

TONES = ("good", "warning", "bad")
THUMBNAIL_WIDTH = 96
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Embedded(NamedTuple):
    """A PNG as a data: URI with its size in pixels as shown."""

    source: str
    width: int
    height: int
    is_enlarged: bool


def render_page(
    title: str, lead: str, sections: Sequence[Section], notice: Notice | None = None
) -> str:
    """Return the page as HTML. Raises ValueError where a block contradicts itself."""
    if notice is not None:
        _check_tone(notice, "the page's notice")
    anchors = {section.title: f"section-{number}" for number, section in enumerate(sections, 1)}
    drawn = [
        (section.title, _draw_all(section.blocks, f"section {section.title!r}", anchors))
        for section in sections
    ]
    acts = any(_acts(section.blocks) for section in sections)
    return _template().render(title=title, lead=lead, notice=notice, sections=drawn, acts=acts)


def _acts(blocks: Sequence[Block]) -> bool:
    """Whether a form is among them, for which the policy lets go of what it forbids otherwise."""
    return any(
        isinstance(one, Form) or (isinstance(one, Folded | Beside) and _acts(one.blocks))
        for one in blocks
    )


def _draw_all(
    blocks: Sequence[Block], where: str, anchors: Mapping[str, str]
) -> list[tuple[str, Block, Any]]:
    places = (f"{where}, block {number}" for number in count(1))
    return [_draw(block, place, anchors) for block, place in zip(blocks, places, strict=False)]


def _draw(block: Block, where: str, anchors: Mapping[str, str]) -> tuple[str, Block, Any]:
    """Check a block and return its kind, itself, and what the template needs to draw it."""
    drawing: Any = None
    match block:
        case Notice():
            _check_tone(block, where)
        case Table():
            drawing = _figure_columns(block, where)
        case Bars():
            drawing = charts.bar_chart(block.series)
        case Lines():
            drawing = charts.line_chart(block.series)
        case Curves():
            drawing = curves.curve_chart(block.series)
        case Trend():
            drawing = trends.trend_chart(block)
        case Whiskers():
            drawing = whiskers.whisker_chart(block.spreads, block.reference)
        case Scatter():
            drawing = scatter.scatter_chart(block.marks, block.front)
        case Matrix():
            _check_square(block, where)
            texts = [[shown(value) for value in row] for row in block.values]
            labels = [visible(label) for label in block.labels]
            drawing = matrix.matrix_chart(labels, block.values, texts)
        case Heatmap():
            _check_rectangle(block, where)
            rows, columns = (
                [visible(label) for label in one] for one in (block.rows, block.columns)
            )
            drawing = heatmap.heatmap_chart(rows, columns, block.values, block.marked)
        case Parallel():
            drawing = parallel.parallel_chart(block.axes, block.strands)
        case Thumbnails():
            drawing = [_embed(picture.png, where, THUMBNAIL_WIDTH) for picture in block.pictures]
        case Gallery():
            _check_gallery(block, where)
            drawing = [
                [_embed(picture.png, where, THUMBNAIL_WIDTH) for picture in example.pictures]
                for example in block.examples
            ]
        case Figure():
            drawing = _embed(block.png, where, 1)
        case Agenda():
            drawing = [_target(point, where, anchors) for point in block.points]
        case Folded() | Beside():
            drawing = _draw_all(block.blocks, where, anchors)
        case Links():
            for link in block.links:
                _check_local(link.address, where)
        case Form():
            _check_local(block.action, where)
        case Text() | Code() | Facts():
            pass
        case _:
            raise ValueError(f"{where}: {type(block).__name__} is not a kind of block")
    return type(block).__name__, block, drawing


def _target(point: Point, where: str, anchors: Mapping[str, str]) -> str:
    """Return the anchor of the section that a point names."""
    if point.section not in anchors:
        raise ValueError(f"{where}: {point.section!r} is not one of {list(anchors)}")
    if point.page and not re.fullmatch(r"[a-z_]+\.html", point.page):
        raise ValueError(f"{where}: {point.page!r} is not the name of a page beside this one")
    return anchors[point.section]


def _check_tone(notice: Notice, where: str) -> None:
    if notice.tone not in TONES:
        raise ValueError(f"{where}: tone {notice.tone!r} is not one of {list(TONES)}")


def _check_local(address: str, where: str) -> None:
    if not is_local(address):
        raise ValueError(f"{where}: {address!r} leads to no place of this site")


def _figure_columns(table: Table, where: str) -> list[bool]:
    """Check every row's length and tell which columns hold only figures."""
    width = len(table.columns)
    for number, row in enumerate(table.rows, start=1):
        if len(row) != width:
            raise ValueError(f"{where}: row {number} has {len(row)} cells for {width} columns")
    return [
        any(is_number(row[column]) for row in table.rows)
        and all(is_number(row[column]) or shown(row[column]) == MISSING for row in table.rows)
        for column in range(width)
    ]


def _check_square(block: Matrix, where: str) -> None:
    size = len(block.labels)
    lengths = [len(row) for row in block.values]
    if lengths != [size] * size:
        raise ValueError(f"{where}: matrix is not square: {size} labels, rows of lengths {lengths}")


def _check_rectangle(block: Heatmap, where: str) -> None:
    expected = [len(block.columns)] * len(block.rows)
    for grid in (block.values, block.marked):
        if [len(row) for row in grid] != expected:
            raise ValueError(
                f"{where}: heat map of {len(block.rows)} rows and {len(block.columns)} columns has "
                f"rows of lengths {[len(row) for row in grid]}"
            )


def _check_gallery(block: Gallery, where: str) -> None:
    expected = len(block.columns) - 1
    for number, example in enumerate(block.examples, start=1):
        if len(example.pictures) != expected:
            raise ValueError(
                f"{where}: row {number} has {len(example.pictures)} pictures for {expected} columns"
            )


def _embed(png: bytes, where: str, least_width: int) -> Embedded:
    """Encode a PNG; one narrower than `least_width` is enlarged by a whole factor."""
    if len(png) < 24 or not png.startswith(PNG_SIGNATURE):
        raise ValueError(f"{where}: picture is not a PNG (it begins with {png[:8]!r})")
    width, height = struct.unpack(">II", png[16:24])
    if not width or not height:
        raise ValueError(f"{where}: PNG has size {width} × {height}")
    factor = math.ceil(least_width / width)
    source = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return Embedded(source, width * factor, height * factor, factor > 1)


def _style_hash(style: str) -> str:
    """Return the source expression that allows exactly this style text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "visible": visible,
        "shorten": shorten,
        "abridge": abridge,
        "style_hash": _style_hash,
    }
    environment.globals |= {
        "charts": charts,
        "heatmap_geometry": heatmap,
        "matrix_geometry": matrix,
        "parallel_geometry": parallel,
        "whisker_geometry": whiskers,
    }
    return environment.get_template("page.html")
