"""The page says which methods to trust and which failed, and escapes what people named."""

from typing import Any

import pytest

from pages.blocks import Bars, Block, Example, Gallery, Picture, Section, Table, Text
from pages.explain import Explained, Group, explain_notice, explain_sections
from pages.render import render_page
from tests.pages.browser import dump
from tests.pages.qualities import png

EVIL = "<script>alert(1)</script>"


def beside(passed: bool) -> dict[str, Any]:
    numbers = {"area": 0.3, "random_area": 0.5, "difference": -0.2, "low": -0.3, "high": -0.1}
    return {**numbers, "passed": passed, "curve": [0.9, 0.4, 0.1]}


def judged(passed: bool = True) -> dict[str, Any]:
    ruin = {"correlations": [0.8, 0.1], "low": 0.0, "high": 0.2, "passed": True}
    return {
        "deletion": beside(passed),
        "insertion": beside(True),
        "randomisation": ruin,
        "passed": passed,
    }


def rules(text: str) -> dict[str, Any]:
    entries = [
        (f"{text} > 1", 30, 0.9, 1.0),
        (f"{text} is b", 0, None, None),
        ("otherwise", 9, 0.4, 0.7),
    ]
    keys = ("rule", "num_rows", "fidelity", "accuracy")
    rows = [{**dict(zip(keys, one, strict=True)), "says": text} for one in entries]
    return {"fidelity": 0.7, "rules": rows}


def a_document(text: str = "cat", **passed: bool) -> dict[str, Any]:
    forest = {"fidelity": 0.6, "baseline": 0.1, "importance": {text: 0.2, "contrast": 0.05}}
    methods = {"occlusion": judged(), "lime": judged()} | {
        name: judged(one) for name, one in passed.items()
    }
    return {
        "num_rows": 300,
        "num_mistakes": 1,
        "num_images": 64,
        "methods": {"grad_cam": {"unavailable": "its last features are of one place"}, **methods},
        "random": {"deletion": [0.9, 0.5, 0.1], "insertion": [0.1, 0.5, 0.9]},
        "imitation": {
            "num_rows": 300,
            "features": [text, "contrast"],
            "right": {**forest, "direction": {text: -0.5, "contrast": 0.0}},
            "said": {**forest, "direction": None},
            "most_said_fraction": 0.1,
            "tree": rules(text),
            "list": rules(text),
        },
    }


def explained(document: dict[str, Any], text: str = "cat") -> Explained:
    names = [name for name, one in document["methods"].items() if "passed" in one]
    pictures = [Picture(png(), text)] * (1 + len(names))
    example = Example([f"is {text}", "said b (0.98)", text], pictures)
    groups = [
        Group("mistakes", [], 0),
        Group("uncertain", [example], 4),
        Group("random", [example], 1),
    ]
    return Explained(document, names, groups, png())  # fmt: skip


def page_of(text: str = "cat") -> str:
    document = a_document(text, lime=False)
    sections = explain_sections(explained(document, text))
    return render_page("Explanations", "lead", sections, explain_notice(document))


def blocks_of(kind: type, sections: list[Section]) -> list[Any]:
    found: list[Block] = [block for section in sections for block in section.blocks]
    return [block for block in found if isinstance(block, kind)]


@pytest.mark.parametrize(
    ("passed", "tone", "said"),
    [
        ({}, "good", "All 2 methods point"),
        ({"lime": False}, "warning", "LIME. The others passed"),
        ({"lime": False, "occlusion": False}, "bad", "No method"),
    ],
)
def test_the_notice_names_what_failed(passed, tone, said):
    notice = explain_notice(a_document(**passed))
    assert notice.tone == tone and said in notice.text
    assert "Grad-CAM" not in notice.text


def test_a_failed_method_is_shown_as_failed_wherever_it_stands():
    sections = explain_sections(explained(a_document(lime=False)))
    uncertain, random = blocks_of(Gallery, sections)
    expected = ["given and said", "image", "occlusion", "LIME ✕ failed"]
    assert uncertain.columns == random.columns == expected
    assert uncertain.caption.endswith("test rows: 1 of 4, as no more fit.")
    assert random.caption.endswith("test rows: 1.")
    table = blocks_of(Table, sections)[0]
    assert table.rows == [
        ["occlusion", "passes", "passes", "passes", "passes"],
        ["LIME", "✕ fails", "passes", "passes", "✕ fails"],
    ]


def test_what_is_not_there_is_said():
    document = a_document() | {"imitation": {}}
    texts = [block.text for block in blocks_of(Text, explain_sections(explained(document)))]
    assert "No test row is mistaken." in texts
    assert "Grad-CAM is not shown: its last features are of one place." in texts
    assert any("too few test rows" in text for text in texts)


def test_surrogates_say_what_they_are_worth():
    right, said = blocks_of(Bars, explain_sections(explained(a_document())))
    assert list(right.series["mean |SHAP|"]) == ["cat ↓", "contrast"]
    assert "explains 60 %" in right.caption
    assert "the same of 60 %" in said.caption and "would of 10 %" in said.caption
    document = a_document()
    document["imitation"]["right"]["fidelity"] = -0.1
    assert len(blocks_of(Bars, explain_sections(explained(document)))) == 1
    document["imitation"] |= {"right": None, "said": None}
    assert blocks_of(Bars, explain_sections(explained(document))) == []


def test_rules_say_where_they_and_the_model_fail():
    sections = explain_sections(explained(a_document()))
    texts = [block.text for block in sections[-1].blocks if isinstance(block, Text)]
    assert texts[1] == texts[2]
    assert texts[1].startswith("It fails most where otherwise: there the model says cat of 40 %")
    assert "wrong most where otherwise: right of 70 %" in texts[1]


def test_names_are_escaped_and_the_page_is_the_same_twice():
    page = page_of(EVIL)
    assert EVIL not in page and page.count("&lt;script&gt;") > 10
    assert page == page_of(EVIL)


@pytest.mark.needs("chromium")
def test_a_page_of_hostile_names_runs_nothing(tmp_path):
    mark = "document.documentElement.dataset.ran=1"
    page = tmp_path / "explain.html"
    page.write_text(page_of(f"</title><script>{mark}</script><img src=x onerror={mark}>\"'"))
    document, log = dump(page, tmp_path, "--dump-dom")
    assert "data-ran" not in document.split("<head>")[0]
    assert "<script" not in document and "Content Security Policy" not in log
