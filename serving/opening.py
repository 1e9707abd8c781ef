"""The dashboard opened for whoever starts the service at a screen of their own."""

import json
import os
import sys
import time
import webbrowser
from http.client import HTTPException
from threading import Thread
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import uvicorn

from pages.dashboard import HOME, ROLLBACK
from serving.settings import Settings

_PATIENCE_SECONDS = 5.0
_EVERY_SECONDS = 0.05
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def dashboard_address(settings: Settings, port: int) -> str:
    """Where a browser of this machine finds it."""
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{HOME}"


def is_served(address: str) -> bool:
    """Whether a service with a dashboard answers there already."""
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(address.removesuffix(HOME) + "/health", timeout=_PATIENCE_SECONDS) as said:
            is_alive = json.load(said) == {"status": "alive"}
        # The page itself takes longer.
        with opener.open(address.removesuffix(HOME) + ROLLBACK, timeout=_PATIENCE_SECONDS):
            return is_alive
    except HTTPError as error:
        # It asks for a key.
        return error.code == 401 and "Tilth" in error.headers.get("WWW-Authenticate", "")
    except (OSError, ValueError, HTTPException):
        return False


def show(address: str) -> None:
    """Tells the address, and opens it where there is a screen."""
    print(f"The dashboard: {address}", flush=True)
    if sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in _SCREENS):
        webbrowser.open(address)


def show_once_started(server: uvicorn.Server, settings: Settings) -> None:
    """Returns at once."""

    def wait() -> None:
        while not server.started:
            if server.should_exit:
                return
            time.sleep(_EVERY_SECONDS)
        show(dashboard_address(settings, server.servers[0].sockets[0].getsockname()[1]))

    Thread(target=wait, name="opening", daemon=True).start()
