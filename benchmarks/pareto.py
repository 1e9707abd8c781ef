"""The picture of `benchmarks.export`: accuracy by latency and by bytes."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import Row
from tasks.artifacts.atomic import replacing

_COSTS = {
    "latency: {}, batch 1, 1 thread, p50": "ms for one image, on one thread",
    "latency: {}, batch 32, 2 threads, p50": "ms for 32 images, on two threads",
    "parity: {}, bytes": "bytes",
}


def find_value(rows: Sequence[Row], beginning: str) -> float | None:
    """Of the row whose name is this, or goes on with what it is compared with."""
    found = [row.value for row in rows if row.name.partition(", against")[0] == beginning]
    return found[0] if found else None


def find_panel(rows: Sequence[Row], cost: str) -> dict[str, tuple[float, float]]:
    """Cost and accuracy by variant, of those of which both are known."""
    panel = {}
    for row in rows:
        variant = row.name.removeprefix("parity: ").partition(", accuracy, against")
        paid = find_value(rows, cost.format(variant[0]))
        if variant[1] and paid is not None:
            panel[variant[0]] = (paid, row.value)
    return panel


def draw_pareto(rows: Sequence[Row], path: Path) -> None:
    """Nothing, where not every cost of some variant is known."""
    panels = {label: find_panel(rows, cost) for cost, label in _COSTS.items()}
    if not all(panels.values()):
        return
    # Imported late: it takes a second, and most of what is asked for draws nothing.
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "tilth"
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, len(panels), figsize=(11, 3.6), sharey=True)
    for place, (label, panel) in zip(places, panels.items(), strict=True):
        front: list[tuple[float, float]] = []
        ranked = sorted(panel.items(), key=lambda item: (item[1][0], -item[1][1]))
        for number, (one, (cost, accuracy)) in enumerate(ranked):
            place.plot(cost, accuracy, "o", color="#2c6a4c")
            place.annotate(
                one,
                (cost, accuracy),
                xytext=(6, -12 if number % 2 else 4),
                textcoords="offset points",
            )
            if not front or accuracy > front[-1][1]:
                front.append((cost, accuracy))
        place.plot(*zip(*front, strict=True), color="#74737c", linewidth=1, zorder=0)
        place.set_xlabel(label)
        place.margins(y=0.2)
        # Room for the name of the dearest.
        place.set_xlim(0, 1.4 * max(cost for cost, _ in panel.values()))
        place.grid(alpha=0.3)
    places[0].set_ylabel("accuracy on test")
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    pyplot.close(figure)
