"""Stage audit: which labels look wrong, what people said of them, how far a row is trusted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from pages.blocks import Picture
from pages.render import render_page
from pages.review import Question, Review, review_notice, review_sections
from tasks.artifacts.documents import save_json, save_text
from tasks.artifacts.embeddings import save_embeddings
from tasks.artifacts.images import Images
from tasks.artifacts.models import load_encoder
from tasks.artifacts.tables import load_csv, load_rows, load_table, save_csv, save_table
from tasks.core.decisions import parse_decisions
from tasks.core.duplicates import measure_difference
from tasks.core.inference import Place, chosen_device
from tasks.core.label_audit import AuditParams, Findings, Subject, audit_labels
from tasks.core.looks import look_at
from tasks.core.neighbours import Space
from tasks.core.thumbnails import png_thumbnail
from tasks.core.twins import find_twins

_NUM_NEIGHBOURS = 5
_MOST_PIXELS = 96
# In base64 a third more; what is left of 4 MB is for the words.
_MOST_BYTES_OF_QUESTIONS, _MOST_BYTES_OF_OUTLIERS = 2_000_000, 700_000


class Params(AuditParams):
    """`num_shown` rows of each kind are on the page, or as many as 4 MB hold. Two images on two
    sides of a split are duplicates that the hash missed if the cosine of their embeddings is
    `duplicate_similarity` or more and their pixels differ by at most `duplicate_difference` on
    average, of a range of 1."""

    num_shown: PositiveInt
    duplicate_similarity: Annotated[float, Field(gt=0, le=1)]
    duplicate_difference: Annotated[float, Field(ge=0, le=1)]


def main(
    images: Path,
    manifest: Path,
    train: Path,
    val: Path,
    test: Path,
    encoder: Path,
    decisions: Path,
    out_embeddings: Path,
    out_labels: Path,
    out_queue: Path,
    out_duplicates: Path,
    out_page: Path,
    out_metrics: Path,
    params: Params,
    seed: int,
    num_threads: int,
    precision: str,
    device: str,
) -> None:
    table = load_table(manifest, ["image_id", "path", "label", "group"])
    classes = sorted(table["label"].dropna().unique())
    decided = parse_decisions(load_csv(decisions), classes, str(decisions))
    net, described = load_encoder(encoder)
    place, pixels = chosen_device(device), Images(images)
    seen = look_at(net.to(place), params.looks, pixels, len(pixels), Place(place, precision))
    present = {"train": load_rows(train), "val": load_rows(val), "test": load_rows(test)}
    subject = Subject(table, seen, present, decided, classes)
    duplicates = find_missed_duplicates(pixels, subject.embeddings_ND, table, present, params)
    findings = audit_labels(subject, params, seed)
    adoption = described.adoption.model_dump() if described.adoption else None
    metrics = {**findings.metrics, "adoption": adoption}
    review = Review(
        questions=list(ask(subject, findings, pixels, params.num_shown)),
        outliers=list(show_outliers(subject, findings, pixels, params.num_shown)),
        audit=metrics,
    )
    page = render_page(
        "Label review",
        "Labels that look wrong, for people to decide; and what the audit is worth.",
        review_sections(review),
        review_notice(review),
    )
    save_embeddings(subject.embeddings_ND, out_embeddings)
    save_table(findings.labels, out_labels)
    save_table(duplicates, out_duplicates)
    save_csv(findings.queue, out_queue)
    save_text(page, out_page)
    save_json(metrics, out_metrics)


def find_missed_duplicates(
    pixels: Images,
    embeddings_ND: np.ndarray,
    table: pd.DataFrame,
    rows: dict[str, np.ndarray],
    params: Params,
) -> pd.DataFrame:
    """image_id, split, twin_id, twin_split, similarity, difference; `image_id` names the row that
    is worth less to keep held out, as in leaks."""
    pairs = find_twins(embeddings_ND, rows, params.duplicate_similarity)
    difference = measure_difference(pixels, pairs[["row", "twin_row"]].to_numpy())
    pairs = pairs.assign(difference=difference.round(6))
    pairs = pairs[difference <= params.duplicate_difference].reset_index(drop=True)
    ids = table["image_id"].astype("string").to_numpy()
    return pd.DataFrame(
        {
            "image_id": pd.array(ids[pairs["row"]], "string"),
            "split": pairs["split"].astype("string"),
            "twin_id": pd.array(ids[pairs["twin_row"]], "string"),
            "twin_split": pairs["twin_split"].astype("string"),
            **pairs[["similarity", "difference"]],
        }
    )


def ask(subject: Subject, findings: Findings, pixels: Images, num_shown: int) -> Iterator[Question]:
    """The head of the queue, each row beside the train rows that look most like it."""
    labels = findings.labels["label"]
    train = subject.present["train"]
    train = train[labels.iloc[train].notna().to_numpy()]
    space = Space(subject.embeddings_ND[train])
    numbers = {image_id: row for row, image_id in enumerate(subject.table["image_id"])}
    num_bytes = 0
    for asked in findings.queue.head(num_shown).to_dict("records"):
        row = numbers[asked["image_id"]]
        # One more, as a train row is its own nearest.
        nearest = space.find_nearest(subject.embeddings_ND[[row]], _NUM_NEIGHBOURS + 1).rows_MJ[0]
        alike = [other for other in train[nearest] if other != row][:_NUM_NEIGHBOURS]
        pictures = [
            _picture(subject, pixels, row, ["this image", f"given: {asked['label']}"]),
            *(_picture(subject, pixels, other, [str(labels.iloc[other])]) for other in alike),
        ]
        num_bytes += sum(len(picture.png) for picture in pictures)
        if num_bytes > _MOST_BYTES_OF_QUESTIONS:
            return
        shared = {field: asked[field] for field in Question._fields if field in asked}
        yield Question(**shared, probability=asked["suggested_probability"], pictures=pictures)


def show_outliers(
    subject: Subject, findings: Findings, pixels: Images, num_shown: int
) -> Iterator[Picture]:
    """Pictures of the rows that lie farthest from all others."""
    labels, paths = findings.labels["label"], subject.table["path"]
    num_bytes = 0
    for row in findings.outliers[:num_shown]:
        lines = [labels.iloc[row], paths.iloc[row], subject.table["image_id"].iloc[row]]
        picture = _picture(subject, pixels, row, lines)
        num_bytes += len(picture.png)
        if num_bytes > _MOST_BYTES_OF_OUTLIERS:
            return
        yield picture


def _picture(subject: Subject, pixels: Images, row: int, lines: list[str]) -> Picture:
    png = png_thumbnail(pixels[np.array([row])][0], _MOST_PIXELS)
    return Picture(png, str(subject.table["path"].iloc[row]), lines)
