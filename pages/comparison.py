"""What changed since the snapshot before, and what of it is worse."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from pages.blocks import Block, Notice, Table, Text

_NUM_CLASSES = 20


class Total(NamedTuple):
    """One number of metrics/quality.json. `worse` is 1 where more is worse and -1 where less is;
    counts of images are judged by their share of `per`."""

    what: str
    worse: int
    per: str | None = None


TOTALS = {
    "num_arrived": Total("images came in", -1),
    "rejected_fraction": Total("share rejected", 1),
    "num_conflicts": Total("images with two labels", 1, "num_arrived"),
    "num_repeats": Total("images that repeat another", 1, "num_arrived"),
    "num_odd": Total("odd images", 1, "num_arrived"),
    "num_leaks": Total("near-duplicates across splits", 1, "num_arrived"),
    "num_missed_leaks": Total("look-alikes across splits", 1, "num_arrived"),
    "num_to_review": Total("labels to review", 1, "num_arrived"),
    "num_outliers": Total("images that look like no class", 1, "num_arrived"),
    "imbalance": Total("rows of the largest class, times the smallest", 1),
    "num_broken": Total("rules that do not hold", 1),
}


def compare(former: Mapping[str, Any] | None, present: Mapping[str, Any]) -> dict[str, Any]:
    """Former and present numbers, their difference, and whether that is worse; of classes those
    whose rows changed in number. Empty without a former snapshot."""
    if former is None:
        return {}
    totals = {
        key: _change(
            former[key],
            present[key],
            total.worse * (_rate(present, key, total.per) - _rate(former, key, total.per)),
        )
        for key, total in TOTALS.items()
        if isinstance(former.get(key), int | float)
    }
    before, after = _class_totals(former), _class_totals(present)
    classes = {
        label: _change(before[label], after[label], before[label] - after[label])
        for label in sorted(before | after)
        if before[label] != after[label]
    }
    return {"totals": totals, "classes": classes}


def num_worse(compared: Mapping[str, Any]) -> int:
    return sum(change["is_worse"] for kind in compared.values() for change in kind.values())


def comparison_blocks(compared: Mapping[str, Any]) -> list[Block]:
    if not compared:
        return [Text("There is no snapshot before this one to compare with.")]
    totals = [[TOTALS[key].what, *_cells(change)] for key, change in compared["totals"].items()]
    columns = ["verdict", "before", "now", "difference"]
    blocks: list[Block] = [
        _notice(compared),
        Table(
            ["what", *columns],
            totals,
            "Counts of images are worse where their share of all that came in grew.",
        ),
    ]
    changed = compared["classes"].items()
    if not changed:
        return [*blocks, Text("No class has more or fewer rows than before.")]
    first = sorted(changed, key=lambda item: (item[1]["difference"], item[0]))[:_NUM_CLASSES]
    rows = [[label, *_cells(change)] for label, change in first]
    caption = f"Rows per class: {len(rows)} of {len(changed)} that changed, losses first."
    return [*blocks, Table(["class", *columns], rows, caption)]


def _notice(compared: Mapping[str, Any]) -> Notice:
    worse = [TOTALS[key].what for key, change in compared["totals"].items() if change["is_worse"]]
    fewer = sum(change["is_worse"] for change in compared["classes"].values())
    worse += [f"classes with fewer rows ({fewer})"] * bool(fewer)
    if worse:
        return Notice("warning", f"Worse than in the snapshot before: {'; '.join(worse)}.")
    return Notice("good", "Nothing is worse than in the snapshot before.")


def _cells(change: Mapping[str, Any]) -> list[Any]:
    mark = "worse" if change["is_worse"] else "better" if change["is_better"] else ""
    return [mark, change["former"], change["present"], change["difference"]]


def _change(former: float, present: float, worsening: float) -> dict[str, Any]:
    return {
        "former": former,
        "present": present,
        "difference": round(present - former, 6),
        "is_worse": worsening > 0,
        "is_better": worsening < 0 and present != former,
    }


def _rate(numbers: Mapping[str, Any], key: str, per: str | None) -> float:
    return numbers[key] / max(1, numbers[per]) if per else numbers[key]


def _class_totals(numbers: Mapping[str, Any]) -> Counter[str]:
    """Rows per class in all splits together."""
    return sum((Counter(counts) for counts in numbers["class_counts"].values()), Counter())
