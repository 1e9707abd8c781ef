"""Asks a server over and over: `python -m benchmarks.load <address> <image> <clients> <seconds>`.

Each client sends the next request as soon as it has its answer, over one connection. Written on
sockets: a client library would take more time than what is measured. Prints JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

_WARM_UP = 0.2


class Load(NamedTuple):
    """Requests per second, milliseconds that quantiles of them took, and how many failed."""

    per_second: float
    p50: float
    p95: float
    p99: float
    num_failed: int


def form_request(image: bytes, host: str) -> bytes:
    """One image in a form, as curl sends it."""
    body = (
        b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + image + b"\r\n--edge--\r\n"
    )
    head = (
        f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    return head.encode() + body


async def ask(
    host: str, port: int, request: bytes, end: float, took: list[tuple[float, float, bool]]
) -> None:
    """Adds (when, seconds, whether it was answered with 200) for each request."""
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < end:
        begun = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        took.append((begun, time.perf_counter() - begun, head.startswith(b"HTTP/1.1 200")))
    writer.close()


async def load(address: str, image: bytes, num_clients: int, seconds: float) -> Load:
    """What so many clients get in so many seconds, of which the first fifth is left out."""
    place = urlsplit(address)
    assert place.hostname is not None and place.port is not None, address
    request = form_request(image, place.netloc)
    took: list[tuple[float, float, bool]] = []
    begun = time.perf_counter()
    end = begun + seconds
    await asyncio.gather(
        *(ask(place.hostname, place.port, request, end, took) for _ in range(num_clients))
    )
    counted = [one for one in took if one[0] >= begun + _WARM_UP * seconds]
    answered = np.array([spent for _, spent, is_good in counted if is_good])
    last = max(when + spent for when, spent, _ in counted)
    p50, p95, p99 = (np.quantile(answered, [0.5, 0.95, 0.99]) * 1000).tolist()
    per_second = len(answered) / (last - begun - _WARM_UP * seconds)
    return Load(per_second, p50, p95, p99, len(counted) - len(answered))


def main(argv: list[str]) -> None:
    address, image, num_clients, seconds = argv
    found = load(address, Path(image).read_bytes(), int(num_clients), float(seconds))
    print(json.dumps(asyncio.run(found)._asdict()))


if __name__ == "__main__":
    main(sys.argv[1:])
