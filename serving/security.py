"""Who may ask: API keys, and on loopback only those who mean to."""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import urlsplit

from monitoring.references import read_reference
from tasks.core.errors import ParamsError

SHORTEST_KEY = 16
# For every answer. Nothing that is served loads anything, runs a script or is shown in a frame.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Keys:
    """API keys, of which only digests stay in memory. Several, so that one can follow another."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def allow(self, authorization: str | None) -> bool:
        """Whether a header `Authorization: Bearer <key>` names one of the keys; anyone is allowed
        where there are none. Takes as long for any wrong key."""
        if not self._digests:
            return True
        kind, _, key = (authorization or "").partition(" ")
        given = sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        found = [hmac.compare_digest(given, one) for one in self._digests]
        return kind.lower() == "bearer" and any(found)


def load_keys(reference: str) -> Keys:
    """No keys for an empty reference. Raises ParamsError as `read_reference` does, and for a key
    that is short enough to be guessed."""
    if not reference:
        return Keys([])
    where = "TILTH_SERVE_KEY"
    keys = [line.strip() for line in read_reference(reference, where).splitlines() if line.strip()]
    if any(len(key) < SHORTEST_KEY for key in keys):
        raise ParamsError(f"{where}: a key has fewer than {SHORTEST_KEY} characters")
    return Keys(keys)


def is_meant(host: str | None, origin: str | None) -> bool:
    """Whether a request without a key comes from this machine and not from a page of somebody
    else's that a browser here has open: such a page asks in the browser's name, under an origin of
    its own or, with a name that it had resolved to 127.0.0.1, under that host."""
    try:
        asked = urlsplit(f"//{host or ''}")
        given = None if origin is None else urlsplit(origin).netloc
    except ValueError:
        return False
    return asked.hostname in _LOCAL_NAMES and given in (None, asked.netloc)
