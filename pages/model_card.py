"""What reports/model_card.html and .md say of a model (Mitchell et al., Model cards for model
reporting, 2019): all of it follows from params and from what stages measured."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pages.blocks import Block, Facts, Notice, Section, Table, Text
from pages.evaluation import evaluation_sections
from pages.explain import check_blocks
from pages.exporting import exporting_blocks
from pages.verdict import verdict_blocks

_TONES = {"pass": "good", "fail": "bad"}


class Card(NamedTuple):
    """`about`: the section of params.yaml. `model`: its description. The others are what the
    stages of these names leave in metrics/."""

    about: Mapping[str, Any]
    model: Mapping[str, Any]
    quality: Mapping[str, Any]
    pretrain: Mapping[str, Any]
    finetune: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    explain: Mapping[str, Any]
    export: Mapping[str, Any]
    promote: Mapping[str, Any]


class Published(NamedTuple):
    """What was observed when it was published. `energy`: of each stage that was measured, in
    watt-hours. `hashes`: SHA-256 of each file, by name."""

    version: int
    commit: str
    hashes: Mapping[str, str]
    energy: Mapping[str, float]


def card_sections(card: Card, published: Published | None = None) -> list[Section]:
    return [
        Section("Intended use", _use(card)),
        Section("The model", _model(card)),
        Section("Data", _data(card)),
        Section("Training", _training(card)),
        *evaluation_sections(card.evaluate),
        Section("Explanations", check_blocks(card.explain)),
        Section("The exported model", exporting_blocks(card.export)),
        Section("The verdict", verdict_blocks(card.promote)),
        Section("Limits", list(_limits(card))),
        Section("Lineage", _lineage(card)),
        *([Section("Published", _published(published))] if published is not None else []),
    ]


def _use(card: Card) -> list[Block]:
    about = card.about
    return [
        Text(about["intended_use"]),
        Text(f"For: {about['users']}"),
        Text(f"Not for: {about['out_of_scope']}"),
    ]


def _model(card: Card) -> list[Block]:
    model, canonical = card.model, card.model["canonical"]
    side, channels = canonical["size"], canonical["channels"]
    return [
        Facts(
            {
                "classes": len(model["classes"]),
                "pixels": f"{side} × {side} × {channels}",
                "parameters": card.pretrain["num_parameters"],
                "operations per image": card.export["num_flops"],
                "bytes": card.export["num_bytes"],
                "temperature": model["temperature"],
                "had better not answer below": model["abstention"],
            }
        ),
        Table(["class"], [[name] for name in model["classes"]], "In the order of its outputs."),
        Table(["key", "value"], list(_flat(model["architecture"])), "Its architecture."),
    ]


def _data(card: Card) -> list[Block]:
    quality = card.quality
    counts, names = quality["class_counts"], ("train", "val", "test")
    rows = [[label, *(counts[name].get(label, 0) for name in names)] for label in counts["train"]]
    return [
        Notice(_TONES[quality["verdict"]], f"The verdict on its quality: {quality['verdict']}."),
        Facts(
            {
                "images that came": quality["num_arrived"],
                "rejected": quality["num_rejected"],
                "dropped": quality["num_dropped"],
                "labels to review": quality["num_to_review"],
                "expected share of wrong labels": quality["expected_error_fraction"],
            }
        ),
        Table(["class", *names], rows, "Rows by class and split."),
    ]


def _training(card: Card) -> list[Block]:
    adopted = card.pretrain["adoption"]["adopted"]
    begun = {"pretrained": "from the pretrained encoder", "scratch": "from scratch"}
    return [
        Text(
            f"An encoder learnt by {card.pretrain['method']} from {card.pretrain['num_images']:,} "
            f"images without labels, and was {'' if adopted else 'not '}adopted. Fine-tuning began "
            f"{begun[card.finetune['initialisation']]} and kept epoch "
            f"{card.finetune['best_epoch']} of {card.finetune['num_epochs']}."
        ),
        Table(
            ["param", "value"],
            list(_flat(card.model["fingerprint"]["params"], "finetune")),
            "Values of params.yaml that it was fine-tuned with.",
        ),
    ]


def _limits(card: Card) -> Iterator[Block]:
    """What people said, then what follows from the numbers."""
    yield from (Text(text) for text in card.about["limits"])
    for one in card.evaluate["weak_slices"]:
        yield Text(
            f"It is weak where {one['slice']}: an error of {one['error']['value']:.1%} on "
            f"{one['num_rows']:,} test rows, against {one['others_error']:.1%} elsewhere."
        )
    accuracy = card.evaluate["metrics"]["accuracy"]
    yield Text(
        f"It was tried on {card.evaluate['num_rows']:,} test rows, so its accuracy is known to lie "
        f"between {accuracy['low']:.1%} and {accuracy['high']:.1%} (95 %)."
    )
    if waiting := card.quality["num_to_review"]:
        yield Text(f"{waiting:,} labels look wrong, and nobody has decided about them yet.")


def _lineage(card: Card) -> list[Block]:
    made = card.model["fingerprint"]
    return [
        Table(
            ["made of", "SHA-256"],
            list(made["dependencies"].items()),
            "What fine-tuning read: code, data and the encoder.",
        ),
        Table(
            ["with", "version or value"],
            [*made["versions"].items(), *_flat(made["run"], "run")],
            "Libraries, and what all stages share.",
        ),
    ]


def _published(published: Published) -> list[Block]:
    energy = [[stage, used] for stage, used in published.energy.items()]
    return [
        Facts({"version": published.version, "commit": published.commit}),
        Table(["file", "SHA-256"], list(published.hashes.items()), "What was published."),
        Table(["stage", "energy, Wh"], energy, "Energy, as estimated in the last run here."),
    ]


def _flat(values: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by their dotted names; lists as they are written."""
    for key, value in values.items():
        dotted = f"{name}.{key}" if name else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, dotted)
        else:
            yield dotted, str(value) if isinstance(value, list) else value
