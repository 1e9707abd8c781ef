"""A webhook's other end, on loopback: answers as it is told to, and remembers who came when."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """After so many seconds; a status of 0 closes the connection without a word."""

    status: int = 200
    headers: Mapping[str, str] = {}
    seconds: float = 0.0


class Request(NamedTuple):
    key: str
    document: dict[str, Any]


class Receiver:
    """`requests`, in order of arrival. What it answers is asked of `reply`, given how often this
    key came before."""

    def __init__(self, reply: Callable[[int], Reply]) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self._reply, self._lock = reply, threading.Lock()

    @property
    def keys(self) -> Counter[str]:
        return Counter(request.key for request in list(self.requests))

    def take(self, request: Request) -> Reply:
        with self._lock:
            before = sum(one.key == request.key for one in self.requests)
            self.requests.append(request)
        return self._reply(before)


@contextmanager
def receiving(reply: Callable[[int], Reply]) -> Iterator[Receiver]:
    """A receiver that listens for as long as the block lasts."""
    receiver = Receiver(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = receiver.take(Request(self.headers["Idempotency-Key"], json.loads(body)))
            time.sleep(said.seconds)
            if not said.status:
                return
            self.send_response(said.status)
            for name, value in {**said.headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def finish(self) -> None:
            # Whoever asked may be dead by now.
            try:
                super().finish()
            except OSError:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield receiver
        server.shutdown()
