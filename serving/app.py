"""The routes, and what each says of itself in the OpenAPI document."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pages.service import service_page
from serving.batching import FullError
from serving.bodies import RETRY, PendingBytes, asked_schema, parse_json, parse_uploads
from serving.dashboard import Dashboard, dashboard_routes
from serving.predictor import Prediction
from serving.security import Keys, is_meant, load_keys
from serving.service import NoModelError, Service
from serving.settings import Settings
from serving.watching import Watched
from tasks.core.errors import ArtifactError
from tasks.core.names import Label

_log = logging.getLogger(__name__)
PredictionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Answer(BaseModel):
    """What is said of one image. `label` is null where the image is refused (`refused` is the
    gate's code, `detail` a sentence) and where the model abstains, as it is too unsure."""

    prediction_id: str
    label: str | None
    confidence: float | None
    probabilities: dict[str, float]
    abstained: bool
    refused: str
    detail: str


class Answers(BaseModel):
    """In the order of the images."""

    model_sha256: str
    predictions: list[Answer]


class Feedback(BaseModel):
    """The true class of an image that was predicted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prediction_id: PredictionId
    label: Annotated[Label, Field(max_length=100, min_length=1)]


class State(BaseModel):
    status: str


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


_FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
    },
}
_MOST_FEEDBACK_BYTES = 10_000


def _body(schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    content = {kind: {"schema": schema} for kind, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def _problems(**codes: str) -> dict[int | str, dict[str, Any]]:
    return {
        int(code.removeprefix("s")): {"model": Problem, "description": text}
        for code, text in codes.items()
    }


_GUARDED = _problems(s401="a key is needed, and this is none", s403="another site asks")
_REFUSED = _problems(
    s400="the request is not HTTP, or ended before its time",
    s408="the body took too long",
    s413="too many bytes or images",
    s415="neither a form nor JSON",
    s422="the body is not what it says",
    s429="too much waits; Retry-After says when to come again",
    s503="no model is published, or predictions cannot be kept",
    s504="the answer took too long",
)
open_routes, guarded_routes = APIRouter(), APIRouter()


def make_app(settings: Settings) -> FastAPI:
    """Raises TilthError if a setting names something that is not there."""
    service, keys = Service(settings), load_keys(settings.key)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()
            await app.state.dashboard.close()

    app = FastAPI(
        title="Tilth",
        version="1",
        summary="Labels of images, by the published model.",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service, app.state.keys, app.state.dashboard = service, keys, Dashboard(service)
    app.state.pending = PendingBytes(settings.max_pending_bytes)
    app.add_middleware(Watched, gauges=service.gauges)
    app.include_router(open_routes)
    app.include_router(guarded_routes, dependencies=[Depends(_guard)], responses=_GUARDED)
    app.include_router(dashboard_routes)
    return app


async def _guard(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> None:
    keys: Keys = request.app.state.keys
    if keys:
        if not keys.allow(request.headers.get("authorization")):
            raise HTTPException(401, "a key is needed", {"WWW-Authenticate": "Bearer"})
    elif not is_meant(request.headers.get("host"), request.headers.get("origin")):
        raise HTTPException(403, "asked from another site, or by another name than localhost")


@guarded_routes.post(
    "/predict",
    response_model=Answers,
    responses=_REFUSED,
    openapi_extra=_body({"multipart/form-data": _FORM, "application/json": asked_schema()}),
)
async def predict(request: Request) -> Response:
    """Predicts one image or several: files of a form, whatever their fields are called, or JSON
    with base64. An image that cannot be used is no error of the request: its answer says why."""
    begun = time.monotonic()
    service: Service = request.app.state.service
    settings, pending = service.settings, request.app.state.pending
    async with pending.body(request, settings.max_body_bytes, settings.body_seconds) as body:
        uploads = await parse_uploads(request, body, settings.max_images)
        try:
            predictions = await service.predict(uploads, begun)
        except FullError:
            raise HTTPException(429, "too many images wait", RETRY) from None
        except NoModelError:
            raise HTTPException(503, "no model is published", {"Retry-After": "10"}) from None
        except TimeoutError:
            raise HTTPException(504, "the answer took too long", RETRY) from None
        except ArtifactError as error:
            _log.error("not answered, as it cannot be kept: %s", error)
            raise HTTPException(503, "predictions cannot be kept", RETRY) from None
    answers = [_answer(one) for one in predictions]
    return JSONResponse({"model_sha256": predictions[0].model_sha256, "predictions": answers})


def _answer(one: Prediction) -> dict[str, Any]:
    shares = [] if one.probabilities_K is None else one.probabilities_K.round(6).tolist()
    return {
        "prediction_id": one.prediction_id,
        "label": None if one.abstained else one.predicted,
        "confidence": max(shares) if shares else None,
        "probabilities": dict(zip(one.classes, shares, strict=False)),
        "abstained": one.abstained,
        "refused": one.refused,
        "detail": one.detail,
    }


@guarded_routes.post(
    "/feedback",
    status_code=202,
    response_model=State,
    responses=_REFUSED,
    openapi_extra=_body({"application/json": Feedback.model_json_schema()}),
)
async def feedback(request: Request) -> Response:
    """Keeps the true class of an image that was predicted; told again, the last one counts."""
    service: Service = request.app.state.service
    pending, seconds = request.app.state.pending, service.settings.body_seconds
    async with pending.body(request, _MOST_FEEDBACK_BYTES, seconds) as body:
        told = parse_json(body, Feedback)
    try:
        await service.take_feedback(told.prediction_id, told.label)
    except ArtifactError as error:
        _log.error("feedback cannot be kept: %s", error)
        raise HTTPException(503, "feedback cannot be kept", RETRY) from None
    return JSONResponse({"status": "kept"}, 202)


@open_routes.get("/health", response_model=State)
async def health() -> Response:
    """Whether the process lives."""
    return JSONResponse({"status": "alive"})


@open_routes.get("/ready", response_model=State, responses=_problems(s503="no model is published"))
async def ready(request: Request) -> Response:
    """Whether it can predict."""
    if request.app.state.service.champion is None:
        return JSONResponse({"detail": "no model is published"}, 503, RETRY)
    return JSONResponse({"status": "ready"})


@guarded_routes.get("/model", responses=_problems(s503="no model is published"))
async def model(request: Request) -> Response:
    """The model's card: version, classes, what the registry knows of it, which images it takes."""
    champion = request.app.state.service.champion
    if champion is None:
        return JSONResponse({"detail": "no model is published"}, 503, RETRY)
    described = champion.described
    card = {
        **champion.entry,
        "classes": described.classes,
        "images": described.canonical.model_dump(),
        "temperature": described.temperature,
        "abstention": described.abstention,
    }
    return JSONResponse(card)


@guarded_routes.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    text = generate_latest(request.app.state.service.gauges.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@guarded_routes.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    return JSONResponse(request.app.openapi())


@guarded_routes.get("/", response_class=HTMLResponse)
async def page(request: Request) -> Response:
    """This page: what can be asked, and how."""
    html = service_page(request.app.openapi())
    # The page has a policy of its own, which names its style.
    return HTMLResponse(html, headers={"Content-Security-Policy": "frame-ancestors 'none'"})
