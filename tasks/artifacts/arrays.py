"""Arrays in `.npy`, whose bytes do not wander."""

from pathlib import Path

import numpy as np

from tasks.artifacts.atomic import replacing
from tasks.core.errors import ArtifactError


def save_array(array: np.ndarray, path: Path) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def load_array(path: Path, dtype: type[np.generic], *axes: str) -> np.ndarray:
    """An array of the given kind of numbers with a dimension for each of `axes`.

    Raises ArtifactError if the file is missing or holds anything else.
    """
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: does not exist") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: is not a readable .npy file: {error}") from error
    if array.ndim != len(axes) or array.dtype != dtype:
        shape = f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"
        raise ArtifactError(
            f"{path}: holds {array.dtype} of shape {array.shape}, "
            f"expected {np.dtype(dtype)} {shape}"
        )
    return array
