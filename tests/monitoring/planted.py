"""Predictions of a model that is right about its own doubts: classes are Gaussians around centres,
probabilities their exact posteriors. Windows are drawn alike, or with a planted change."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.baseline import Baseline
from monitoring.params import Params, load_params
from monitoring.preconditions import Model

ROOT = Path(__file__).parents[2]
CLASSES = ("ape", "bee", "cat", "dog")
WIDTH = 6
MODEL = Model("f" * 64, CLASSES)
NOON = pd.Timestamp("2026-03-01T12:00", tz="UTC")
CENTRES = np.random.default_rng(99).normal(size=(len(CLASSES), WIDTH)) * 1.2


def some_params(**changed: Any) -> Params:
    """Those of the project, with fewer dealings."""
    params, _ = load_params(ROOT / "params.yaml")
    values = params.model_dump() | {"num_permutations": 999, "num_frequencies": 64} | changed
    return Params.model_validate(values)


def posterior(embeddings_ND: np.ndarray) -> np.ndarray:
    squares_NK = ((embeddings_ND[:, None] - CENTRES) ** 2).sum(axis=2)
    shares_NK = np.exp(-(squares_NK - squares_NK.min(axis=1, keepdims=True)) / 2)
    return shares_NK / shares_NK.sum(axis=1, keepdims=True)


def draw(
    count: int,
    seed: int,
    prior: tuple[float, ...] = (0.25,) * 4,
    shift: float = 0.0,
    strange: float = 0.0,
    darker: float = 0.0,
    only_group: str = "",
) -> pd.DataFrame:
    """Rows of measures, metadata and what a model makes of them. `shift` moves every image along
    one direction, `strange` is the share of images of no class, `darker` dims those of a group."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(CLASSES), count, p=prior)
    embeddings = CENTRES[labels] + rng.normal(size=(count, WIDTH))
    embeddings[:, 0] += shift
    is_strange = rng.random(count) < strange
    embeddings[is_strange] = 9 * rng.normal(size=(int(is_strange.sum()), WIDTH))
    probabilities = posterior(embeddings)
    groups = rng.choice(["5", "6", "7"], count)
    is_dim = (groups == only_group) if only_group else np.ones(count, dtype=bool)
    names = np.array(CLASSES, dtype=object)
    return pd.DataFrame(
        {
            "id": [f"{seed}-{number:06d}" for number in range(count)],
            "label": names[labels],
            "predicted": names[probabilities.argmax(axis=1)],
            "embedding": list(embeddings.astype(np.float32)),
            "probabilities": list(probabilities),
            "brightness": rng.normal(0.5, 0.1, count) - darker * is_dim,
            "contrast": rng.normal(0.2, 0.05, count),
            "width": 32,
            "group": groups,
        }
    )


def a_reference(count: int = 1500, seed: int = 0, **changed: Any) -> pd.DataFrame:
    return draw(count, seed, **changed).rename(columns={"id": "image_id"}).drop(columns="predicted")


def a_window(count: int = 400, seed: int = 1, **changed: Any) -> pd.DataFrame:
    """Predictions of the hour before noon, nobody has said yet what they should have been."""
    table = draw(count, seed, **changed).rename(columns={"id": "prediction_id"})
    minutes = pd.to_timedelta(np.linspace(0, 60, max(count, 1))[:count], unit="min")
    return table.assign(
        predicted_at=NOON - pd.Timedelta(hours=1) + minutes,
        model_sha256=MODEL.sha256,
        refused="",
        label=pd.Series([None] * count, dtype="string"),
    )


def a_baseline(seed: int = 0, **changed: Any) -> Baseline:
    return Baseline(a_reference(), MODEL, some_params(**changed), seed)
