"""Ten encoders of known worth, to see whether those and only those are adopted that are better than
what has learnt nothing.

N images, D width of the embedding
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.few_labels import CPU, Data, Part
from benchmarks.few_labels import embed as embed_part
from tasks.core.adoption import Adoption, Embedded, judge_adoption
from tasks.core.embeddings import effective_rank, feature_spread, has_collapsed
from tasks.core.encoder import Encoder
from tasks.core.inference import Place
from tasks.core.yardstick import settle

NUM_FRESH_NETS, MOST_ROWS = 3, 5000


class Planted(NamedTuple):
    """`is_good` None: what it learnt from other images shows on test images alone."""

    name: str
    is_good: bool | None
    embedded: Embedded
    on_test: Embedded


class Case(NamedTuple):
    """`truth` is the gain on test images."""

    name: str
    adoption: Adoption
    truth: float
    is_right: bool


def judge_planted(
    data: Data, new_encoder: Callable[[int], Encoder], learnt: Callable[[Part, int], Encoder]
) -> Iterator[Case]:
    """`new_encoder` draws one from a seed; `learnt` draws one, and teaches it images without their
    labels."""
    rows = np.random.default_rng(0).permutation(len(data.train.labels_N))[:MOST_ROWS]
    known = data.train.take(rows)

    def embedded(encoder: Encoder) -> tuple[Embedded, Embedded]:
        train_ND, val_ND, test_ND = (
            embed_part(encoder, one, data.precision) for one in (known, data.val, data.test)
        )
        return Embedded(train_ND, val_ND), Embedded(train_ND, test_ND)

    def settled(seed: int) -> Encoder:
        encoder, place = new_encoder(seed), Place(CPU, data.precision)
        settle(encoder, known.images_NHWC, np.arange(len(rows)), place)
        return encoder

    fresh, fresh_on_test = zip(
        *(embedded(settled(1000 + number)) for number in range(NUM_FRESH_NETS)), strict=True
    )
    for planted in _plant(data, embedded, new_encoder, settled, learnt):
        spread, rank = (of(planted.embedded.val_MD) for of in (feature_spread, effective_rank))
        collapsed = has_collapsed(spread, spread, rank)
        adoption, truth = (
            judge_adoption(one, beside, known.labels_N, part.labels_N, collapsed, 0)
            for one, beside, part in (
                (planted.embedded, fresh, data.val),
                (planted.on_test, fresh_on_test, data.test),
            )
        )
        expected = truth.adopted if planted.is_good is None else planted.is_good
        yield Case(planted.name, adoption, truth.gain, adoption.adopted == expected)


def _plant(
    data: Data,
    embedded: Callable[[Encoder], tuple[Embedded, Embedded]],
    new_encoder: Callable[[int], Encoder],
    settled: Callable[[int], Encoder],
    learnt: Callable[[Part, int], Encoder],
) -> Iterator[Planted]:
    good = embedded(learnt(data.train, 0))
    yield Planted("good, seed 0", True, *good)
    for seed in (1, 2):
        yield Planted(f"good, seed {seed}", True, *embedded(learnt(data.train, seed)))
    for name, collapse in (("one point", to_point), ("one line", to_line)):
        parts = (Embedded(*(collapse(each) for each in one)) for one in good)
        yield Planted(f"collapsed to {name}", False, *parts)
    yield Planted("nothing learnt, seed 11", False, *embedded(new_encoder(11)))
    for seed in (12, 13):
        yield Planted(f"nothing learnt, settled, seed {seed}", False, *embedded(settled(seed)))
    for name, alter in (("noise", to_noise), ("pixels in another order", to_disorder)):
        others = Part(alter(data.train.images_NHWC), data.train.labels_N)
        yield Planted(f"learnt from {name}", None, *embedded(learnt(others, 0)))


def to_point(embeddings_ND: np.ndarray) -> np.ndarray:
    """All the same, but for what rounding leaves."""
    noise_ND = np.random.default_rng(0).normal(size=embeddings_ND.shape)
    return (1 + 1e-6 * noise_ND).astype(np.float32)


def to_line(embeddings_ND: np.ndarray) -> np.ndarray:
    """Each image its place along one direction, and nothing else."""
    direction_D = np.random.default_rng(0).normal(size=embeddings_ND.shape[1])
    return np.outer(embeddings_ND @ direction_D, direction_D).astype(np.float32)


def to_noise(images_NHWC: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, images_NHWC.shape, dtype=np.uint8)


def to_disorder(images_NHWC: np.ndarray) -> np.ndarray:
    """The same pixels, in one and the same other order for all images."""
    flat = images_NHWC.reshape(len(images_NHWC), -1, images_NHWC.shape[-1])
    order = np.random.default_rng(0).permutation(flat.shape[1])
    return flat[:, order].reshape(images_NHWC.shape)
