"""In Chromium a hostile page runs nothing, breaks no policy and wears its style."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from pages.blocks import (
    Axis,
    Bars,
    Curves,
    Example,
    Facts,
    Field,
    Figure,
    Form,
    Gallery,
    Heatmap,
    Lines,
    Mark,
    Matrix,
    Moment,
    Notice,
    Parallel,
    Picture,
    Scatter,
    Section,
    Spread,
    Strand,
    Table,
    Text,
    Thumbnails,
    Trend,
    Whiskers,
)
from pages.evaluation import evaluation_sections
from pages.render import render_page
from tests.pages.browser import dump, elsewhere_opened
from tests.pages.evaluations import an_evaluation
from tests.pages.qualities import a_quality, page_of, some_pictures

pytestmark = pytest.mark.needs("chromium")

# Each of these would, if it ran, leave a mark in the dumped document.
MARK = "document.documentElement.dataset.ran=1"
HOSTILE = f"</title></style><script>{MARK}</script><img src=x onerror={MARK}><svg onload={MARK}>\"'"


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    with elsewhere_opened() as opened:
        yield opened


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 0, 200)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def hostile_page(tmp_path):
    blocks = [
        Text(HOSTILE),
        Facts({HOSTILE: HOSTILE}),
        Table([HOSTILE], [[HOSTILE]], HOSTILE),
        Bars({HOSTILE: {HOSTILE: 1.0}}, HOSTILE),
        Lines({HOSTILE: [1.0, 2.0]}, HOSTILE, HOSTILE),
        Scatter({HOSTILE: Mark(1.0, 0.5, 0.4, 0.6)}, [HOSTILE], HOSTILE, HOSTILE),
        Curves({HOSTILE: [(1.0, 2.0), (2.0, 3.0)]}, HOSTILE, HOSTILE),
        Whiskers([Spread(HOSTILE, 0.5, 0.4, 0.6)], 0.5, HOSTILE, HOSTILE),
        Matrix([HOSTILE, "b"], [[1, 2], [3, 4]], HOSTILE, HOSTILE, HOSTILE),
        Heatmap([HOSTILE], [HOSTILE], [[0.5]], [[True]], HOSTILE, HOSTILE, HOSTILE),
        Parallel(
            [Axis(HOSTILE, [(HOSTILE, 0.5)])],
            [Strand(HOSTILE, [0.5], 0)],
            (HOSTILE, HOSTILE, HOSTILE),
            HOSTILE,
        ),
        Thumbnails([Picture(png(), HOSTILE, [HOSTILE])], HOSTILE),
        Gallery([HOSTILE, HOSTILE], [Example([HOSTILE], [Picture(png(), HOSTILE)])], HOSTILE),
        Figure(png(), HOSTILE, HOSTILE),
        Trend(
            {HOSTILE: [Moment(1.0, 2.0, 1.0, 3.0, True)]}, 0, 2, HOSTILE, {HOSTILE: 1.0}, HOSTILE
        ),
        Form("/watch", [Field("text", HOSTILE, HOSTILE, HOSTILE)], HOSTILE, HOSTILE),
    ]
    html = render_page(HOSTILE, HOSTILE, [Section(HOSTILE, blocks)], Notice("bad", HOSTILE))
    page = tmp_path / "page.html"
    page.write_text(html, encoding="utf-8")
    return page


def test_nothing_runs_and_no_policy_is_broken(hostile_page, tmp_path):
    document, log = dump(hostile_page, tmp_path, "--dump-dom")

    assert "<h1>" in document
    assert "data-ran" not in document.split("<head>")[0]
    assert "<script" not in document
    assert "Content Security Policy" not in log


def test_a_quality_page_of_hostile_names_runs_nothing(tmp_path):
    page = tmp_path / "quality.html"
    html = page_of(a_quality(HOSTILE), some_pictures(HOSTILE))
    page.write_text(html, encoding="utf-8")
    document, log = dump(page, tmp_path, "--dump-dom")

    assert document.count("&lt;script&gt;") > 30
    assert "data-ran" not in document.split("<head>")[0]
    assert "<script" not in document
    assert "Content Security Policy" not in log


def test_an_evaluation_of_hostile_names_runs_nothing(tmp_path):
    page = tmp_path / "evaluation.html"
    html = render_page(HOSTILE, HOSTILE, evaluation_sections(an_evaluation(HOSTILE)))
    page.write_text(html, encoding="utf-8")
    document, log = dump(page, tmp_path, "--dump-dom")

    assert document.count("&lt;script&gt;") > 10
    assert "data-ran" not in document.split("<head>")[0]
    assert "<script" not in document
    assert "Content Security Policy" not in log


def test_no_request_leaves_a_page_whatever_it_names(tmp_path, elsewhere):
    address, asked = elsewhere
    lures = (
        f"<img src='{address}/image'><link rel='stylesheet' href='{address}/style'>"
        f"<iframe src='{address}/frame'></iframe><script src='{address}/script'></script>"
        f"<style>body {{ background: url({address}/ground) }}</style>"
    )
    control = tmp_path / "control.html"
    control.write_text(f"<html><body>{lures}</body></html>", encoding="utf-8")
    dump(control, tmp_path, "--dump-dom")
    assert {"/image", "/style", "/frame", "/script", "/ground"} <= set(asked)
    asked.clear()
    page = tmp_path / "quality.html"
    html = page_of(a_quality(lures), some_pictures(lures))
    page.write_text(html, encoding="utf-8")
    dump(page, tmp_path, "--dump-dom")
    # Nor if a slip in the escaping let markup through: the policy stops it.
    page.write_text(html.replace("</body>", f"{lures}</body>"), encoding="utf-8")
    dump(page, tmp_path, "--dump-dom")
    assert asked == []


def test_the_policy_stops_what_escaping_would_miss(hostile_page, tmp_path):
    html = hostile_page.read_text(encoding="utf-8")
    hostile_page.write_text(
        html.replace("</body>", f"<script>{MARK}</script></body>"), encoding="utf-8"
    )
    document, log = dump(hostile_page, tmp_path, "--dump-dom")

    assert f"<script>{MARK}" in document
    assert "data-ran" not in document.split("<head>")[0]
    assert "Content Security Policy" in log


def test_style_and_pictures_are_shown(hostile_page, tmp_path):
    screenshot = tmp_path / "page.png"
    dump(hostile_page, tmp_path, f"--screenshot={screenshot}", "--window-size=800,6000")

    with Image.open(screenshot) as opened:
        colours = {colour for _, colour in opened.convert("RGB").getcolors(maxcolors=1 << 24) or ()}
    assert (0xFA, 0xF9, 0xF6) in colours, "the page's ground: its style was not applied"
    assert (200, 0, 200) in colours, "the picture: its data: URI was not shown"
