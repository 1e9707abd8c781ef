"""What reports/training.html shows: how the model learnt, what it is worth, and the verdict."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from pages.blocks import Block, Facts, Lines, Matrix, Notice, Section, Table, Text
from pages.rules import rules_blocks

_TONES = {"first": "good", "pass": "good", "is_champion": "good", "refused": "bad"}
_WORDS = {
    "first": "The candidate may become the first champion.",
    "pass": "The candidate may take the champion's place.",
    "is_champion": "The candidate is the champion already.",
    "refused": "The candidate is refused.",
}


class Training(NamedTuple):
    """Everything on the page."""

    pretrain: Mapping[str, Any]
    pretrain_epochs: pd.DataFrame
    finetune: Mapping[str, Any]
    finetune_epochs: pd.DataFrame
    evaluate: Mapping[str, Any]
    export: Mapping[str, Any]
    promote: Mapping[str, Any]
    faults: Mapping[str, Mapping[str, Any]]


def verdict_notice(promote: Mapping[str, Any]) -> Notice:
    verdict = promote["verdict"]
    return Notice(_TONES[verdict], " ".join([_WORDS[verdict], *promote["reasons"]]))


def training_sections(training: Training) -> list[Section]:
    return [
        Section("What the model is worth", _scores(training)),
        Section("Confusion", [_confusion(training)]),
        Section("The verdict", _verdict(training)),
        Section("The encoder", [_encoder(training)]),
        Section("How it learnt", _curves(training)),
        Section("The exported model", _export(training)),
        *([Section("Planted faults", [_faults(training)])] if training.faults else []),
    ]


def _scores(training: Training) -> list[Block]:
    metrics = training.evaluate["metrics"]
    rows = [
        [name.replace("_", " "), one["value"], one["low"], one["high"]]
        for name, one in metrics.items()
    ]
    classes = [
        [name, one["precision"], one["recall"], one["f1"], one["num_rows"]]
        for name, one in training.evaluate["classes"].items()
    ]
    return [
        Facts(
            {
                "test accuracy": metrics["accuracy"]["value"],
                "balanced accuracy": metrics["balanced_accuracy"]["value"],
                "macro F1": metrics["macro_f1"]["value"],
                "test rows": training.evaluate["num_rows"],
            }
        ),
        Table(["metric", "value", "low", "high"], rows, "On test rows, with 95 % intervals."),
        Table(["class", "precision", "recall", "F1", "rows"], classes, "By class, on test rows."),
    ]


def _confusion(training: Training) -> Matrix:
    confusion = training.evaluate["confusion"]
    return Matrix(
        confusion["classes"], confusion["counts"], "actual", "predicted", "Test rows by class."
    )


def _verdict(training: Training) -> list[Block]:
    rules = [
        [
            rule["kind"],
            rule["metric"].replace("_", " "),
            rule["candidate"],
            rule["champion"],
            rule["threshold"],
            "holds" if rule["passed"] else "broken",
        ]
        for rule in training.promote["rules"]
    ]
    columns = ["kind", "metric", "candidate", "champion", "threshold", "result"]
    return [
        Text(_WORDS[training.promote["verdict"]]),
        Table(columns, rules, "Every rule that was tried."),
    ]


def _encoder(training: Training) -> Facts:
    return Facts(
        {
            "parameters": training.pretrain["num_parameters"],
            "floating-point operations per image": training.pretrain["num_flops"],
            "images learnt from without labels": training.pretrain["num_images"],
        }
    )


def _curves(training: Training) -> list[Block]:
    pretrained, tuned = training.pretrain_epochs, training.finetune_epochs
    learnt = tuned[tuned["epoch"] > 0]
    return [
        Lines({"loss": pretrained["loss"].tolist()}, "epoch", "Pretraining: NT-Xent loss."),
        Lines(
            {
                "kNN accuracy on val": pretrained["knn_accuracy"].tolist(),
                "feature spread": pretrained["feature_spread"].tolist(),
            },
            "epoch",
            "Pretraining: what the embeddings are worth.",
        ),
        Lines(
            {"train": learnt["train_loss"].tolist(), "val": learnt["val_loss"].tolist()},
            "epoch",
            "Fine-tuning: loss.",
        ),
        Lines(
            {
                "balanced accuracy": learnt["val_balanced_accuracy"].tolist(),
                "macro F1": learnt["val_macro_f1"].tolist(),
            },
            "epoch",
            f"Fine-tuning: on val. The weights of epoch {training.finetune['best_epoch']} are kept"
            " (0: the linear probe).",
        ),
        Lines(
            {"rate": learnt["learning_rate"].tolist()},
            "epoch",
            "Fine-tuning: learning rate of the last step.",
        ),
    ]


def _export(training: Training) -> list[Block]:
    export = training.export
    compared = Facts(
        {
            "agreement with the net": export["agreement"],
            "largest difference of a logit, below": export["max_difference_below"],
            "bytes": export["num_bytes"],
            "test rows compared": export["num_rows"],
        }
    )
    if not export["suites"]:
        return [compared]
    asked = Text("What export.expectations asks of predictions, tried on test rows:")
    return [compared, asked, *rules_blocks(export["suites"])]


def _faults(training: Training) -> Table:
    rows = [
        [name.replace("_", " "), one["planted"], one["found"], one["recall"], one["precision"]]
        for name, one in training.faults.items()
    ]
    columns = ["fault", "planted", "found", "recall", "precision"]
    return Table(columns, rows, "Faults planted in the default source, and what was found of them.")
