"""What the dashboard shows, gathered where it stands: the store, the registry, kept images."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitoring.images import KeptImages, load_cipher
from monitoring.store import Store, parse_store
from serving.decoders import Decoder
from serving.rollbacks import Rollbacks
from serving.service import Service
from tasks.artifacts.registry import REGISTRY, load_registry
from tasks.core.errors import ArtifactError, TilthError
from tasks.core.incoming import Incoming
from tasks.core.thumbnails import png_thumbnail

REPORT = re.compile(r"\d{8}T\d{6}-\d{8}T\d{6}\.html", re.ASCII)
_OURS = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CHAMPION = Path("models/champion")
_NUM_WORST, _NUM_EXAMPLES, _NUM_REPORTS = 3, 8, 5
_SHOWN = ("incident", "drift", "unclear")
_MOST_PIXELS = 128


class Dashboard:
    """One request at a time: a page that is loaded again and again keeps no predictions waiting."""

    def __init__(self, service: Service) -> None:
        """Raises ParamsError if a setting names something that is not there."""
        settings = service.settings
        self._service = service
        self._url = parse_store(settings.store)
        self.store = Store(self._url)
        self._images = KeptImages(settings.folder / "images", load_cipher(settings.image_key))
        self._decoder: Decoder | None = None
        self._turn = asyncio.Lock()
        self.reports = settings.folder / "checks"
        self.rollbacks = Rollbacks(Path.cwd())

    async def close(self) -> None:
        await self.rollbacks.close()
        if self._decoder is not None:
            self._decoder.close()
        self.store.close()

    async def content(self, num_days: int, by: str) -> dict[str, Any]:
        """For `pages.dashboard`; `by`: whom an answer comes from."""
        champion = self._service.champion
        now = datetime.now(UTC)
        async with self._turn:
            found = await asyncio.to_thread(self._look_back, now, num_days)
        return {
            "now": now.timestamp(),
            "served": None if champion is None else champion.entry["version"],
            "by": by,
            **found,
            **self.way_back(),
        }

    async def roll_back(self, champion: int, previous: int) -> None:
        """Back from one version to the other, unless they are others by now."""
        rollbacks, found = self.rollbacks, self.way_back()
        asked = {"champion": champion, "previous": previous}
        is_shown = found["rollback"]["is_possible"] and asked.items() <= found["models"].items()
        if is_shown or rollbacks.is_under_way:
            await rollbacks.ask(champion)
            return
        rollbacks.tone = "warning"
        rollbacks.outcome = (
            f"Nothing was done: version {champion} is not the champion any more, or {previous} not "
            "the one before it."
        )

    def way_back(self) -> dict[str, Any]:
        """What `pages.dashboard` wants to know of models and rollbacks."""
        models, why_not = self._models()
        rollback = {
            "is_possible": not why_not,
            "why_not": why_not,
            "tone": self.rollbacks.tone,
            "outcome": self.rollbacks.outcome,
        }
        return {"models": models, "rollback": rollback}

    def _models(self) -> tuple[dict[str, Any], str]:
        """What the registry says, and why there is no way back to the previous version, or ""."""
        settings = self._service.settings
        models: dict[str, Any] = {"versions": [], "champion": None, "previous": None, "failure": ""}
        try:
            registry = load_registry(settings.registry)
        except ArtifactError as error:
            return models | {"failure": str(error)}, "the registry cannot be read"
        models |= {
            "versions": [one.model_dump() for one in registry.versions],
            "champion": registry.aliases.champion,
            "previous": registry.aliases.previous,
        }
        previous = registry.find(registry.aliases.previous)
        served = (settings.champion.resolve(), settings.registry.resolve())
        if served != (_CHAMPION.resolve(), REGISTRY.resolve()):
            return models, "what is served is not the champion of this checkout"
        if registry.champion is None or previous is None or previous.md5 is None:
            return models, "no previous version is known"
        return models, ""

    def _look_back(self, now: datetime, num_days: int) -> dict[str, Any]:
        # It takes a while to import, and most who serve never look.
        from monitoring.overview import look_back

        found: dict[str, Any] = {"overview": None, "failure": "", "worst": [], "reports": []}
        if self._url.drivername == "sqlite" and not Path(str(self._url.database)).is_file():
            return found
        try:
            overview = look_back(self.store, now, num_days)
            worst = [self._example_of(check) for check in worst_of(overview["checks"])]
        except TilthError as error:
            return found | {"failure": str(error)}
        return found | {"overview": overview, "worst": worst, "reports": self._find_reports()}

    def _find_reports(self) -> list[str]:
        if not self.reports.is_dir():
            return []
        names = [path.name for path in self.reports.iterdir() if REPORT.fullmatch(path.name)]
        return sorted(names, reverse=True)[:_NUM_REPORTS]

    def _example_of(self, check: Mapping[str, Any]) -> dict[str, Any]:
        from monitoring.overview import find_examples

        examples = find_examples(self.store, check, _NUM_EXAMPLES)
        ids = [one["prediction_id"] for one in examples]
        return {"check": check, "examples": examples, "pictures": self._pictures(ids)}

    def _pictures(self, ids: Sequence[str]) -> dict[str, bytes]:
        """PNGs of those that were kept and can be read, as the model that is served sees them."""
        champion = self._service.champion
        # Others may have named their predictions as they like, and our files have ours.
        files = {name: self._load(name) for name in ids if _OURS.fullmatch(name)}
        kept = [(name, data) for name, data in files.items() if data is not None]
        if champion is None or not kept:
            return {}
        if self._decoder is None:
            self._decoder = Decoder(self._service.settings.decode_seconds)
        canonical = champion.described.canonical
        taken = self._decoder.take_in([(data, "") for _, data in kept], canonical)
        return {
            name: png_thumbnail(one.pixels, _MOST_PIXELS)
            for (name, _), one in zip(kept, taken, strict=True)
            if isinstance(one, Incoming)
        }

    def _load(self, name: str) -> bytes | None:
        try:
            return self._images.load(name)
        except (ArtifactError, OSError):
            return None


def worst_of(checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of those that found something the worst, the data that are broken first."""
    found = [check for check in checks if check["verdict"] in _SHOWN]
    return sorted(found, key=_badness, reverse=True)[:_NUM_WORST]


def _badness(check: Mapping[str, Any]) -> tuple[bool, float]:
    """By how many times its floor a family was apart."""
    floors = check["params"]["floors"]
    times = [
        family["effect"] / floors[name]
        for name, family in (check["families"] or {}).items()
        if floors.get(name, 0) > 0
    ]
    return check["verdict"] == "incident", max(times, default=0.0)
