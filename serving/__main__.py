"""Serves the published model: `python -m serving`, or `make serve`; with the dashboard opened in a
browser, `python -m serving --watch`, or `make watch`.

Settings come from the environment; `--help` lists them.
"""

import argparse
import gc
import logging
import os
import signal
import sys
from contextlib import suppress

import uvicorn

from serving.app import make_app
from serving.opening import dashboard_address, is_served, show, show_once_started
from serving.settings import describe_settings, load_settings
from tasks.core.errors import TilthError


def main(argv: list[str]) -> int:
    """Exit status: 0 ended as asked, 1 a user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description=f"{__doc__}\n{describe_settings()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="open the dashboard; that of the service that runs here already, if there is one",
    )
    is_shown = parser.parse_args(argv).watch
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = load_settings(os.environ)
        address = dashboard_address(settings, settings.port)
        if is_shown and settings.port and is_served(address):
            show(address)
            return 0
        app = make_app(settings)
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=round(settings.answer_seconds) + 1,
    )
    server = uvicorn.Server(config)
    if is_shown:
        show_once_started(server, settings)
    # Once all is answered and kept, uvicorn hands the signal on that it was asked to stop by.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # What is there now stays; the collector would go through it over and over.
    gc.freeze()
    with suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
