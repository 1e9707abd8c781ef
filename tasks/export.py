"""Stage export: the classifier as ONNX, preprocessing inside, and what cheaper variants lose.

The net itself is exported too, as a program of torch. Which file is served, and which goes to
devices, is chosen by rule from what they lose on test rows, their bytes and their operations.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import onnx
import pandas as pd
import torch
from pydantic import Field, PositiveFloat, field_validator

from expectations.asked import PredictionsRule, extend
from expectations.check import Checked, check, refuse_broken
from expectations.suites import add_asked_columns, predictions_suite
from tasks.artifacts.atomic import replacing_folder
from tasks.artifacts.documents import load_json, save_bytes, save_json
from tasks.artifacts.edge import save_bundle
from tasks.artifacts.images import Images
from tasks.artifacts.models import Description, load_classifier
from tasks.artifacts.programs import load_program, save_program
from tasks.artifacts.tables import load_rows, load_table
from tasks.core.encoder import Classifier
from tasks.core.errors import VerdictError
from tasks.core.inference import run_net, softmax
from tasks.core.onnx_graph import build_graph, run_program, serialise, trace
from tasks.core.onnx_model import DESCRIPTION_KEY, make_session, run_session
from tasks.core.params import Run, Section
from tasks.core.parity import Choice, Parity, Rule, Variant, choose, compare_logits, find_eligible
from tasks.core.policy import load_policy
from tasks.core.predictions import tabulate_predictions
from tasks.distillation import Examples
from tasks.variants import AnyVariant, Made, Original, make_variants


class Choices(Section):
    """What goes where. `served` is what `publish` takes; its embeddings should be those of the
    net, which `models/reference.parquet` holds, and those of a pruned one are not quite."""

    served: Rule
    edge: Rule


class Params(Section):
    """`max_difference` is how far a logit may lie from the net's, on any test row, in float32.
    `expectations`: what users expect of predictions beyond the suite; it goes with the model to
    whoever predicts with it, and is first tried on test rows. `variants` are made beside float32.
    `max_accuracy_loss`: what a variant may lose to be chosen, by its 95 % bound on test rows."""

    opset: Annotated[int, Field(ge=18, le=23)]
    max_difference: PositiveFloat
    expectations: list[PredictionsRule]
    variants: list[AnyVariant]
    max_accuracy_loss: Annotated[float, Field(ge=0, le=1)]
    choice: Choices

    @field_validator("variants")
    @classmethod
    def _once_each(cls, variants: list[AnyVariant]) -> list[AnyVariant]:
        names = [one.name for one in variants]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice} are asked for twice; expected each variant once")
        return variants


# What goes with the model to whoever runs it.
_DESCRIBED = ("classes", "canonical", "temperature", "abstention")


class HeldOut(NamedTuple):
    """What variants are compared on: test rows, the codes of their labels (below 0: a class that
    the net does not know), and what the net itself says of them."""

    pixels: Images
    rows: np.ndarray
    codes_N: np.ndarray
    expected_NK: np.ndarray


class Tested(NamedTuple):
    """A variant's file, and what it says of test rows."""

    variant: Variant
    data: bytes
    logits_NK: np.ndarray


def main(
    images: Path,
    labels: Path,
    train: Path,
    test: Path,
    policy: Path,
    classifier: Path,
    out_onnx: Path,
    out_exported: Path,
    out_edge: Path,
    out_metrics: Path,
    params: Params,
    run: Run,
) -> None:
    net, description = load_classifier(classifier)
    pixels = Images(images)
    held_out = hold_out(net, pixels, load_rows(test), load_table(labels)["label"], description)
    program = trace(net, pixels.image_shape)
    examples = Examples(pixels, load_rows(train), load_policy(load_json(policy)["transforms"]))
    original = Original(net, build_graph(program, params.opset), params.opset, examples)
    made = make_variants(original, params.variants, run)
    tested = {one.name: try_variant(one, held_out, description, params, run) for one in made}
    served, edge = choose_variants(tested, params)
    suites = check_predictions(
        softmax(tested[served.variant].logits_NK / description.temperature),
        description.classes,
        params.expectations,
    )
    refuse_broken(*suites)

    save_bytes(tested[served.variant].data, out_onnx)
    with replacing_folder(out_exported) as folder:
        for name, one in tested.items():
            (folder / f"{name}.onnx").write_bytes(one.data)
        save_program(program, folder / "program.pt2")
        of_program = _try_program(folder / "program.pt2", held_out)
    save_bundle(tested[edge.variant].data, description.classes, description.temperature, out_edge)
    eligible = find_eligible([one.variant for one in tested.values()], params.max_accuracy_loss)
    measured = {name: _documented(one.variant, eligible) for name, one in tested.items()}
    document = {
        **measured[served.variant],
        "num_rows": len(held_out.rows),
        "suites": [suite.document() for suite in suites],
        "variants": list(measured.values()),
        "program": of_program,
        "max_accuracy_loss": params.max_accuracy_loss,
        "choice": {"served": served._asdict(), "edge": edge._asdict()},
    }
    save_json(document, out_metrics)


def hold_out(
    net: Classifier, pixels: Images, rows: np.ndarray, labels: pd.Series, description: Description
) -> HeldOut:
    codes = pd.Categorical(labels.iloc[rows], categories=description.classes).codes
    expected_NK = run_net(net, pixels, rows, torch.device("cpu"), "float32")
    return HeldOut(pixels, rows, codes.astype(np.int64), expected_NK)


def try_variant(
    made: Made, held_out: HeldOut, description: Description, params: Params, run: Run
) -> Tested:
    """The variant's file as ONNX Runtime reads it, beside the net."""
    data = describe(made.graph, description, params)
    session = make_session(data, run.num_threads)
    logits_NK = run_session(session, held_out.pixels, held_out.rows)
    parity = compare_logits(held_out.expected_NK, logits_NK, held_out.codes_N)
    return Tested(Variant(made.name, parity, len(data), made.num_flops), data, logits_NK)


def describe(graph: onnx.ModelProto, description: Description, params: Params) -> bytes:
    """The graph as a file, with classes, canonical form and what is expected of predictions in its
    metadata."""
    described = description.model_dump(include={*_DESCRIBED})
    described |= params.model_dump(include={"expectations"})
    return serialise(graph, {DESCRIPTION_KEY: json.dumps(described)})


def choose_variants(tested: Mapping[str, Tested], params: Params) -> tuple[Choice, Choice]:
    """What is served, and what devices get.

    Raises VerdictError if a logit of the ONNX model in float32 is too far from the net's.
    """
    variants = [one.variant for one in tested.values()]
    difference, loss = variants[0].parity.max_difference, params.max_accuracy_loss
    if not difference <= params.max_difference:
        raise VerdictError(
            f"export: a logit of the ONNX model differs by {difference:.2e} from the net's; "
            f"export.max_difference allows {params.max_difference:.2e}"
        )
    return choose(variants, params.choice.served, loss), choose(variants, params.choice.edge, loss)


def check_predictions(
    probabilities_NK: np.ndarray, classes: list[str], asked: list[PredictionsRule]
) -> list[Checked]:
    """What the rules say of test rows, as `predict` would ask them; nothing if none are asked."""
    if not asked:
        return []
    paths = [f"test row {number}" for number in range(len(probabilities_NK))]
    table = tabulate_predictions(paths, [""] * len(paths), probabilities_NK, classes)
    return [check(extend(predictions_suite(classes), asked), add_asked_columns(table))]


def _try_program(path: Path, held_out: HeldOut) -> dict[str, Any]:
    """The program's file, loaded again, beside the net."""
    logits_NK = run_program(load_program(path), held_out.pixels, held_out.rows)
    parity = compare_logits(held_out.expected_NK, logits_NK, held_out.codes_N)
    return {**_compared(parity), "num_bytes": path.stat().st_size}


def _documented(variant: Variant, eligible: list[Variant]) -> dict[str, Any]:
    return {
        "name": variant.name,
        **_compared(variant.parity),
        "accuracy": _rounded(variant.parity.accuracy),
        "accuracy_loss": _rounded(variant.parity.accuracy_loss),
        "num_bytes": variant.num_bytes,
        "num_flops": variant.num_flops,
        "is_eligible": variant in eligible,
    }


def _compared(parity: Parity) -> dict[str, Any]:
    """The difference is rounded up to a power of ten: the last bits of a logit depend on the
    processor. None: a logit is not finite."""
    power = math.ceil(math.log10(max(parity.max_difference, 1e-12))) if parity.is_finite else None
    return {
        "agreement": parity.agreement,
        "max_difference_below": None if power is None else 10.0**power,
    }


def _rounded(bounds: NamedTuple) -> dict[str, float]:
    return {name: round(value, 6) for name, value in bounds._asdict().items()}
