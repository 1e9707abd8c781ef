"""The service behind the routes: a champion that may change, a queue, and what is kept."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from monitoring.images import KeptImages, load_cipher, why_kept
from monitoring.journal import Journal
from monitoring.recorder import Recorder, Retention
from monitoring.store import Store, parse_store, to_micros
from serving.batching import Batcher
from serving.bodies import Upload
from serving.champion import Champion, load_champion, seen_state
from serving.decoders import Decoder
from serving.gauges import Gauges
from serving.predictor import Job, Prediction, make_record, new_id, predict_jobs
from serving.settings import Settings
from tasks.core.errors import ArtifactError, TilthError

_log = logging.getLogger(__name__)


class NoModelError(Exception):
    """Nothing is published yet."""


class Service:
    """Begun with `start`, ended with `stop`: what was taken on is answered and kept first."""

    def __init__(self, settings: Settings) -> None:
        """Raises TilthError if a setting names something that is not there, or another server has
        the journal."""
        self.settings = settings
        self.gauges = Gauges()
        self._images = KeptImages(settings.folder / "images", load_cipher(settings.image_key))
        self._recorder = self._make_recorder() if settings.recorded else None
        self.champion: Champion | None = None
        self._seen: tuple = ()

    def _make_recorder(self) -> Recorder:
        settings = self.settings
        store = Store(parse_store(settings.store))
        kept = Retention(settings.keep_days, settings.keep_rows, settings.image_days)
        journal = Journal(settings.folder / "journal", settings.max_journal_bytes)
        recorder = Recorder(journal, store, self._images, kept)
        self.gauges.watch("tilth_journal_bytes", "Not in the store.", lambda: recorder.num_bytes)
        self.gauges.watch("tilth_store_failures", "So far.", lambda: recorder.num_failures)
        return recorder

    async def start(self) -> None:
        settings = self.settings
        if self._recorder is not None:
            self._recorder.start()
        self._decoders = [Decoder(settings.decode_seconds) for _ in range(settings.num_workers)]
        works = [partial(self._work, decoder) for decoder in self._decoders]
        self._batcher = Batcher[Job, Prediction](works, settings.max_batch, settings.max_queue)
        self.gauges.watch("tilth_waiting_images", "Queued.", lambda: self._batcher.num_waiting)
        await self._look()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        self._watcher.cancel()
        with suppress(asyncio.CancelledError):
            await self._watcher
        await self._batcher.close()
        for decoder in self._decoders:
            decoder.close()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.stop)

    async def predict(self, uploads: Sequence[Upload], begun: float) -> list[Prediction]:
        """A prediction for each image, in order; each is kept before this returns.

        Raises:
            NoModelError: nothing is published.
            FullError: too many images wait.
            TimeoutError: it took longer than `answer_seconds`.
            ArtifactError: predictions cannot be kept.
        """
        if self.champion is None:
            raise NoModelError
        request = {
            "request_id": new_id(),
            "received_at": to_micros(datetime.now(UTC)),
            "num_images": len(uploads),
        }
        jobs = [Job(one.data, one.name, one.metadata, request, begun) for one in uploads]
        futures = self._batcher.submit(jobs)
        async with asyncio.timeout(self.settings.answer_seconds):
            return list(await asyncio.gather(*futures))

    async def take_feedback(self, prediction_id: str, label: str) -> None:
        """Raises ArtifactError if it cannot be kept."""
        if self._recorder is None:
            raise ArtifactError("predictions are not kept here, and so no feedback is")
        told = {
            "prediction_id": prediction_id,
            "label": label,
            "given_at": to_micros(datetime.now(UTC)),
        }
        await asyncio.to_thread(self._recorder.append, [{"feedback": told}], self.settings.synced)

    def _work(self, decoder: Decoder, jobs: list[Job]) -> list[Prediction]:
        # The champion of this moment: a swap waits for no batch, and no batch for a swap.
        champion = self.champion
        assert champion is not None
        predictions = predict_jobs(jobs, champion, decoder)
        if self._recorder is not None:
            self._keep(self._recorder, jobs, predictions)
        self.gauges.batches.observe(len(jobs))
        for one in predictions:
            outcome = "refused" if one.refused else "abstained" if one.abstained else "answered"
            self.gauges.predictions.labels(outcome).inc()
        return predictions

    def _keep(self, recorder: Recorder, jobs: list[Job], predictions: list[Prediction]) -> None:
        now = datetime.now(UTC)
        records = []
        for job, one in zip(jobs, predictions, strict=True):
            kept = ""
            if not one.refused:
                fraction = self.settings.image_fraction
                kept = why_kept(one.prediction_id, one.abstained, fraction)
            if kept and not self._keep_image(one.prediction_id, job.data):
                kept = ""
            records.append(make_record(job, one, kept, now))
        recorder.append(records, self.settings.synced)

    def _keep_image(self, prediction_id: str, data: bytes) -> bool:
        # An answer does not fail for want of its picture.
        try:
            self._images.keep(prediction_id, data)
        except ArtifactError as error:
            _log.error("an image is not kept: %s", error)
            return False
        return True

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            await self._look()

    async def _look(self) -> None:
        """Takes on the champion if it is a new one; what cannot be served is told once."""
        settings = self.settings
        seen = seen_state(settings.champion, settings.registry)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            champion = await asyncio.to_thread(
                load_champion, settings.champion, settings.registry, settings.num_threads
            )
        except TilthError as error:
            self.gauges.rejected.inc()
            served = "none is served" if self.champion is None else "the former one is served on"
            _log.warning("no new model: %s; %s", error, served)
            return
        if self.champion is None or champion.sha256 != self.champion.sha256:
            self.gauges.swaps.inc()
            _log.info("serving version %s, %s", champion.entry["version"], champion.sha256)
        self.champion = champion
        self.gauges.version.set(champion.entry["version"])
