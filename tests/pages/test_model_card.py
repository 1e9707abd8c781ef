"""The card says it all twice, as a page and as Markdown, from what was measured."""

import re

from markdown_it import MarkdownIt

from pages.markdown import render_markdown
from pages.model_card import Card, Published, card_sections
from pages.render import render_page
from tests.pages.evaluations import an_evaluation
from tests.pages.exports import EXPORT
from tests.pages.test_explain import EVIL, a_document

PUBLISHED = Published(3, "c0ffee", {"classifier.onnx": "aa11"}, {"finetune": 0.25})


def a_card(name: str = "cat", **evaluated) -> Card:
    return Card(
        about={
            "name": name,
            "intended_use": f"To tell {name} from dog.",
            "users": "People.",
            "out_of_scope": "Birds.",
            "limits": ["It has seen few."],
        },
        model={
            "architecture": {"family": "convolutional", "width": 8},
            "canonical": {"size": 8, "channels": 1},
            "classes": [name, "dog"],
            "temperature": 1.25,
            "abstention": 0.5,
            "fingerprint": {
                "params": {"optimiser": {"name": "adamw", "betas": [0.9, 0.999]}},
                "dependencies": {"data/labels.parquet": "bb22"},
                "versions": {"torch": "2.13.0"},
                "run": {"seed": 7},
            },
        },
        quality={
            "verdict": "pass",
            "class_counts": {split: {name: 4, "dog": 5} for split in ("train", "val", "test")},
            "num_arrived": 30,
            "num_rejected": 2,
            "num_dropped": 1,
            "num_to_review": 1234,
            "expected_error_fraction": 0.05,
        },
        pretrain={
            "method": "simclr",
            "num_images": 9,
            "num_parameters": 1000,
            "adoption": {"adopted": False},
        },
        finetune={"initialisation": "scratch", "best_epoch": 2, "num_epochs": 3},
        evaluate=an_evaluation(name, **evaluated),
        explain=a_document(name),
        export=EXPORT,
        promote={"verdict": "refused", "reasons": ["too weak"], "rules": []},
    )


def written(card: Card, published: Published | None = None) -> tuple[str, str]:
    sections = card_sections(card, published)
    return render_page("T", "L", sections), render_markdown("T", "L", sections)


def test_page_and_text_have_the_same_sections():
    page, text = written(a_card(), PUBLISHED)
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert titles == re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {"Intended use", "Data", "Limits", "Lineage", "Published"} <= set(titles)


def test_what_follows_from_the_numbers_is_said_beside_what_people_said():
    for document in written(a_card()):
        assert "It has seen few." in document
        assert "1,234 labels look wrong" in document
        assert "not adopted. Fine-tuning began from scratch and kept epoch 2 of 3." in document


def test_recipe_and_lineage_are_whole():
    for document in written(a_card(), PUBLISHED):
        for told in ("finetune.optimiser.name", "adamw", "bb22", "2.13.0", "run.seed", "c0ffee"):
            assert told in document, told
        assert "0.25" in document and "aa11" in document
    assert all("c0ffee" not in document for document in written(a_card()))


def test_hostile_names_stay_names():
    page, text = written(a_card(EVIL), PUBLISHED)
    assert "<script" not in page and EVIL not in text
    assert "<script" not in MarkdownIt("commonmark").enable("table").render(text)


def test_the_same_card_is_the_same_bytes():
    assert written(a_card(), PUBLISHED) == written(a_card(), PUBLISHED)
