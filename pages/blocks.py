"""What a page is made of, drawn by `pages.render`; long because every kind of block is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple


class Text(NamedTuple):
    """A paragraph."""

    text: str


class Notice(NamedTuple):
    """A verdict; `tone` is one of good, warning, bad."""

    tone: str
    text: str


class Code(NamedTuple):
    """A line to copy, as it stands."""

    text: str


class Facts(NamedTuple):
    """Key figures by name, shown as tiles."""

    facts: Mapping[str, str | int | float]


class Table(NamedTuple):
    """Rows as long as `columns`; the first cell of a row is its heading."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""


class Bars(NamedTuple):
    """Grouped horizontal bars: series name to category to value."""

    series: Mapping[str, Mapping[str, float]]
    caption: str = ""


class Lines(NamedTuple):
    """A line chart: series name to values at x = 1..n."""

    series: Mapping[str, Sequence[float]]
    x_label: str
    caption: str = ""


class Curves(NamedTuple):
    """A chart of lines through points: series name to (x, y), x rising."""

    series: Mapping[str, Sequence[tuple[float, float]]]
    x_label: str
    caption: str = ""


class Moment(NamedTuple):
    """A value at a time (seconds since 1970), None where it is missing, and its interval. The
    legend says what a marked one is."""

    at: float
    value: float | None
    low: float | None = None
    high: float | None = None
    is_marked: bool = False


class Trend(NamedTuple):
    """Values from `start` to `end` (seconds since 1970), shown in UTC: series name to moments, time
    rising. `limits` are lines across all, by name."""

    series: Mapping[str, Sequence[Moment]]
    start: float
    end: float
    caption: str = ""
    limits: Mapping[str, float] = {}
    marked_name: str = ""
    is_from_zero: bool = True


class Spread(NamedTuple):
    """A value with its interval."""

    name: str
    value: float
    low: float
    high: float


class Whiskers(NamedTuple):
    """Values with their intervals, one beneath the other; `reference` is a line across all."""

    spreads: Sequence[Spread]
    reference: float
    reference_name: str
    caption: str = ""


class Mark(NamedTuple):
    """A point of a scatter chart, and the interval of its height."""

    x: float
    y: float
    low: float
    high: float


class Scatter(NamedTuple):
    """Named points; a line joins those on `front`."""

    marks: Mapping[str, Mark]
    front: Sequence[str]
    x_label: str
    caption: str = ""


class Matrix(NamedTuple):
    """A confusion matrix as a heat map; a label names a row and a column."""

    labels: Sequence[str]
    values: Sequence[Sequence[float]]
    row_name: str
    column_name: str
    caption: str = ""


class Heatmap(NamedTuple):
    """Shares in [0, 1] by row and column; the legend names marked cells and the others."""

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    marked: Sequence[Sequence[bool]]
    marked_name: str
    plain_name: str
    caption: str = ""


class Axis(NamedTuple):
    """An axis of parallel coordinates: its marks are texts at shares of its length."""

    name: str
    marks: Sequence[tuple[str, float]]


class Strand(NamedTuple):
    """A line across all axes, at a share of each; `rank` is the place of its name in the legend."""

    name: str
    shares: Sequence[float]
    rank: int


class Parallel(NamedTuple):
    """Parallel coordinates; of two strands the later lies above. The legend names three ranks."""

    axes: Sequence[Axis]
    strands: Sequence[Strand]
    rank_names: tuple[str, str, str]
    caption: str = ""


class Picture(NamedTuple):
    """One small image with lines of text beneath it."""

    png: bytes
    alt: str
    lines: Sequence[str] = ()


class Thumbnails(NamedTuple):
    """Small images side by side."""

    pictures: Sequence[Picture]
    caption: str = ""


class Example(NamedTuple):
    """A row of a gallery: its heading, and a picture per further column."""

    lines: Sequence[str]
    pictures: Sequence[Picture]


class Gallery(NamedTuple):
    """Small images in rows and columns; the first column holds the headings of the rows."""

    columns: Sequence[str]
    examples: Sequence[Example]
    caption: str = ""


class Figure(NamedTuple):
    """One large picture."""

    png: bytes
    alt: str
    caption: str = ""


class Point(NamedTuple):
    """One thing to do: what there is and how much of it, why it matters, and where to look: in the
    section of that title, and in the page of that file name beside this one where there is one."""

    what: str
    number: int | float
    why: str
    advice: str
    section: str
    page: str = ""


class Agenda(NamedTuple):
    """What is worth a person's time, in the order in which to look at it."""

    points: Sequence[Point]


class Folded(NamedTuple):
    """Blocks that show once their summary is opened."""

    summary: str
    blocks: Sequence[Block]


class Beside(NamedTuple):
    """Blocks side by side where there is room."""

    blocks: Sequence[Block]


class Link(NamedTuple):
    """Leads elsewhere on this site: `/path`, `?name=value`, `#anchor`."""

    text: str
    address: str
    is_current: bool = False


class Links(NamedTuple):
    """Ways on; `name` says which."""

    name: str
    links: Sequence[Link]


class Field(NamedTuple):
    """What a form asks for. A hidden one has no label."""

    kind: Literal["hidden", "text", "number"]
    name: str
    label: str = ""
    value: str = ""


class Form(NamedTuple):
    """Something that a person may do: posts its fields to a path of this site. `button` says what
    happens, `about` to what, where other forms of the page have the same button."""

    action: str
    fields: Sequence[Field]
    button: str
    about: str = ""
    is_grave: bool = False


Block = (
    Text
    | Notice
    | Code
    | Facts
    | Table
    | Bars
    | Lines
    | Curves
    | Trend
    | Whiskers
    | Scatter
    | Matrix
    | Heatmap
    | Parallel
    | Thumbnails
    | Gallery
    | Figure
    | Agenda
    | Folded
    | Beside
    | Links
    | Form
)


class Section(NamedTuple):
    """A titled part of the page; the table of contents names it."""

    title: str
    blocks: Sequence[Block]
