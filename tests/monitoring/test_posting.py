"""Posts against a real server on this machine: where they go, what ends them, what they tell."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from monitoring.posting import DeliveryError, Policy, is_public, post

OWN = Policy(allow_private=True, timeout_seconds=5)
Answer = Callable[[socket.socket], None]


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that reads a request and answers so; what it was sent."""
    received: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # Who does not come to speak leaves without a word.
            with suppress(EOFError):
                received.append(_whole_request(self.request))
                answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", received
        server.shutdown()


def _whole_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(next(line for line in head.split(b"\r\n") if b"Content-Length" in line)[16:])
    while len(body) < length:
        body += _some(connection)
    return head + b"\r\n\r\n" + body


def _some(connection: socket.socket) -> bytes:
    """Raises EOFError where the other end has closed."""
    if not (data := connection.recv(4096)):
        raise EOFError
    return data


def answers(line: str, *headers: str) -> Answer:
    text = "\r\n".join([f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "", ""])
    return lambda connection: connection.sendall(text.encode())


def fails(url: str, policy: Policy = OWN) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        post(url, b"{}", {}, policy)
    return caught.value


def test_body_and_headers_arrive():
    with serving(answers("204 No Content")) as (url, received):
        post(f"{url}/hooks/1?a=b", b'{"a": 1}', {"Idempotency-Key": "k1"}, OWN)
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hooks/1?a=b HTTP/1.1\r\n")
    assert b"Idempotency-Key: k1" in head
    assert body == b'{"a": 1}'


def test_a_redirect_is_not_followed():
    with serving(answers("200 OK")) as (inner, reached):
        redirect = answers("307 Temporary Redirect", f"Location: {inner}/secret")
        with serving(redirect) as (url, received):
            error = fails(url)
    assert (str(error), error.is_final) == ("answered 307, a redirect, which is not followed", True)
    assert (len(received), reached) == (1, [])


@pytest.mark.parametrize(
    ("answer", "seconds", "is_final"),
    [
        (answers("500 Internal Server Error"), None, False),
        (answers("503 Service Unavailable", "Retry-After: 7"), 7, False),
        (answers("429 Too Many Requests", "Retry-After: 30"), 30, False),
        (
            answers("429 Too Many Requests", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT"),
            None,
            False,
        ),
        (answers("404 Not Found"), None, True),
    ],
)
def test_refusals_say_whether_to_try_again(answer, seconds, is_final):
    with serving(answer) as (url, _):
        error = fails(url)
    assert (error.retry_after_seconds, error.is_final) == (seconds, is_final)


def trickle(connection: socket.socket) -> None:
    """A byte of the answer every now and then, for longer than anybody waits."""
    for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 400:
        try:
            connection.sendall(bytes([letter]))
        except OSError:
            return
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [lambda _: time.sleep(3), trickle])
def test_who_hangs_or_trickles_is_left(answer):
    with serving(answer) as (url, _):
        assert str(fails(url, Policy(True, 0.3))).startswith("no answer (")


def test_an_answer_that_is_none_and_a_closed_door():
    with serving(lambda connection: connection.sendall(b"hello\r\n\r\n")) as (url, _):
        assert str(fails(url)) == "no answer (BadStatusLine)"
    assert str(fails(url)) == "no connection (ConnectionRefusedError)"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("::1", "fe80::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "2002:7f00:1::"),
        *("224.0.0.1", "100.64.0.1", "::", "64:ff9b:1::1", "64:ff9b::7f00:1"),
    ],
)
def test_addresses_of_nobody_are_private(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_addresses_of_anybody_are_public(address):
    assert is_public(address)


def test_this_machine_is_refused_however_it_is_written():
    with serving(answers("200 OK")) as (url, received):
        port = url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
            error = fails(f"https://{host}:{port}/", Policy(False, 1))
            assert error.is_final or "not known" in str(error)
    assert received == []


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://example.org", "https://", "https://[::1", "example.org"),
        *("https://example.org:0/", "https://example.org:99999/", "http://example.org/"),
        "https://user:password@example.org/",
    ],
)
def test_what_is_no_address_is_refused_and_not_quoted(url):
    error = fails(url, Policy(False, 1))
    assert error.is_final
    assert url not in str(error) and "password" not in str(error)


def test_a_line_break_in_an_address_or_header_sends_nothing():
    with serving(answers("200 OK")) as (url, received):
        for path in ("/a b", "/a\x00b"):
            assert str(fails(url + path)) == "no answer (InvalidURL)"
        with pytest.raises(ValueError, match="header"):
            post(url, b"", {"X": "a\r\nY: b"}, OWN)
    assert received in ([], [b""])
