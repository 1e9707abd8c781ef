"""What parts of an image bring: superpixels, their Shapley values, and LIME's linear model.

N images, H height, W width, C channels, F superpixels, S coalitions
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import Ridge

# (S, F) which superpixels are left → (S, N) what the images are worth then.
ValuesOf = Callable[[np.ndarray], np.ndarray]

# Of levels in [0, 1], what a step to the next superpixel weighs: as much as from black to mid grey.
_COMPACTNESS = 0.5
_NUM_ROUNDS = 10
# Of cosine distances, as in the authors' code (https://github.com/marcotcr/lime).
_KERNEL_WIDTH = 0.25
_PENALTY = 1e-3


def find_superpixels(images_NHWC: np.ndarray, num_across: int) -> np.ndarray:
    """Parts of like colour and place, `num_across`² per image, numbered: int64 (N, H, W).

    k-means of colours and places that begins with a grid (SLIC, Achanta et al., 2012, but each
    pixel looks at all centres). Images of fewer than `num_across` pixels a side have fewer parts.
    """
    height, width = images_NHWC.shape[1:3]
    rows, columns = (np.minimum(num_across, side) for side in (height, width))
    down_HW, across_HW = np.indices((height, width))
    cells_P = (down_HW * rows // height * columns + across_HW * columns // width).ravel()
    places_P2 = np.stack([down_HW * rows / height, across_HW * columns / width], axis=-1)
    places_P2 = _COMPACTNESS * places_P2.reshape(-1, 2)
    first = [np.flatnonzero(cells_P == cell) for cell in range(rows * columns)]
    segments = []
    for image_HWC in images_NHWC:
        seen_PD = np.hstack([image_HWC.reshape(len(cells_P), -1) / 255, places_P2])
        centres_FD = np.stack([seen_PD[pixels].mean(axis=0) for pixels in first])
        begun: dict[str, Any] = {"init": centres_FD, "n_init": 1}
        grown = KMeans(len(centres_FD), max_iter=_NUM_ROUNDS, **begun)
        segments.append(grown.fit_predict(seen_PD))
    return np.stack(segments).astype(np.int64).reshape(-1, height, width)


def kernel_shap(
    values_of: ValuesOf, num_parts: int, num_coalitions: int, rng: np.random.Generator
) -> np.ndarray:
    """Shapley values (N, F) by weighted least squares (Lundberg and Lee, 2017, theorem 2): exact
    where all coalitions are few enough, and always in sum what the whole is worth."""
    coalitions_SF, weights_S = draw_coalitions(num_parts, num_coalitions, rng)
    ends_2F = np.stack([np.zeros(num_parts, bool), np.ones(num_parts, bool)])
    empty_N, full_N = values_of(ends_2F)
    gains_SN = values_of(coalitions_SF) - empty_N
    # The sum is kept by writing the last part as what the others leave of the whole.
    last_S1 = coalitions_SF[:, -1:].astype(np.float64)
    root_S1 = np.sqrt(weights_S)[:, None]
    shares_SE = root_S1 * (coalitions_SF[:, :-1] - last_S1)
    wanted_SN = root_S1 * (gains_SN - last_S1 * (full_N - empty_N))
    found_EN = np.linalg.lstsq(shares_SE, wanted_SN, rcond=None)[0]
    return np.vstack([found_EN, full_N - empty_N - found_EN.sum(axis=0)]).T


def draw_coalitions(
    num_parts: int, num_coalitions: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Which parts are left, bool (S, F), neither none nor all, and the weights (S) that make a
    regression on them Shapley's.

    Every coalition where that is not more than asked for. Otherwise they are drawn as often as
    they weigh, each beside its complement, which halves the noise (Improving KernelSHAP,
    arXiv:2012.01536).
    """
    sizes = np.arange(1, num_parts)
    if 2**num_parts - 2 <= num_coalitions:
        numbers_S = np.arange(1, 2**num_parts - 1)
        coalitions_SF = (numbers_S[:, None] >> np.arange(num_parts) & 1).astype(bool)
        choices = np.array([math.comb(num_parts, size) for size in sizes])
        kernel = (num_parts - 1) / (choices * sizes * (num_parts - sizes))
        return coalitions_SF, kernel[coalitions_SF.sum(axis=1) - 1]
    chances = 1 / (sizes * (num_parts - sizes))
    num_pairs = math.ceil(num_coalitions / 2)
    drawn_S = rng.choice(sizes, num_pairs, p=chances / chances.sum())
    ranks_SF = rng.random((num_pairs, num_parts)).argsort(axis=1).argsort(axis=1)
    half_SF = ranks_SF < drawn_S[:, None]
    return np.concatenate([half_SF, ~half_SF]), np.ones(2 * num_pairs)


def lime(
    values_of: ValuesOf, num_parts: int, num_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """What each part adds in a linear model of images near the whole one: (N, F)."""
    left_SF = rng.random((num_samples, num_parts)) < 0.5
    left_SF[0] = True
    distances_S = 1 - np.sqrt(left_SF.mean(axis=1))
    weights_S = np.exp(-((distances_S / _KERNEL_WIDTH) ** 2))
    model = Ridge(alpha=_PENALTY).fit(left_SF, values_of(left_SF), sample_weight=weights_S)
    return np.asarray(model.coef_).reshape(-1, num_parts)
