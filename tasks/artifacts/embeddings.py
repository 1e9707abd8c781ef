"""Embeddings: of all images by row, in `.npy`.

N images, D width of the embedding
"""

from pathlib import Path

import numpy as np

from tasks.artifacts.atomic import replacing
from tasks.core.errors import ArtifactError


def save_embeddings(embeddings_ND: np.ndarray, path: Path) -> None:
    """One row per row of the manifest, float32 (N, D)."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.asarray(embeddings_ND, dtype=np.float32), allow_pickle=False)


def load_embeddings(path: Path) -> np.ndarray:
    """Raises ArtifactError if the file is missing or holds no finite embeddings."""
    try:
        with path.open("rb") as file:
            embeddings_ND = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: is not a readable .npy file: {error}") from error
    if embeddings_ND.ndim != 2 or embeddings_ND.dtype != np.float32:
        raise ArtifactError(
            f"{path}: holds {embeddings_ND.dtype} of shape {embeddings_ND.shape}, "
            "expected float32 (N, D)"
        )
    if not np.isfinite(embeddings_ND).all():
        raise ArtifactError(f"{path}: holds values that are not finite")
    return embeddings_ND
