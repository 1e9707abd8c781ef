"""What a serving machine is told: `TILTH_SERVE_<NAME>` in its environment.

No section of params.yaml: these are matters of the machine, and no stage depends on them. Secrets
stand here by reference alone.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from monitoring.store import DEFAULT_STORE
from tasks.core.errors import ParamsError
from tasks.core.params import explain_validation

PREFIX = "TILTH_SERVE_"
_LOOPBACK_NAME = "localhost"
Days = Annotated[float, Field(gt=0, le=36_500)]


class Settings(BaseModel):
    """Every setting with its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field(
        default="127.0.0.1", description="address to listen on; beyond loopback needs a key"
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8000, description="0: any that is free"
    )
    key: str = Field(
        default="",
        description="where API keys stand, one per line: env:NAME or file:/path; empty: no key",
    )
    champion: Path = Field(
        default=Path("models/champion"), description="the published model's folder"
    )
    registry: Path = Field(
        default=Path("models/registry.json"), description="the registry that names the champion"
    )
    poll_seconds: PositiveFloat = Field(
        default=2.0, description="how often a new champion is looked for"
    )
    num_threads: PositiveInt = Field(default=1, description="threads of ONNX Runtime for a batch")
    num_workers: PositiveInt = Field(
        default=1, description="batches at a time, each with a decoder"
    )
    max_batch: PositiveInt = Field(default=64, description="images predicted together")
    max_queue: PositiveInt = Field(
        default=256, description="images that may wait; more are told 429"
    )
    max_images: PositiveInt = Field(
        default=64, description="images in one request; more are told 413"
    )
    max_body_bytes: PositiveInt = Field(default=64_000_000, description="of one request; more: 413")
    max_pending_bytes: PositiveInt = Field(
        default=512_000_000, description="of all requests at a time; more are told 429"
    )
    body_seconds: PositiveFloat = Field(default=30.0, description="a body that takes longer: 408")
    answer_seconds: PositiveFloat = Field(
        default=30.0, description="an answer that takes longer: 504"
    )
    decode_seconds: PositiveFloat = Field(
        default=10.0, description="an image that takes longer to decode is refused"
    )
    recorded: bool = Field(default=True, description="whether predictions are kept in the store")
    synced: bool = Field(
        default=False,
        description="an answer waits until its record is on the disk itself, and outlives a power "
        "failure; without, the death of the process alone",
    )
    store: str = Field(
        default=DEFAULT_STORE,
        description="sqlite:///file or postgresql://…, or where that address stands (env:, file:)",
    )
    folder: Path = Field(
        default=Path("runs/monitoring"), description="for the journal and the images that are kept"
    )
    max_journal_bytes: PositiveInt = Field(
        default=2_000_000_000, description="kept while the store cannot be reached; beyond: 503"
    )
    keep_days: Days = Field(default=90.0, description="predictions older than that are deleted")
    keep_rows: PositiveInt = Field(default=5_000_000, description="and the oldest beyond so many")
    image_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.05, description="of images kept for people to look at, beside all abstentions"
    )
    image_days: Days = Field(default=30.0, description="after which kept images are deleted")
    image_key: str = Field(
        default="", description="where the Fernet key stands that kept images are encrypted with"
    )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == _LOOPBACK_NAME:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Raises ParamsError, with a line per mistake."""
    given = {
        name.removeprefix(PREFIX).lower(): text
        for name, text in environ.items()
        if name.startswith(PREFIX)
    }
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise ParamsError("\n  ".join(explain_validation(PREFIX[:-1], error, given))) from None
    if not settings.is_local and not settings.key:
        raise ParamsError(
            f"{PREFIX}HOST: {settings.host} can be reached from elsewhere, so a key is needed: "
            f"{PREFIX}KEY=env:NAME or file:/path"
        )
    return settings


def describe_settings() -> str:
    """A line per setting, for `--help`."""
    lines = []
    for name, field in Settings.model_fields.items():
        shown = str(field.default) or "none"
        lines.append(f"  {PREFIX}{name.upper()} ({shown})\n      {field.description}")
    return "\n".join(lines)
