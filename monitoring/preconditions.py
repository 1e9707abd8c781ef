"""What must hold before a window says anything about drift; a breach is a fault of the data.

N rows, M of them not refused
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from monitoring.params import Params
from monitoring.rows import WINDOW, described_columns


class Model(NamedTuple):
    """What predicted the reference: SHA-256 of the ONNX file, and its classes in order."""

    sha256: str
    classes: tuple[str, ...]


class Breach(NamedTuple):
    """`rule` is a stable code, `found` a sentence for people."""

    rule: str
    found: str


def check_columns(window: pd.DataFrame) -> list[Breach]:
    """What keeps a window from being read at all."""
    names = list(window.columns)
    if missing := [name for name in WINDOW if name not in names]:
        return [Breach("schema", f"lacks the columns {missing}")]
    if twice := sorted({str(name) for name in names if names.count(name) > 1}):
        return [Breach("schema", f"has several columns of one name: {twice[:10]}")]
    if not isinstance(window["predicted_at"].dtype, pd.DatetimeTZDtype) and len(window):
        kind = window["predicted_at"].dtype
        return [Breach("schema", f"has predicted_at of {kind}, expected timestamps in UTC")]
    if window["prediction_id"].isna().any():
        return [Breach("schema", "has predictions without an id")]
    if num := int(window["prediction_id"].duplicated().sum()):
        return [Breach("duplicates", f"has {num:,} predictions a second time")]
    return []


def check_rows(
    window: pd.DataFrame,
    is_used_M: np.ndarray,
    reference: pd.DataFrame,
    model: Model,
    params: Params,
    as_of: pd.Timestamp | None,
) -> list[Breach]:
    """What rows that could be read say of where they come from. `is_used_M` tells which of those
    that were not refused hold usable numbers; `as_of` is when the check is made, None to let age
    alone."""
    if window.empty:
        return [Breach("empty", "has no predictions")]
    was_refused_N = refused(window)
    decoded = window[~was_refused_N]
    breaches = [*_other_model(window, model), *_other_classes(decoded, model)]
    if as_of is not None:
        breaches += _wrong_time(window["predicted_at"], as_of, params.max_age_hours)
    # A share of a handful says nothing.
    if len(window) >= params.min_rows:
        breaches += _too_many_refused(window["refused"][was_refused_N], len(window), params)
        breaches += _too_many_invalid(is_used_M, params)
        breaches += _too_many_missing(reference, decoded, params)
    return breaches


def refused(window: pd.DataFrame) -> np.ndarray:
    """Which images the gate refused: bool (N,)."""
    return window["refused"].fillna("").astype(str).to_numpy() != ""


def _other_model(window: pd.DataFrame, model: Model) -> Iterator[Breach]:
    is_other_N = (window["model_sha256"] != model.sha256).to_numpy(dtype=bool, na_value=True)
    if is_other_N.any():
        others = sorted({str(name)[:12] for name in window["model_sha256"][is_other_N]})
        yield Breach(
            "model",
            f"{int(is_other_N.sum()):,} of {len(window):,} predictions are by {others[:5]}, "
            f"the reference by {model.sha256[:12]}",
        )


def _other_classes(decoded: pd.DataFrame, model: Model) -> Iterator[Breach]:
    if unknown := sorted({str(name) for name in decoded["predicted"]} - {*model.classes}):
        yield Breach("classes", f"predicts {unknown[:10]}, which are no classes of the model")


def _wrong_time(times: pd.Series, as_of: pd.Timestamp, max_age_hours: float) -> Iterator[Breach]:
    newest = times.max()
    if pd.isna(newest):
        yield Breach("freshness", "no prediction has a time")
    elif newest > as_of:
        yield Breach("clock", f"the newest prediction is of {newest}, after the check at {as_of}")
    elif newest < as_of - pd.Timedelta(hours=max_age_hours):
        yield Breach(
            "freshness",
            f"the newest prediction is of {newest}, more than {max_age_hours:g} h before {as_of}",
        )


def _too_many_refused(reasons: pd.Series, num_rows: int, params: Params) -> Iterator[Breach]:
    if len(reasons) > params.max_refused_fraction * num_rows:
        counts = reasons.astype(str).value_counts()
        listed = ", ".join(f"{reason} {count:,}" for reason, count in counts.head(5).items())
        yield Breach(
            "refused",
            f"{len(reasons):,} of {num_rows:,} images were refused ({listed}); "
            f"at most {params.max_refused_fraction:.0%} are expected",
        )


def _too_many_invalid(is_used_M: np.ndarray, params: Params) -> Iterator[Breach]:
    num_invalid = int((~is_used_M).sum())
    if num_invalid > params.max_invalid_fraction * len(is_used_M):
        yield Breach(
            "invalid",
            f"{num_invalid:,} of {len(is_used_M):,} predictions hold no usable embedding or "
            f"probabilities; at most {params.max_invalid_fraction:.0%} are expected",
        )


def _too_many_missing(
    reference: pd.DataFrame, decoded: pd.DataFrame, params: Params
) -> Iterator[Breach]:
    """Measures that are not there, or not finite, in more rows than of the reference."""
    for name in described_columns(reference, decoded):
        before, now = missing_fraction(reference[name]), missing_fraction(decoded[name])
        if now > before + params.max_invalid_fraction:
            yield Breach(
                "missing", f"{name} is missing in {now:.1%} of rows, in {before:.1%} of reference"
            )


def missing_fraction(column: pd.Series) -> float:
    """Infinite numbers are missing, too."""
    if not len(column):
        return 0.0
    if is_numeric_dtype(column) and column.dtype != bool:
        return float((~np.isfinite(column.to_numpy(dtype=float, na_value=np.nan))).mean())
    return float(column.isna().mean())
