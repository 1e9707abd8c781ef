"""Stage augment: the policy that finetune draws from, a sheet of what it does, and an audit of
which transforms make another class of an image."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import albumentations as A
import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field, NonNegativeFloat, PositiveInt

from tasks.artifacts.documents import save_bytes, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.models import load_encoder
from tasks.artifacts.tables import load_rows, load_table, save_table
from tasks.core.augmentation_audit import (
    Change,
    choose_rows,
    family_confidence,
    find_changes,
    usual_suspects,
)
from tasks.core.embeddings import vote_of_neighbours
from tasks.core.encoder import Encoder
from tasks.core.inference import chosen_device, run_net
from tasks.core.mixing import Mixing, mix_batch
from tasks.core.params import Section
from tasks.core.policy import Transform, Transforms, augment_batch, build_alone, build_policy
from tasks.core.thumbnails import encode_png
from tasks.progress import progress

_TILE, _GAP = 64, 4
_AUDITED_AT_ONCE = 512


class Params(Section):
    """`transforms` is done to every image that finetune sees; what is mixed, says `Mixing`.

    `num_examples` images are drawn on the sheet, each beside `num_draws` augmented ones.
    `num_audited` train rows are judged by `num_neighbours` others; a transform is flagged where it
    changes the label of surely more than `audit_floor` of the images.
    """

    transforms: Transforms
    mixup_alpha: NonNegativeFloat
    cutmix_alpha: NonNegativeFloat
    num_examples: PositiveInt
    num_draws: PositiveInt
    num_audited: PositiveInt
    num_neighbours: PositiveInt
    audit_floor: Annotated[float, Field(ge=0, lt=1)]


def main(
    images: Path,
    train: Path,
    labels: Path,
    encoder: Path,
    out_policy: Path,
    out_sheet: Path,
    out_audit: Path,
    params: Params,
    seed: int,
    num_threads: int,
    precision: str,
    device: str,
) -> None:
    pixels, rows = Images(images), load_rows(train)
    policy = build_policy(params.transforms, pixels.image_shape)
    mixing = Mixing(mixup_alpha=params.mixup_alpha, cutmix_alpha=params.cutmix_alpha)
    examples = np.sort(np.random.default_rng(seed).permutation(rows)[: params.num_examples])
    # Through JSON, as albumentations leaves tuples that JSON reads back as lists.
    serialised = json.loads(json.dumps(A.to_dict(policy)))
    save_json({"transforms": serialised, "mixing": mixing.model_dump()}, out_policy)
    save_bytes(draw_sheet(policy, mixing, pixels[examples], params.num_draws, seed), out_sheet)
    net, described = load_encoder(encoder)
    given = load_table(labels, ["label"])["label"].iloc[rows]
    place = chosen_device(device)
    audit = audit_policy(net.to(place), pixels, rows, given, params, seed, precision, place)
    views = {view["name"] for view in described.fingerprint["params"]["views"]}
    save_table(audit.assign(is_view=audit["name"].isin(views)), out_audit)


def draw_sheet(
    policy: A.Compose, mixing: Mixing, images_NHWC: np.ndarray, num_draws: int, seed: int
) -> bytes:
    """A PNG: one row per image, the original at the left."""
    columns = [images_NHWC]
    for draw in range(num_draws):
        drawn_NHWC = augment_batch(policy, images_NHWC, seed, draw, 0)
        if mixing.is_on:
            labels_N, weights_N = np.zeros(len(drawn_NHWC), dtype=int), np.ones(len(drawn_NHWC))
            drawn_NHWC = mix_batch(
                mixing, drawn_NHWC, labels_N, weights_N, 1, seed, draw, 0
            ).images_NHWC
        columns.append(drawn_NHWC)
    step = _TILE + _GAP
    sheet = Image.new("RGB", (step * len(columns) + 2 * _GAP, step * len(images_NHWC)), "white")
    for column, pictures in enumerate(columns):
        left = column * step + (2 * _GAP if column else 0)
        for row, picture in enumerate(pictures):
            tile = Image.fromarray(picture.squeeze()).convert("RGB")
            sheet.paste(tile.resize((_TILE, _TILE), Image.Resampling.NEAREST), (left, row * step))
    return encode_png(sheet)


def audit_policy(
    encoder: Encoder,
    pixels: Images,
    rows: np.ndarray,
    given: pd.Series,
    params: Params,
    seed: int,
    precision: str,
    device: torch.device,
) -> pd.DataFrame:
    """A row per transform and class: how often the transformed image's neighbours, among the
    original train images other than its own, bear another label than it.

    `given` are the labels at `rows`; rows without one are left out.
    """
    codes, classes = pd.factorize(given, sort=True)
    labelled = np.flatnonzero(codes >= 0)
    chosen = labelled[choose_rows(codes[labelled], params.num_audited, seed)]
    rows, codes_N = rows[chosen], codes[chosen]
    originals_ND = run_net(encoder, pixels, rows, device, precision)

    def vote(embeddings_ND: np.ndarray) -> np.ndarray:
        itself_N = np.arange(len(rows))
        neighbours = params.num_neighbours
        return vote_of_neighbours(
            originals_ND, codes_N, embeddings_ND, neighbours, len(classes), itself_N
        )

    before_N = vote(originals_ND)
    tried = _tried(params.transforms, pixels.image_shape)
    confidence = family_confidence(len(tried) * (1 + len(np.unique(codes_N))))
    found = []
    for number, (title, transform) in enumerate(progress(tried.items(), len(tried), "augment")):
        alone = build_alone(transform, pixels.image_shape[0])
        batches = _transformed(alone, pixels, rows, seed, number)
        after_N = vote(
            np.concatenate(
                [
                    run_net(encoder, batch, np.arange(len(batch)), device, precision)
                    for batch in batches
                ]
            )
        )
        in_policy = number < len(params.transforms)
        for change in find_changes(codes_N, after_N, before_N, len(classes), confidence):
            entry = _entry(change, list(classes), params.audit_floor)
            found.append(
                {"transform": title, "name": transform.name, "in_policy": in_policy, **entry}
            )
    return pd.DataFrame(found)


def _tried(transforms: list[Transform], image_shape: tuple[int, int, int]) -> dict[str, Transform]:
    """By title: the policy's own transforms first, numbered where a name comes twice, then what
    people might want to add."""
    titled: dict[str, Transform] = {}
    for transform in transforms:
        count = sum(other.name == transform.name for other in titled.values())
        titled[f"{transform.name} {count + 1}" if count else transform.name] = transform
    return titled | usual_suspects(image_shape)


def _transformed(
    policy: A.Compose, pixels: Images, rows: np.ndarray, seed: int, number: int
) -> Iterator[np.ndarray]:
    for batch, images_NHWC in enumerate(pixels.chunks(rows, _AUDITED_AT_ONCE)):
        yield augment_batch(policy, images_NHWC, seed, number, batch)


def _entry(change: Change, classes: list[str], floor: float) -> dict[str, object]:
    return {
        "label": None if change.label is None else classes[change.label],
        "num_images": change.num_images,
        "changed_fraction": round(change.changed, 6),
        "identity_fraction": round(change.identity, 6),
        "difference": round(change.difference, 6),
        "low": round(change.low, 6),
        "high": round(change.high, 6),
        "is_flagged": change.low > floor,
        "looks_like": None if change.looks_like is None else classes[change.looks_like],
    }
