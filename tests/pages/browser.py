"""Headless Chromium, and an address that hostile pages may name."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def dump(page, folder, *options):
    """Open a page in headless Chromium; return its document as HTML and the browser's log."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("chromium is not installed")
    finished = subprocess.run(
        [
            binary,
            *SWITCHES,
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return finished.stdout, finished.stderr


@contextmanager
def elsewhere_opened() -> Iterator[tuple[str, list[str]]]:
    """An address that a page may ask for things, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


class Tab:
    """A tab of a running Chromium, driven as a person does: it types, and looks."""

    def __init__(self, socket: Connection) -> None:
        self._socket, self._number = socket, 0
        self.asked: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """https://chromedevtools.github.io/devtools-protocol/"""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(timeout=30))
            if told.get("method") == "Network.requestWillBeSent":
                self.asked.append(told["params"]["request"]["url"])
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]

    def evaluate(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def wait_for(self, holds: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not self.evaluate(holds):
            assert time.monotonic() < deadline, f"{holds} does not hold"
            time.sleep(0.02)

    def press(self, key: str, text: str = "") -> None:
        code = {"Tab": 9, "Enter": 13}[key]
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)


@contextmanager
def driving(folder: Path, width: int, height: int) -> Iterator[Tab]:
    """A tab of so many pixels, in a Chromium of its own."""
    binary = shutil.which("chromium")
    assert binary is not None
    profile = folder / "driven"
    arguments = [*SWITCHES, "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    process = subprocess.Popen([binary, *arguments, "about:blank"], stderr=subprocess.DEVNULL)
    try:
        port = _await_port(profile / "DevToolsActivePort", process)
        with urlopen(f"http://127.0.0.1:{port}/json", timeout=20) as answered:
            pages = [one for one in json.load(answered) if one["type"] == "page"]
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            tab = Tab(socket)
            for domain in ("Page", "Network", "Runtime"):
                tab.call(f"{domain}.enable")
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            tab.call("Emulation.setDeviceMetricsOverride", **size)
            yield tab
    finally:
        process.kill()
        process.wait()


def _await_port(file: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while not (lines := file.read_text().splitlines() if file.is_file() else []):
        assert process.poll() is None and time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.02)
    return lines[0]
