"""What `/metrics` tells, in a registry of its own: two servers in a process share nothing."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Gauges:
    """Counters and histograms of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "tilth_requests", "Answered requests.", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "tilth_request_seconds", "From arrival to answer.", ["path"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.predictions = Counter(
            "tilth_predictions", "Images by outcome.", ["outcome"], registry=registry
        )
        self.batches = Histogram(
            "tilth_batch_images", "Images predicted together.", buckets=_BATCHES, registry=registry
        )
        self.swaps = Counter("tilth_model_swaps", "Champions taken on.", registry=registry)
        self.rejected = Counter(
            "tilth_model_rejected", "Champions that could not be taken on.", registry=registry
        )
        self.version = Gauge("tilth_model_version", "Served; 0: none.", registry=registry)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value that is read when somebody asks."""
        Gauge(name, text, registry=self.registry).set_function(read)
