"""The bodies of requests: read within limits, taken apart into images."""

import asyncio
import binascii
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import HTTPException, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from tasks.artifacts.predictions import SCHEMA

Model = TypeVar("Model", bound=BaseModel)
RETRY = {"Retry-After": "1"}


def _not_taken(name: str) -> str:
    if name in SCHEMA.names:
        raise ValueError(f"{name!r} is the name of something that is kept anyway")
    return name


Name = Annotated[str, StringConstraints(max_length=255)]
MetadataKey = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$"), AfterValidator(_not_taken)
]
# No control characters: PostgreSQL cannot keep all of them, and nobody needs one.
MetadataText = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f]*$")]


class Sent(BaseModel):
    """One image in JSON. `name`: its file's, whose extension the gate compares with the content.
    `metadata`: what else is known of it, such as a camera; drift is looked for in it too."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    data: str = Field(description="the file in base64")
    name: Name = ""
    metadata: dict[MetadataKey, MetadataText | float] = Field(default={}, max_length=20)


class Asked(BaseModel):
    """A request in JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: list[Sent] = Field(min_length=1)


def asked_schema() -> dict[str, Any]:
    """The JSON schema of a request, whole in itself: in an OpenAPI document references lead
    elsewhere."""
    schema = Asked.model_json_schema()
    schema["properties"]["images"]["items"] = schema.pop("$defs")["Sent"]
    return schema


class Upload(NamedTuple):
    """One image file as it was sent."""

    data: bytes
    name: str
    metadata: dict[str, Any]


class PendingBytes:
    """What the bodies of all requests hold at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
        """The body of a request, counted for as long as the block lasts.

        Raises HTTPException: 413 beyond `most` bytes, 429 where all requests together hold too
        many, 408 after `seconds`, 400 if the client went away.
        """
        own = 0
        parts: list[bytes] = []
        try:
            stated = request.headers.get("content-length", "")
            if stated.isdecimal() and len(stated) < 20 and int(stated) > most:
                raise _too_large(most)
            try:
                async with asyncio.timeout(seconds):
                    async for part in request.stream():
                        own += len(part)
                        self._held += len(part)
                        if own > most:
                            raise _too_large(most)
                        if self._held > self._most:
                            raise HTTPException(429, "too much is being sent at a time", RETRY)
                        parts.append(part)
            except TimeoutError:
                raise HTTPException(408, f"the body took longer than {seconds:g} s") from None
            except ClientDisconnect:
                raise HTTPException(400, "the body ended before its time") from None
            yield b"".join(parts)
        finally:
            self._held -= own


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"the body has more than {most:,} bytes")


async def parse_uploads(request: Request, body: bytes, max_images: int) -> list[Upload]:
    """The images of a request, in order.

    Raises HTTPException: 415 for another type, 422 for a body that is not what it says, 413 for too
    many images.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = await _parse_form(request, body, max_images)
    elif kind == "application/json":
        uploads = _parse_json(body)
    else:
        raise HTTPException(415, "expected multipart/form-data or application/json")
    if len(uploads) > max_images:
        raise HTTPException(413, f"{len(uploads)} images, expected at most {max_images}")
    return uploads


async def _parse_form(request: Request, body: bytes, max_images: int) -> list[Upload]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    # One more than allowed, so that too many are told apart from a form that is no form.
    parser = MultiPartParser(
        request.headers, stream(), max_files=max_images + 1, max_fields=0, max_part_size=0
    )
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeDecodeError, LookupError, ValueError) as error:
        said = str(getattr(error, "message", "")) or "it cannot be read"
        if said.startswith("Too many files"):
            raise HTTPException(413, f"expected at most {max_images} images") from None
        raise HTTPException(422, f"no form with images: {said}") from None
    try:
        files = [one for _, one in form.multi_items() if isinstance(one, UploadFile)]
        if not files:
            raise HTTPException(422, "the form holds no file")
        return [Upload(await one.read(), (one.filename or "")[-255:], {}) for one in files]
    finally:
        await form.close()


def _parse_json(body: bytes) -> list[Upload]:
    uploads = []
    for number, sent in enumerate(parse_json(body, Asked).images):
        try:
            data = b64decode(sent.data, validate=True)
        except (binascii.Error, ValueError):
            raise HTTPException(422, f"images.{number}.data: is not base64") from None
        uploads.append(Upload(data, sent.name, dict(sent.metadata)))
    return uploads


def parse_json(body: bytes, kind: type[Model]) -> Model:
    """Raises HTTPException 422 with the first mistake, and without what was given: it may be large,
    or nothing that an answer can hold."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(place)[:40] for place in first["loc"])
        raise HTTPException(422, f"{where}: {first['msg']}".removeprefix(": ")) from None
