"""Embeddings: of all images by row, in `.npy`; those made up for a classifier's head, in Parquet.

N images, S made-up embeddings, D width of the embedding
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts.arrays import load_array, save_array
from tasks.artifacts.atomic import replacing
from tasks.core.errors import ArtifactError


def save_embeddings(embeddings_ND: np.ndarray, path: Path) -> None:
    """One row per row of the manifest, float32 (N, D)."""
    save_array(np.asarray(embeddings_ND, dtype=np.float32), path)


def load_embeddings(path: Path) -> np.ndarray:
    """Raises ArtifactError if the file is missing or holds no finite embeddings."""
    embeddings_ND = load_array(path, np.float32, "N", "D")
    if not np.isfinite(embeddings_ND).all():
        raise ArtifactError(f"{path}: holds values that are not finite")
    return embeddings_ND


class Synthetic(NamedTuple):
    """Embeddings of no image, and the class of each: (S, D) and (S,)."""

    embeddings_SD: np.ndarray
    labels_S: np.ndarray


def save_synthetic(synthetic: Synthetic, path: Path) -> None:
    """Parquet: label, embedding."""
    embeddings_SD = np.asarray(synthetic.embeddings_SD, dtype=np.float32)
    table = pa.table(
        {
            "label": pa.array(list(synthetic.labels_S), pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(embeddings_SD.ravel()), embeddings_SD.shape[1]
            ),
        }
    )
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def load_synthetic(path: Path) -> Synthetic:
    """Raises ArtifactError if the file is missing, torn, or holds something else."""
    try:
        table = pq.read_table(path)
        embeddings = table["embedding"].combine_chunks()
        width = embeddings.type.list_size
        embeddings_SD = embeddings.flatten().to_numpy().astype(np.float32).reshape(-1, width)
        return Synthetic(embeddings_SD, table["label"].to_numpy().astype(str))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except (pa.ArrowException, OSError, AttributeError, KeyError) as error:
        raise ArtifactError(f"{path}: holds no labels and embeddings: {error}") from error
