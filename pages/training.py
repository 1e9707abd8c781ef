"""What reports/training.html shows: how the model learnt, what it is worth, and the verdict."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from pages.blocks import Block, Facts, Lines, Notice, Section, Table
from pages.evaluation import evaluation_sections
from pages.exporting import exporting_blocks
from pages.verdict import verdict_blocks


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


def training_sections(training: Training) -> list[Section]:
    return [
        *evaluation_sections(training.evaluate),
        Section("The verdict", verdict_blocks(training.promote)),
        Section("What pretraining brought", _pretraining(training)),
        Section("How it learnt", _curves(training)),
        Section("The exported model", exporting_blocks(training.export)),
        *([Section("Planted faults", [_faults(training)])] if training.faults else []),
    ]


def _pretraining(training: Training) -> list[Block]:
    pretrain, adoption = training.pretrain, training.pretrain["adoption"]
    gain, low, high = (f"{100 * adoption[key]:+.1f}" for key in ("gain", "low", "high"))
    notices = []
    if pretrain["collapsed"]:
        notices.append(
            Notice(
                "bad",
                "The encoder has collapsed: all images look alike to it, or to its projector. Try "
                f"another pretrain.method than {pretrain['method']}, or a lower "
                "pretrain.optimiser.learning_rate.",
            )
        )
    verdict = "is adopted" if adoption["adopted"] else "is not adopted"
    begun = {"pretrained": "with the encoder", "scratch": "from scratch"}
    notices.append(
        Notice(
            "good" if adoption["adopted"] else "warning",
            f"The encoder {verdict}: a linear probe on it gains {gain} points of balanced accuracy "
            f"on val over the best of some nets that have learnt nothing (95 % interval {low} to "
            f"{high}). Fine-tuning began {begun[training.finetune['initialisation']]}.",
        )
    )
    facts = Facts(
        {
            "method": pretrain["method"],
            "parameters": pretrain["num_parameters"],
            "floating-point operations per image": pretrain["num_flops"],
            "images learnt from without labels": pretrain["num_images"],
            "probe on the encoder": adoption["score"],
            "probe on the best fresh net": adoption["fresh_score"],
            "kNN accuracy": pretrain["knn_accuracy"],
            "feature spread": pretrain["feature_spread"],
            "spread of projections": pretrain["projection_spread"],
            "effective rank": pretrain["effective_rank"],
        }
    )
    return [*notices, facts]


def _curves(training: Training) -> list[Block]:
    pretrained, learnt = (
        epochs[epochs["epoch"] > 0]
        for epochs in (training.pretrain_epochs, training.finetune_epochs)
    )
    return [
        Lines(
            {"loss": pretrained["loss"].tolist()},
            "epoch",
            f"Pretraining: loss of {training.pretrain['method']}.",
        ),
        Lines(
            {
                "kNN accuracy on val": pretrained["knn_accuracy"].tolist(),
                "feature spread": pretrained["feature_spread"].tolist(),
                "spread of projections": pretrained["projection_spread"].tolist(),
            },
            "epoch",
            "Pretraining: what the embeddings are worth.",
        ),
        Lines(
            {"effective rank": pretrained["effective_rank"].tolist()},
            "epoch",
            "Pretraining: in how many directions embeddings differ. It tells collapse, not worth.",
        ),
        Lines(
            {"rate": pretrained["learning_rate"].tolist()},
            "epoch",
            "Pretraining: learning rate of the last step.",
        ),
        Lines(
            {
                "train": learnt["train_loss"].tolist(),
                "val": learnt["val_loss"].tolist(),
                "val, calibrated": learnt["val_calibrated_loss"].tolist(),
            },
            "epoch",
            "Fine-tuning: loss. The epoch of the least calibrated loss is kept.",
        ),
        Lines(
            {
                "accuracy on train": learnt["train_accuracy"].tolist(),
                "balanced accuracy on val": learnt["val_balanced_accuracy"].tolist(),
                "macro F1 on val": learnt["val_macro_f1"].tolist(),
            },
            "epoch",
            "Fine-tuning: what is right, on train of augmented images. The weights of epoch "
            f"{training.finetune['best_epoch']} are kept (0: the linear probe).",
        ),
        Lines(
            {"rate": learnt["learning_rate"].tolist()},
            "epoch",
            "Fine-tuning: learning rate of the last step.",
        ),
    ]


def _faults(training: Training) -> Table:
    rows = [
        [name.replace("_", " "), one["planted"], one["found"], one["recall"], one["precision"]]
        for name, one in training.faults.items()
    ]
    columns = ["fault", "planted", "found", "recall", "precision"]
    return Table(columns, rows, "Faults planted in the default source, and what was found of them.")
