"""Cells of tables that others wrote: text of bounded length, moments in UTC."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from tasks.artifacts.folders import clean_text
from tasks.core.errors import SourceError

# The longest path that Linux takes; no label or group needs more.
_MAX_CHARACTERS = 4096


def text_cell(value: Any, column: str, where: str) -> str | None:
    """Text of a cell, None if it is empty. Whole numbers count as text, other types do not."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        kind = type(value).__name__
        raise SourceError(f"{where}: {column} {shown(value)} is {kind}, expected text")
    check_length(value, column, where)
    return clean_text(value) or None


def check_length(text: str, column: str, where: str) -> None:
    if len(text) > _MAX_CHARACTERS:
        raise SourceError(
            f"{where}: {column} {shown(text)} has {len(text):,} characters; expected "
            f"{_MAX_CHARACTERS:,} at most"
        )


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def moment_cell(value: Any, where: str) -> str | None:
    """A moment as ISO 8601 in UTC; moments without a zone are taken as UTC."""
    if isinstance(value, pd.Timestamp):
        moment = value.to_pydatetime(warn=False)
    else:
        text = text_cell(value, "captured_at", where)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise SourceError(f"{where}: captured_at {shown(text)} is not ISO 8601") from None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return zoned.astimezone(UTC).isoformat(timespec="seconds")
    except OverflowError:
        raise SourceError(f"{where}: captured_at {value!r} lies out of all years") from None
