"""Stage export: the classifier as ONNX, preprocessing inside, and a proof that it agrees."""

import json
import logging
import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
from pydantic import Field, PositiveFloat
from torch import nn

from expectations.asked import PredictionsRule, extend
from expectations.check import Checked, check, refuse_broken
from expectations.suites import add_asked_columns, predictions_suite
from tasks.artifacts.documents import save_bytes, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.models import Description, load_classifier
from tasks.artifacts.tables import load_rows
from tasks.core.errors import VerdictError
from tasks.core.inference import run_net, softmax
from tasks.core.onnx_model import DESCRIPTION_KEY, make_session, run_session
from tasks.core.params import Section
from tasks.core.predictions import tabulate_predictions


class Params(Section):
    """`max_difference` is how far a logit may lie from the net's, on any test row. `expectations`:
    what users expect of predictions beyond the suite; it goes with the model to whoever predicts
    with it, and is first tried on test rows."""

    opset: Annotated[int, Field(ge=18, le=23)]
    max_difference: PositiveFloat
    expectations: list[PredictionsRule]


def main(
    images: Path,
    test: Path,
    classifier: Path,
    out_onnx: Path,
    out_metrics: Path,
    params: Params,
    num_threads: int,
) -> None:
    net, description = load_classifier(classifier)
    pixels, rows = Images(images), load_rows(test)
    data = export_onnx(net, description, pixels.image_shape, params)
    expected_NK = run_net(net, pixels, rows, torch.device("cpu"), "float32")
    given_NK = run_session(make_session(data, num_threads), pixels, rows)
    difference = float(np.abs(expected_NK - given_NK).max())
    if not difference <= params.max_difference:
        raise VerdictError(
            f"export: a logit of the ONNX model differs by {difference:.2e} from the net's; "
            f"export.max_difference allows {params.max_difference:.2e}"
        )
    probabilities_NK = softmax(given_NK / description.temperature)
    checks = check_predictions(probabilities_NK, description.classes, params.expectations)
    refuse_broken(*checks)
    agrees = expected_NK.argmax(axis=1) == given_NK.argmax(axis=1)
    save_bytes(data, out_onnx)
    save_json(
        {
            "num_rows": len(rows),
            # Rounded up to a power of ten: the last bits of a logit depend on the processor.
            "max_difference_below": 10 ** float(np.ceil(np.log10(max(difference, 1e-12)))),
            "agreement": float(agrees.mean()),
            "num_bytes": len(data),
            "suites": [checked.document() for checked in checks],
        },
        out_metrics,
    )


def check_predictions(
    probabilities_NK: np.ndarray, classes: list[str], asked: list[PredictionsRule]
) -> list[Checked]:
    """What the rules say of test rows, as `predict` would ask them; nothing if none are asked."""
    if not asked:
        return []
    paths = [f"test row {number}" for number in range(len(probabilities_NK))]
    table = tabulate_predictions(paths, [""] * len(paths), probabilities_NK, classes)
    return [check(extend(predictions_suite(classes), asked), add_asked_columns(table))]


def export_onnx(
    net: nn.Module, description: Description, image_shape: tuple[int, int, int], params: Params
) -> bytes:
    """uint8 (N, H, W, C) → logits (N, K) for any N; classes, canonical form and what is expected of
    predictions in its metadata."""
    example = torch.zeros((2, *image_shape), dtype=torch.uint8)
    # It warns of torchvision's operations, which no net here has, and of its own internals.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            net.eval(),
            (example,),
            dynamo=True,
            opset_version=params.opset,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip_traces(model)
    described = description.model_dump(
        include={"classes", "canonical", "temperature", "abstention"}
    )
    described |= params.model_dump(include={"expectations"})
    onnx.helper.set_model_props(model, {DESCRIPTION_KEY: json.dumps(described)})
    return model.SerializeToString(deterministic=True)


def _strip_traces(model: onnx.ModelProto) -> None:
    # The exporter records where in whose checkout each operation was called: other bytes in
    # another folder.
    graph = model.graph
    for part in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for function in model.functions:
        for part in [function, *function.node]:
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")
