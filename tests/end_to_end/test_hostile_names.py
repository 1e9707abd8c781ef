"""Names that would like to be markup, addresses or formulas go through every stage to every page.

Slow: all stages run, and a browser opens what they leave.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.checkout import Checkout, succeeded
from tests.end_to_end.conftest import Copy
from tests.end_to_end.pictures import SHAPES, draw, encode
from tests.pages.browser import dump, elsewhere_opened

pytestmark = pytest.mark.slow

PER_CLASS = 30
PAGES = {"validate": "arrivals", "audit": "review", "quality": "quality", "report": "training"}
MARK = "document.documentElement.dataset.ran=1"
LONG = "long" * 900


class Hostile(NamedTuple):
    """A checkout in which all stages ran, and what its pages asked of an address they name."""

    checkout: Checkout
    asked: list[str]


@pytest.fixture(scope="module")
def hostile(copy_at: Copy, fresh: Checkout) -> Iterator[Hostile]:
    with elsewhere_opened() as (address, asked):
        checkout = copy_at(fresh)
        save_hostile(checkout.around / "pictures", address)
        lines = ["image_id,decision,name,time", f"<img src={address}/d>,drop,<script>{MARK},=1+1"]
        (checkout.root / "decisions/labels.csv").write_text("\n".join(lines) + "\n")
        source = {"type": "manifest", "file": str(checkout.around / "pictures/list.csv")}
        checkout.set_params(
            {
                "ingest.sources": {f"<img src=x onerror={MARK}>": source},
                "clean.channels": 3,
                "report.title": f"<script>{MARK}<",
            }
        )
        checkout.dvc("repro")
        yield Hostile(checkout, asked)


def hostile_labels(address: str) -> list[str]:
    return [
        f"</title><script>{MARK}</script><img src='{address}/label' onerror='{MARK}'>",
        f'=HYPERLINK("{address}/formula","javascript:{MARK}") \u202etac\u202c',
        f"javascript:{MARK}//{LONG}",
    ]


def save_hostile(folder: Path, address: str) -> None:
    """Pictures and their manifest: names, labels and groups are hostile, some labels wrong, some
    files broken, one a copy."""
    host = address.removeprefix("http://")
    names = [
        f"<script>{MARK}<",
        f"<img src='{host}' onerror={MARK}>",
        "=cmd|' C calc'!A0,\"",
        "\u202egnp.tac",
        "x" * 240,
        "@SUM(1+1)*{}",
    ]
    labels = hostile_labels(address)
    rows = []
    for number in range(PER_CLASS * len(SHAPES)):
        shape = number % len(SHAPES)
        path = f"{names[number % len(names)]}{number}.png"
        data = encode(draw(SHAPES[shape], number // 3 if number != 9 else 0), "PNG")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data[:60] if number % 30 == 4 else data)
        label = labels[(shape + (number % 11 == 1)) % len(labels)]
        rows.append((path, label, f"<b>{number}</b>"))
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("page", PAGES.values())
def test_nothing_runs_and_nothing_leaves(hostile: Hostile, tmp_path: Path, page: str) -> None:
    document, log = dump(hostile.checkout.root / f"reports/{page}.html", tmp_path, "--dump-dom")
    assert "data-ran" not in document.split("<head>")[0]
    assert "<script" not in document and "<img src='" not in document
    assert "Content Security Policy" not in log
    assert hostile.asked == []


def test_pages_are_small_and_name_what_hides(hostile: Hostile) -> None:
    for page in PAGES.values():
        data = (hostile.checkout.root / f"reports/{page}.html").read_bytes()
        assert len(data) <= 4_000_000
        assert "\u202e" not in data.decode("utf-8")


@pytest.mark.parametrize(("stage", "page"), PAGES.items())
def test_the_same_bytes_twice(hostile: Hostile, tmp_path: Path, stage: str, page: str) -> None:
    again = tmp_path / "again.html"
    succeeded(hostile.checkout.stage(stage, out_page=str(again)))
    assert again.read_bytes() == (hostile.checkout.root / f"reports/{page}.html").read_bytes()


def test_no_cell_of_a_table_for_people_is_a_formula(hostile: Hostile) -> None:
    tables = [
        *hostile.checkout.root.glob("metrics/*.csv"),
        *hostile.checkout.root.glob("data/*.csv"),
    ]
    assert {"confusion.csv", "review_queue.csv"} <= {table.name for table in tables}
    texts = []
    for table in tables:
        with table.open(newline="", encoding="utf-8") as file:
            texts += [cell for row in csv.reader(file) for cell in row]
    assert any("HYPERLINK" in text for text in texts)
    numbers = [text for text in texts if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
    assert all(is_number(text) for text in numbers)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
