"""Who may ask: API keys, and on loopback only those who mean to."""

import binascii
import hmac
from base64 import b64decode
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
        return self._knows(key.strip()) and kind.lower() == "bearer"

    def admit(self, authorization: str | None) -> str | None:
        """The name under which a browser logged in, by a header `Authorization: Basic` whose
        password is one of the keys; None if it is none. Takes as long for any wrong key."""
        kind, _, coded = (authorization or "").partition(" ")
        try:
            login = b64decode(coded.strip(), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            login = ""
        name, _, key = login.partition(":")
        return name if self._knows(key) and kind.lower() == "basic" else None

    def _knows(self, key: str) -> bool:
        given = sha256(key.encode("utf-8", "surrogateescape")).digest()
        found = [hmac.compare_digest(given, one) for one in self._digests]
        return any(found)


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


def is_own_form(host: str | None, origin: str | None) -> bool:
    """Whether what a browser posts comes from a page of this very site: browsers say so with every
    post, and log in by themselves whatever page it comes from."""
    try:
        return bool(host) and urlsplit(origin or "").netloc == host
    except ValueError:
        return False
