"""`make watch` opens the dashboard of the service that runs, and runs one where none does."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

from benchmarks.record import ROOT
from benchmarks.served import serving, wait_until
from serving.opening import dashboard_address, is_served
from serving.settings import Settings
from tests.serving.champions import make_onnx, publish


def watching(folder, port, opened):
    """`make watch`, with a browser that notes what it is given."""
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "BROWSER": f"{browser} %s",
               "TILTH_SERVE_PORT": str(port)}  # fmt: skip
    command = [sys.executable, "-m", "serving", "--watch"]
    return subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip


def test_the_dashboard_of_a_service_that_runs_is_opened(tmp_path):
    publish(tmp_path, make_onnx())
    with serving(tmp_path) as server:
        opened = tmp_path / "opened"
        process = watching(tmp_path, urlsplit(server.address).port, opened)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said == f"The dashboard: {server.address}/watch\n"
        assert opened.read_text() == f"{server.address}/watch\n"


def test_where_none_runs_one_is_started(tmp_path):
    opened = tmp_path / "opened"
    process = watching(tmp_path, 0, opened)
    try:
        wait_until(opened.is_file)
        wait_until(lambda: opened.read_text() != "")
        address = opened.read_text().strip()
        assert is_served(address)
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_another_that_listens_there_is_not_taken_for_ours():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "fine"}')

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        assert not is_served(f"http://127.0.0.1:{other.server_port}/watch")
        other.shutdown()
    assert not is_served(f"http://127.0.0.1:{other.server_port}/watch")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:81/watch"),
        ("0.0.0.0", "http://127.0.0.1:81/watch"),
        ("::", "http://[::1]:81/watch"),
        ("localhost", "http://localhost:81/watch"),
    ],
)
def test_the_address_is_one_that_a_browser_here_can_open(host, address):
    assert dashboard_address(Settings(host=host), 81) == address
