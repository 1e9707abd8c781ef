"""What reports/review.html shows: labels for people to decide, and what the audit is worth."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pages.blocks import Block, Code, Facts, Notice, Picture, Section, Table, Text, Thumbnails
from pages.text import abridge

_SPLITS = ("train", "val", "test")


class Question(NamedTuple):
    """A row for people to decide. `pictures`: of itself, then of those most like it."""

    image_id: str
    path: str
    split: str
    label: str
    suggested_label: str
    probability: float
    pictures: Sequence[Picture]


class Review(NamedTuple):
    """Everything on the page; `audit` is what metrics/audit.json holds."""

    questions: Sequence[Question]
    outliers: Sequence[Picture]
    audit: Mapping[str, Any]


def review_notice(review: Review) -> Notice:
    count = review.audit["num_to_review"]
    if not count:
        return Notice("good", "No label that nobody has decided looks wrong.")
    return Notice("warning", f"Labels that look wrong and wait for a person's decision: {count}.")


def review_sections(review: Review) -> list[Section]:
    return [
        Section("How to answer", _instructions(review)),
        Section("Labels that look wrong", _questions(review)),
        Section("Where labels are expected to be wrong", _errors(review)),
        Section("Images that look like no class", _outliers(review)),
        Section("What it brings", _value(review)),
        Section("What people decided", _decisions(review)),
    ]


def _instructions(review: Review) -> list[Block]:
    flagged = review.audit["num_suspicious"]
    return [
        *_encoder(review),
        Text(
            "Copy the line beneath an image to the end of decisions/labels.csv, write your name "
            "and the date after the last two commas, and run the audit again. Each line takes the "
            "suggestion; write keep in place of relabel:… where the given label is right, or drop "
            "where the image belongs to no class. Without your name the line is refused. No label "
            "of val or test changes in any other way."
        ),
        Facts(
            {
                "to decide": review.audit["num_to_review"],
                **{f"flagged in {split}": flagged[split] for split in _SPLITS},
            }
        ),
    ]


def _encoder(review: Review) -> list[Block]:
    adoption = review.audit["adoption"]
    if adoption is None or adoption["adopted"]:
        return []
    return [
        Notice(
            "warning",
            "What looks alike on this page looks so to an encoder that was not found to be better "
            f"than one that has learnt nothing (a probe gains {100 * adoption['gain']:+.1f} points "
            f"on val, 95 % interval {100 * adoption['low']:+.1f} to "
            f"{100 * adoption['high']:+.1f}).",
        )
    ]


def _questions(review: Review) -> list[Block]:
    if not review.questions:
        return [Text("No label contradicts what its image looks like.")]
    blocks: list[Block] = [
        Text(
            f"The {len(review.questions)} most doubtful of {review.audit['num_to_review']}; all "
            "are in data/review_queue.csv. Beside each image stand the train images most like it, "
            "with their labels."
        )
    ]
    for number, question in enumerate(review.questions, start=1):
        path, given, suggested = map(
            abridge, (question.path, question.label, question.suggested_label)
        )
        caption = (
            f"{number}. {path}, {question.split}: given {given}, looks like {suggested} "
            f"(probability {question.probability:.2f})"
        )
        blocks += [Thumbnails(question.pictures, caption), Code(answer_line(question))]
    return blocks


def answer_line(question: Question) -> str:
    """The line of decisions/labels.csv that takes the suggestion, name and time left empty."""
    line = io.StringIO()
    answer = [question.image_id, f"relabel:{question.suggested_label}", "", ""]
    csv.writer(line).writerow(answer)
    return line.getvalue().removesuffix("\r\n")


def _errors(review: Review) -> list[Block]:
    expected = review.audit["expected_errors"]
    pairs = [
        [pair["label"], pair["shows"], pair["num_expected"], _percent(pair["label_fraction"])]
        for pair in expected["pairs"]
    ]
    overlapping = [
        Notice(
            "warning",
            f"{' and '.join(map(abridge, pair['classes']))} look like one class: of their rows "
            f"{_percent(pair['confused_fraction'])} show the other.",
        )
        for pair in review.audit["overlapping_classes"]
    ]
    return [
        Text(f"About {_percent(expected['fraction'])} of train labels are expected to be wrong."),
        *overlapping,
        Table(
            ["given label", "shows", "expected rows", "of the label"],
            pairs,
            "Pairs with the most expected errors in train, by cleanlab's confident joint.",
        ),
    ]


def _outliers(review: Review) -> list[Block]:
    counts = review.audit["num_outliers"]
    if not sum(counts.values()):
        return [Text("No image lies far from all others.")]
    found = ", ".join(f"{counts[split]} in {split}" for split in _SPLITS)
    return [
        Text(f"{found}. What belongs to no class is dropped by a line <image_id>,drop,name,date."),
        Thumbnails(
            review.outliers,
            f"The {len(review.outliers)} that lie farthest from the images most like them.",
        ),
    ]


def _value(review: Review) -> list[Block]:
    value = review.audit["value"]
    if not value:
        return [Text("There are no val rows to measure on.")]
    rows = [
        [
            _named(name),
            *(round(one[key], 4) for key in ("balanced_accuracy", "sd")),
            *([*(round(one[key], 4) for key in ("difference", "low", "high")), one["verdict"]]
              if "verdict" in one else [None] * 4),
        ]
        for name, one in value.items()
    ]  # fmt: skip
    verdict = value["weighted"]["verdict"]
    return [
        Notice(
            {"helped": "good", "hurt": "bad"}.get(verdict, "warning"),
            f"The weights {verdict} on val.",
        ),
        Text(
            "A probe on the embeddings, taught by 80 % of train (at most 10,000 rows) under each "
            "of 3 seeds, with and without the measure. It helped or hurt where the 95 % interval "
            "of the difference, over val rows and seeds, leaves out 0. Val rows only measure."
        ),
        Table(
            ["train rows", "balanced accuracy", "± sd", "difference", "low", "high", "verdict"],
            rows,
            "Balanced accuracy on val.",
        ),
    ]


def _named(name: str) -> str:
    if name.startswith("without_worst_"):
        return f"without the worst {_percent(float(name.removeprefix('without_worst_')))}"
    return {"plain": "all, alike", "weighted": "all, weighted"}[name]


def _decisions(review: Review) -> list[Block]:
    answers, verbs = review.audit["answers"], review.audit["num_decisions"]
    blocks: list[Block] = [
        Facts(
            {
                "flags upheld": answers["num_flags_upheld"],
                "flags overturned": answers["num_flags_overturned"],
                "about rows not flagged": answers["num_unflagged"],
                **{verb: verbs[verb] for verb in ("keep", "relabel", "drop")},
            }
        )
    ]
    if answers["num_unknown"]:
        first = ", ".join(map(abridge, answers["first_unknown"]))
        more = ", …" if answers["num_unknown"] > len(answers["first_unknown"]) else ""
        blocks.append(
            Notice(
                "warning",
                "Decisions that change nothing, as the data does not have (any more) the image "
                f"they name: {answers['num_unknown']} ({first}{more}).",
            )
        )
    return blocks


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"
