"""What every answer has in common: it is counted, timed, and has the headers of security.py."""

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.gauges import Gauges
from serving.security import HEADERS

_log = logging.getLogger(__name__)
_FAILED = JSONResponse({"detail": "an error of ours; the log tells of it"}, 500)


class Watched:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, gauges: Gauges) -> None:
        self._app, self._gauges = app, gauges

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            _log.exception("%s failed", scope["path"])
            if not status:
                await _FAILED(scope, receive, answer)
        finally:
            route = scope.get("route")
            # Only paths that exist: others would be as many as strangers care to ask for.
            path = "other" if route is None else route.path
            self._gauges.requests.labels(path, status).inc()
            self._gauges.seconds.labels(path).observe(time.monotonic() - begun)
