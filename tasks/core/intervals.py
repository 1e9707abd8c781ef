"""How sure a measured number is.

N rows, B bootstrap samples
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta, norm

_LOW, _HIGH = 0.025, 0.975
# Numbers that a part of the samples needs: what is counted at once fits a processor's cache.
_CELLS = 1 << 20


class Interval(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def draw_counts(num_rows: int, num_samples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row is drawn in each bootstrap sample (Efron, Bootstrap methods: another look
    at the jackknife, 1979): float64 (N, b), some samples at a time until there are B."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS // num_rows)
    for start in range(0, num_samples, at_once):
        width = min(at_once, num_samples - start)
        rows_Nb = rng.integers(num_rows, size=(num_rows, width))
        places = rows_Nb * width + np.arange(width)
        counts = np.bincount(places.ravel(), minlength=num_rows * width)
        yield counts.reshape(num_rows, width).astype(np.float64)


def percentile_interval(value: float, drawn_B: np.ndarray) -> Interval:
    """Efron's: what 95 % of the bootstrap samples came to. Samples that have no value (NaN) do not
    count."""
    low, high = np.nanquantile(drawn_B, [_LOW, _HIGH])
    return Interval(float(value), float(low), float(high))


def mirrored_interval(value: float, drawn_B: np.ndarray) -> Interval:
    """Of a share that drawing rows twice raises, as average precision: samples lie as far above the
    value as it lies above the truth (the basic interval of Davison and Hinkley, Bootstrap methods
    and their application, 1997, equation 5.6)."""
    low, high = 2 * value - np.nanquantile(drawn_B, [_HIGH, _LOW])
    return Interval(float(value), max(0.0, float(low)), min(1.0, float(high)))


def noisy_interval(value: float, drawn_B: np.ndarray, noise_B: np.ndarray) -> Interval:
    """For what noise only adds to, as an error of calibration or the gap between the largest and
    the least. `noise_B` bounds how far each sample may lie from the value, by the triangle
    inequality, and so how much of the value may be noise; above, percentiles are wide already. It
    covers 95 % at least."""
    low = value - float(np.nanquantile(noise_B, _HIGH))
    return Interval(float(value), max(0.0, low), float(np.nanquantile(drawn_B, _HIGH)))


def wilson_interval(hits: int, num_rows: int) -> Interval:
    """Of a share of independent rows (Wilson, 1927): where all or none are hits, or rows are few, a
    bootstrap would say that it is sure."""
    share, z = hits / num_rows, float(norm.ppf(_HIGH))
    scale = 1 + z**2 / num_rows
    middle = (share + z**2 / (2 * num_rows)) / scale
    reach = z / scale * np.sqrt(share * (1 - share) / num_rows + z**2 / (4 * num_rows**2))
    # At the ends rounding would leave the share outside.
    low, high = min(share, middle - reach), max(share, middle + reach)
    return Interval(share, max(0.0, float(low)), min(1.0, float(high)))


def largest_share(hits: int, num_rows: int, doubt: float) -> float:
    """The upper bound of a share that is exceeded with probability `doubt` at most (Clopper and
    Pearson, 1934)."""
    return 1.0 if hits == num_rows else float(beta.ppf(1 - doubt, hits + 1, num_rows - hits))


def rounded(value: Any) -> Any:
    """The document with floats of six digits, tuples of names as mappings, and None for NaN."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
