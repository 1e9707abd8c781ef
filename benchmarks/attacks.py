"""Requests that must not be answered, or must not harm, against a real server."""

from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from benchmarks.gate_fuzz import find_faults
from benchmarks.served import Server, serving

_KEY = "a-key-of-32-characters-or-so-0001"
_MARKUP = "<script>alert(1)</script>"
_SECRET = "what nobody outside may read"
_PATHS = ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/%252e%252e/secret", "//secret",
          "/model/../../secret", "/static/..%5csecret", "/%00", "/secret")  # fmt: skip


class Attacked(NamedTuple):
    """What was tried how often, and how often it was not turned away as it should be."""

    name: str
    num_bad: int
    num_tried: int


def attack(folder: Path, image: bytes, num_examples: int) -> Iterator[Attacked]:
    """All attacks on a server in `folder`, where a model is published."""
    (folder / "secret").write_text(_SECRET)
    environ = {"BENCHMARK_KEY": _KEY}
    with serving(folder, environ, key="env:BENCHMARK_KEY") as server, server.client() as client:
        yield _without_key(client, image)
    with serving(folder, max_body_bytes=4_000_000) as server, server.client() as client:
        name = "path traversal answered with a file or an error of ours"
        yield _count(name, _PATHS, lambda path: _leaks(server.address, path))
        yield _hostile_images(client)
        yield _oversized(client)
        yield _markup(client, image)
        yield _schemathesis(server, num_examples)


def _count(name: str, cases, is_bad: Callable[..., bool]) -> Attacked:
    tried = list(cases)
    return Attacked(name, sum(bool(is_bad(case)) for case in tried), len(tried))


def _leaks(address: str, path: str) -> bool:
    # Not by httpx, which would set some paths right.
    connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("GET", path)
    answered = connection.getresponse()
    text = answered.read().decode("utf-8", "replace")
    connection.close()
    return answered.status not in (400, 404) or _SECRET in text


def _without_key(client: httpx.Client, image: bytes) -> Attacked:
    keys = ("", "Bearer", f"Bearer {_KEY}x", f"Bearer {_KEY[:-1]}", f"Basic {_KEY}", _KEY)
    routes = (("GET", "/"), ("GET", "/model"), ("GET", "/metrics"), ("GET", "/openapi.json"),
              ("POST", "/predict"), ("POST", "/feedback"))  # fmt: skip
    cases = [(key, method, path) for key in keys for method, path in routes]

    def is_let_in(case: tuple[str, str, str]) -> bool:
        key, method, path = case
        headers = {"Authorization": key} if key else {}
        files = {"image": ("a.png", image)} if path == "/predict" else None
        return client.request(method, path, headers=headers, files=files).status_code != 401

    return _count("without a key or with a wrong one let in", cases, is_let_in)


def _hostile_images(client: httpx.Client) -> Attacked:
    faults = [fault for fault in find_faults() if len(fault.data) < 4_000_000]

    def is_taken(fault) -> bool:
        answered = client.post("/predict", files={"image": (fault.name, fault.data)})
        if answered.status_code != 200:
            return True
        return answered.json()["predictions"][0]["refused"] != fault.reason

    return _count("hostile images not refused for their reason", faults, is_taken)


def _oversized(client: httpx.Client) -> Attacked:
    def is_taken(size: int) -> bool:
        answered = client.post("/predict", files={"image": ("a.png", bytes(size))})
        return answered.status_code != 413

    return _count("oversized bodies taken", [4_000_001, 8_000_000, 60_000_000], is_taken)


def _markup(client: httpx.Client, image: bytes) -> Attacked:
    def is_shown(case: tuple[str, dict]) -> bool:
        path, options = case
        answered = client.request("POST" if options.get("post") else "GET", path,
                                  **options.get("with", {}))  # fmt: skip
        is_page = answered.headers.get("content-type", "").startswith("text/html")
        return answered.status_code >= 500 or (is_page and _MARKUP in answered.text)

    headers = {"User-Agent": _MARKUP, "X-Forwarded-For": _MARKUP}
    told = {"prediction_id": "0" * 32, "label": _MARKUP}
    cases: list[tuple[str, dict]] = [
        (f"/{_MARKUP}", {}),
        ("/", {"with": {"headers": headers}}),
        ("/model", {"with": {"headers": headers}}),
        ("/feedback", {"post": True, "with": {"json": told}}),
        ("/predict", {"post": True, "with": {"files": {_MARKUP: (_MARKUP, image)}}}),
    ]
    return _count("markup in labels, names and headers shown as markup", cases, is_shown)


def _schemathesis(server: Server, num_examples: int) -> Attacked:
    """What the OpenAPI document allows and forbids, at random: answers that are errors of ours."""
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from schemathesis.generation import GenerationMode

    schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    counts = {"tried": 0, "bad": 0}
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        # What takes nothing cannot be asked wrongly.
        for mode in GenerationMode if operation.body else [GenerationMode.POSITIVE]:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=num_examples, deadline=None, database=None, derandomize=True,
                suppress_health_check=list(HealthCheck),  # type: ignore[arg-type]
            )  # fmt: skip
            def ask(case) -> None:
                counts["tried"] += 1
                counts["bad"] += case.call().status_code >= 500

            ask()
    return Attacked("errors of ours found by schemathesis", counts["bad"], counts["tried"])
