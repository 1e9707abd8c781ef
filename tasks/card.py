"""Stage card: what to know of the model before using it, as a page and as Markdown."""

from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from pages.blocks import Section as PageSection
from pages.markdown import render_markdown
from pages.model_card import Card, Published, card_sections
from pages.render import render_page
from pages.verdict import verdict_notice
from tasks.artifacts.documents import load_json, save_text
from tasks.artifacts.models import load_classifier
from tasks.core.params import Section

Told = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Params(Section):
    """What no stage can measure, in the words of whoever answers for the model."""

    name: Told
    intended_use: Told
    users: Told
    out_of_scope: Told
    limits: list[Told]


def main(
    classifier: Path,
    quality: Path,
    pretrain: Path,
    finetune: Path,
    evaluate: Path,
    explain: Path,
    export: Path,
    promote: Path,
    out_page: Path,
    out_text: Path,
    params: Params,
) -> None:
    card = load_card(
        params, classifier, quality, pretrain, finetune, evaluate, explain, export, promote
    )
    save_card(card, out_page, out_text)


def load_card(params: Params, classifier: Path, *measured: Path) -> Card:
    """`measured`: what the stages that a card names left in metrics/, in its order.

    Raises ArtifactError for a file that is missing, or none of ours.
    """
    model = load_classifier(classifier)[1].model_dump()
    return Card(params.model_dump(), model, *map(load_json, measured))


def save_card(card: Card, page: Path, text: Path, published: Published | None = None) -> None:
    """One content, written twice."""
    sections: list[PageSection] = card_sections(card, published)
    words = (f"Model card: {card.about['name']}", "What to know of the model before using it.")
    notice = verdict_notice(card.promote)
    save_text(render_page(*words, sections, notice), page)
    save_text(render_markdown(*words, sections, notice), text)
