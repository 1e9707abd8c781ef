"""Write a page's content as Markdown, for whoever reads it beside the code.

The same blocks as `pages.render` draws: titles, paragraphs, tables; of a picture its caption. What
data brings along (labels, names) stays text: no markup, no link and no HTML of its own. Equal
arguments give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pages.blocks import (
    Bars,
    Block,
    Code,
    Curves,
    Facts,
    Figure,
    Folded,
    Heatmap,
    Lines,
    Matrix,
    Notice,
    Scatter,
    Section,
    Table,
    Text,
    Whiskers,
)
from pages.text import abridge, is_number, shown, visible

_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")
# At the start of a line each would begin a list, a heading, a rule or a quotation.
_OPENING = re.compile(r"^([-+=]|\d+(?=[.)]))", re.MULTILINE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render_markdown(
    title: str, lead: str, sections: Sequence[Section], notice: Notice | None = None
) -> str:
    """Return the document. Raises ValueError for a block that neither text nor caption tells."""
    parts = [f"# {_inline(title)}", _paragraph(lead)]
    parts += [_written(notice)] if notice is not None else []
    for section in sections:
        parts += [f"## {_inline(section.title)}", *map(_written, section.blocks)]
    return "\n\n".join(parts) + "\n"


def _written(block: Block) -> str:
    match block:
        case Text():
            return _paragraph(block.text)
        case Notice():
            return f"> **{block.tone}:** {_inline(block.text)}"
        case Code():
            longest = max((len(run) for run in re.findall("`+", block.text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}\n{visible(block.text)}\n{fence}"
        case Facts():
            return _table(["", ""], block.facts.items())
        case Table():
            return _captioned(_table(block.columns, block.rows), block.caption)
        case Matrix():
            columns = [f"{block.row_name} ↓ {block.column_name} →", *block.labels]
            rows = ([label, *row] for label, row in zip(block.labels, block.values, strict=True))
            return _captioned(_table(columns, rows), block.caption)
        case Folded():
            return "\n\n".join([_paragraph(block.summary), *map(_written, block.blocks)])
        case Bars() | Lines() | Curves() | Whiskers() | Scatter() | Heatmap() | Figure():
            return f"*On the page a picture:* {_inline(block.caption)}".rstrip()
        case _:
            raise ValueError(f"{type(block).__name__} has no form in Markdown")


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    kept = [list(row) for row in rows]
    figures = [
        bool(kept) and all(is_number(row[place]) for row in kept) for place in range(len(columns))
    ]
    lines = [
        [_inline(column) for column in columns],
        ["---:" if is_figure else "---" for is_figure in figures],
        *([_inline(shown(cell)) for cell in row] for row in kept),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _captioned(table: str, caption: str) -> str:
    return f"{table}\n\n{_paragraph(caption)}" if caption else table


def _paragraph(text: str) -> str:
    return _OPENING.sub(_defused, _escaped(text))


def _inline(text: str) -> str:
    """On one line that begins otherwise, as in a heading or a cell."""
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    lines = (line.strip() for line in abridge(str(visible(text))).strip().split("\n"))
    escaped = "".join(_ENTITIES.get(letter, letter) for letter in "\n".join(lines))
    escaped = _SPECIAL.sub(r"\\\1", escaped)
    # Else a reader makes links of them by itself.
    return escaped.replace("://", r"\://").replace("www.", r"www\.").replace("@", "&#64;")


def _defused(opening: re.Match[str]) -> str:
    return f"{opening[0]}\\" if opening[0].isdigit() else f"\\{opening[0]}"
