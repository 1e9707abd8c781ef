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


def draw_pareto(rows: Sequence[Row], path: Path) -> None:
    """Draws the variants of which everything is known; nothing where it is of none."""
    names = [row.name for row in rows if row.name.startswith("parity: ")]
    variants = list(
        dict.fromkeys(name.removeprefix("parity: ").partition(",")[0] for name in names)
    )
    accuracies = {one: find_value(rows, f"parity: {one}, accuracy") for one in variants}
    panels = {
        label: {one: find_value(rows, template.format(one)) for one in variants}
        for template, label in _COSTS.items()
    }
    known = [
        one
        for one in variants
        if accuracies[one] is not None and all(costs[one] is not None for costs in panels.values())
    ]
    if not known:
        return
    # Imported late: it takes a second, and most of what is asked for draws nothing.
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "tilth"
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, len(panels), figsize=(11, 3.6), sharey=True)
    for place, (label, costs) in zip(places, panels.items(), strict=True):
        points = sorted((costs[one], -accuracies[one], one) for one in known)
        front: list[tuple[float, float]] = []
        for cost, loss, one in points:
            place.plot(cost, -loss, "o", color="#2c6a4c")
            place.annotate(one, (cost, -loss), xytext=(6, 4), textcoords="offset points")
            if not front or -loss > front[-1][1]:
                front.append((cost, -loss))
        place.plot(*zip(*front, strict=True), color="#74737c", linewidth=1, zorder=0)
        place.set_xlabel(label)
        place.set_xlim(left=0)
        place.margins(x=0.25, y=0.2)
        place.grid(alpha=0.3)
    places[0].set_ylabel("accuracy on test")
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    pyplot.close(figure)
