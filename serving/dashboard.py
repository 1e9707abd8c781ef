"""The dashboard's routes: pages and forms for people.

A browser cannot send a bearer key. Where keys are set, it asks for a name and a password instead,
and the password is a key. As it then logs in by itself, whatever page has it ask, a form is taken
from a page of this very site alone.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from monitoring.kept import acknowledge, silence
from pages.dashboard import HOME, dashboard_page, rollback_page
from serving.gathering import REPORT, Dashboard
from serving.security import Keys, is_meant, is_own_form
from tasks.core.errors import ArtifactError

_log = logging.getLogger(__name__)
_BUNDLE = re.compile(r"evidently-[0-9a-f]{12}\.js", re.ASCII)
_MOST_BYTES, _MOST_FIELDS = 10_000, 10
_FORM = "application/x-www-form-urlencoded"
_ASK = {"WWW-Authenticate": 'Basic realm="Tilth", charset="UTF-8"'}
_HEADERS = {
    # The page has a policy of its own, which names its style.
    "Content-Security-Policy": "frame-ancestors 'none'",
    # Without a referrer a browser names no origin of a form either.
    "Referrer-Policy": "same-origin",
}
# What a report runs is Evidently's, and gets no hold of this site: it counts as another one.
_SANDBOX = {"Content-Security-Policy": "sandbox allow-scripts; frame-ancestors 'none'"}
Line = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Model = TypeVar("Model", bound=BaseModel)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Acknowledged(_Form):
    episode: Line
    by: Line = ""


class Silenced(_Form):
    episode: Line
    hours: Annotated[float, Field(ge=0, le=8760)]


class RolledBack(_Form):
    """What the page showed: of something else by now nothing is done."""

    champion: int
    previous: int


async def _guard(request: Request) -> None:
    keys: Keys = request.app.state.keys
    host, origin = request.headers.get("host"), request.headers.get("origin")
    request.state.by = ""
    if keys:
        authorization = request.headers.get("authorization")
        by = keys.admit(authorization)
        if by is None and not keys.allow(authorization):
            raise HTTPException(401, "a name is needed, and as the password a key", _ASK)
        request.state.by = by or ""
    elif not is_meant(host, origin):
        raise HTTPException(403, "asked from another site, or by another name than localhost")
    if request.method == "POST" and not is_own_form(host, origin):
        raise HTTPException(403, "sent from another site than this one")


dashboard_routes = APIRouter(include_in_schema=False)
_guarded = APIRouter(prefix=HOME, dependencies=[Depends(_guard)])


@_guarded.get("")
async def home(request: Request, days: Literal["1", "7", "30"] = "7") -> Response:
    dashboard: Dashboard = request.app.state.dashboard
    content = await dashboard.content(int(days), request.state.by)
    # Predictions do not wait while it is drawn.
    return _page(await asyncio.to_thread(dashboard_page, content))


@_guarded.post("/acknowledge")
async def take_on(request: Request) -> Response:
    told = await _read(request, Acknowledged)
    dashboard: Dashboard = request.app.state.dashboard
    by = told.by or request.state.by
    return await _answer(acknowledge, dashboard, told.episode, by, datetime.now(UTC))


@_guarded.post("/silence")
async def be_silent(request: Request) -> Response:
    told = await _read(request, Silenced)
    until = datetime.now(UTC) + timedelta(hours=told.hours)
    return await _answer(silence, request.app.state.dashboard, told.episode, until)


@_guarded.get("/rollback")
async def ask_first(request: Request) -> Response:
    dashboard: Dashboard = request.app.state.dashboard
    return _page(rollback_page(await asyncio.to_thread(dashboard.way_back)))


@_guarded.post("/rollback")
async def roll_back(request: Request) -> Response:
    told = await _read(request, RolledBack)
    dashboard: Dashboard = request.app.state.dashboard
    await dashboard.roll_back(told.champion, told.previous)
    return RedirectResponse(HOME, 303)


@dashboard_routes.get(f"{HOME}/reports/{{name}}")
async def report(request: Request, name: str) -> Response:
    """Evidently's report of a window, or the bundle that all reports share: a file of a library,
    which a browser asks for as another site would."""
    is_bundle = _BUNDLE.fullmatch(name) is not None
    if not is_bundle:
        await _guard(request)
    path = request.app.state.dashboard.reports / name
    if not (is_bundle or REPORT.fullmatch(name)) or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, headers={} if is_bundle else _SANDBOX)


dashboard_routes.include_router(_guarded)


def _page(html: str) -> Response:
    return HTMLResponse(html, headers=_HEADERS)


async def _answer(say: Callable[..., bool], dashboard: Dashboard, *told: object) -> Response:
    """Keeps what somebody says of an episode."""
    try:
        is_known = await asyncio.to_thread(say, dashboard.store, *told)
    except ArtifactError as error:
        _log.error("an answer cannot be kept: %s", error)
        raise HTTPException(503, "the store cannot be written") from None
    if not is_known:
        raise HTTPException(404, "there is no such episode")
    return RedirectResponse(f"{HOME}#section-2", 303)


async def _read(request: Request, kind: type[Model]) -> Model:
    """Raises HTTPException: 415 for another type, 422 for what is not what the form asked for, and
    as `PendingBytes.body`."""
    if request.headers.get("content-type", "").partition(";")[0] != _FORM:
        raise HTTPException(415, f"expected {_FORM}")
    seconds = request.app.state.service.settings.body_seconds
    async with request.app.state.pending.body(request, _MOST_BYTES, seconds) as body:
        try:
            pairs = parse_qsl(body.decode("ascii"), True, max_num_fields=_MOST_FIELDS)
            return kind.model_validate(dict(pairs))
        except ValidationError as error:
            where = ".".join(str(place)[:40] for place in error.errors()[0]["loc"])
            raise HTTPException(422, f"{where}: is not what the form asked for") from None
        except ValueError:
            raise HTTPException(422, "is no form") from None
