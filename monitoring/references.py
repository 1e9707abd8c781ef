"""Secrets by reference: settings name where a secret stands, and never hold it.

`env:NAME` is an environment variable, `file:/path` the text of a file.
"""

import os
from pathlib import Path

from tasks.core.errors import ParamsError


def read_reference(text: str, where: str) -> str:
    """The secret that `text` refers to; `where` is the setting, for the message.

    Raises ParamsError if it is no reference, or refers to nothing. What was given instead is told
    to nobody: it may be the secret itself.
    """
    kind, _, place = text.partition(":")
    if kind not in ("env", "file") or not place:
        raise ParamsError(f"{where}: expected env:NAME or file:/path, not the secret itself")
    if kind == "env":
        secret = os.environ.get(place, "").strip()
        if not secret:
            raise ParamsError(f"{where}: the environment variable {place} is not set")
        return secret
    try:
        secret = Path(place).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not text in UTF-8"
        raise ParamsError(f"{where}: {place}: {reason}") from None
    if not secret:
        raise ParamsError(f"{where}: {place} is empty")
    return secret
