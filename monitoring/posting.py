"""One HTTP POST, to the address that somebody named and to no other.

What posts on behalf of people can be made to post into the network it stands in (server-side
request forgery: https://owasp.org/www-community/attacks/Server_Side_Request_Forgery). So a name
is looked up once, and the connection goes to the very address that was judged; a redirect is an
answer like any other that is not a success.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

# IPv4 behind IPv6: of anybody (RFC 6052), and of one's own network (RFC 8215).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_TRANSLATED_WITHIN = ipaddress.IPv6Network("64:ff9b:1::/48")
_DEFAULT_PORTS = {"https": 443, "http": 80}


class DeliveryError(Exception):
    """Why something was not delivered. Names no address, which may be a secret.

    `retry_after_seconds`: when to try again, if the other side said so. `is_final`: trying again
    cannot help.
    """

    def __init__(
        self, reason: str, retry_after_seconds: float | None = None, is_final: bool = False
    ):
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
        self.is_final = is_final


class Policy(NamedTuple):
    """Where a post may go. `allow_private`: into private networks and this machine, and without
    encryption; for a receiver of one's own."""

    allow_private: bool
    timeout_seconds: float


def post(url: str, body: bytes, headers: Mapping[str, str], policy: Policy) -> None:
    """Returns once the other side has answered with success.

    Raises DeliveryError for an address that is not allowed, one that cannot be reached within the
    time, and every answer but 2xx.
    """
    parts = _split(url, policy)
    connection = _connection(parts, policy)
    try:
        with _ending(connection, policy.timeout_seconds):
            target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
            connection.request("POST", target, body, dict(headers))
            answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        # Their messages may quote the address.
        raise DeliveryError(f"no answer ({type(error).__name__})") from None
    finally:
        connection.close()
    _judge(answer.status, answer.headers.get("Retry-After", ""))


def _split(url: str, policy: Policy) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise DeliveryError("its address is no URL", is_final=True) from None
    if not parts.hostname or not port_is_valid or parts.scheme not in _DEFAULT_PORTS:
        raise DeliveryError("its address is no URL of https", is_final=True)
    if parts.scheme == "http" and not policy.allow_private:
        raise DeliveryError("its address is not encrypted (http)", is_final=True)
    if parts.username is not None:
        raise DeliveryError("its address holds a user name, which is not sent", is_final=True)
    return parts


def _connection(parts: SplitResult, policy: Policy) -> http.client.HTTPConnection:
    """Connected to an address that is allowed."""
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise DeliveryError("its host is not known") from None
    places = [(str(address[4][0]), port) for address in found]
    if not policy.allow_private and not all(is_public(place[0]) for place in places):
        raise DeliveryError("its host lies in a private network", is_final=True)
    try:
        opened = _connect(places, policy.timeout_seconds)
        if parts.scheme == "https":
            opened = ssl.create_default_context().wrap_socket(opened, server_hostname=host)
    except OSError as error:
        raise DeliveryError(f"no connection ({type(error).__name__})") from None
    connection = http.client.HTTPConnection(host, port)
    connection.default_port = _DEFAULT_PORTS[parts.scheme]
    connection.sock = opened
    return connection


def is_public(address: str) -> bool:
    """Whether an IP address may be anybody's: no private network, no link, no loopback, no
    multicast, however it is written."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and ip not in _TRANSLATED_WITHIN


def _connect(places: list[tuple[str, int]], timeout_seconds: float) -> socket.socket:
    for number, place in enumerate(places, start=1):
        try:
            return socket.create_connection(place, timeout_seconds)
        except OSError:
            if number == len(places):
                raise
    raise ConnectionError


@contextmanager
def _ending(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    # A socket's own timeout begins anew with every byte that trickles in.
    assert connection.sock is not None
    watch = threading.Timer(seconds, connection.sock.shutdown, [socket.SHUT_RDWR])
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _judge(status: int, retry_after: str) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise DeliveryError(f"answered {status}, a redirect, which is not followed", is_final=True)
    seconds = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else None
    # What is wrong with the request stays wrong; not so a time-out and a crowd.
    is_final = 400 <= status < 500 and status not in (408, 425, 429)
    raise DeliveryError(f"answered {status}", seconds, is_final)
