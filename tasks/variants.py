"""Variants of a net that cost less than it: in fewer bits, or of fewer channels.

N images, H height, W width, C channels
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import onnx
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from tasks.core.encoder import Classifier, count_flops
from tasks.core.onnx_graph import build_graph, trace
from tasks.core.params import Run, Section
from tasks.core.pruning import prune_blocks
from tasks.core.quantisation import in_float16, in_int8
from tasks.distillation import Examples, distil

_BATCH_SIZE = 32


class Float16(Section):
    """Half the bytes. Processors without float16 arithmetic compute in float32 nonetheless."""

    name: Literal["float16"]


class Int8(Section):
    """A quarter of the bytes; the range of what is computed is measured on `num_rows` train rows,
    drawn by `run.seed`, or all where there are fewer."""

    name: Literal["int8"]
    num_rows: PositiveInt


class Pruned(Section):
    """Without `fraction` of the channels within blocks, then taught for `epochs`, on augmented
    train rows, to say what the net says. Of convolutional nets and ResNets."""

    name: Literal["pruned"]
    fraction: Annotated[float, Field(gt=0, lt=1)]
    epochs: NonNegativeInt
    learning_rate: PositiveFloat
    batch_size: Annotated[int, Field(ge=2)]


AnyVariant = Annotated[Float16 | Int8 | Pruned, Field(discriminator="name")]


class Original(NamedTuple):
    """The net that variants are made of, its graph, and the train rows that it has learnt."""

    net: Classifier
    graph: onnx.ModelProto
    opset: int
    examples: Examples

    @property
    def num_flops(self) -> int:
        return count_flops(self.net, self.examples.pixels.image_shape)


class Made(NamedTuple):
    """A variant's graph, and its floating-point operations for one image; those that int8 computes
    on integers count alike."""

    name: str
    graph: onnx.ModelProto
    num_flops: int


def make_variants(original: Original, variants: Sequence[AnyVariant], run: Run) -> Iterator[Made]:
    """The net's own graph first. Raises ParamsError for a net that cannot be pruned."""
    yield Made("float32", original.graph, original.num_flops)
    for how in variants:
        yield _make(how, original, run)


def _make(how: AnyVariant, original: Original, run: Run) -> Made:
    match how:
        case Float16():
            return Made(how.name, in_float16(original.graph), original.num_flops)
        case Int8():
            return Made(how.name, _quantised(how, original, run), original.num_flops)
        case Pruned():
            return _pruned(how, original, run)


def _quantised(how: Int8, original: Original, run: Run) -> onnx.ModelProto:
    rows = np.random.default_rng(run.seed).permutation(original.examples.rows)[: how.num_rows]
    batches = original.examples.pixels.chunks(rows, _BATCH_SIZE)
    return in_int8(original.graph, batches, run.num_threads)


def _pruned(how: Pruned, original: Original, run: Run) -> Made:
    student = prune_blocks(original.net, how.fraction)
    distil(
        student,
        copy.deepcopy(original.net),
        original.examples,
        how.epochs,
        how.learning_rate,
        how.batch_size,
        run,
    )
    image_shape = original.examples.pixels.image_shape
    graph = build_graph(trace(student, image_shape), original.opset)
    return Made(how.name, graph, count_flops(student, image_shape))
