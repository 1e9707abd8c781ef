"""The tables that show results, in README and on a terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.record import WALL_TIME, Row

HEADER = ("what", "value", "reference", "ratio", "runs", "± sd")
# Cells are alike if as many things measured first are the same, and if they are as many or more.
_NUM_ALIKE = 3


def markdown_table(rows: Sequence[Row]) -> str:
    """The tables for README, with what was measured on beneath them: cells that measured the same
    have a line each in one table, where that hides nothing, and other rows one each in another."""
    shown = [row for row in rows if not row.name.endswith(f": {WALL_TIME}")]
    alike = _find_alike(shown)
    others = [row for row in shown if row.cell not in alike]
    tables = [_markdown(_side_by_side(alike))] if alike else []
    tables += [_markdown([HEADER, *map(_cells, others)])] if others else []
    return "\n\n".join([*tables, _measured_on(rows)])


def _find_alike(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Rows by cell and by what was measured, of those cells that measured the same. None where a
    line for each cell would hide something: what a row is compared with must be among these rows.
    """
    cells: dict[str, dict[str, Row]] = {}
    for row in rows:
        cells.setdefault(row.cell, {})[row.what] = row
    heads = {cell: tuple(found)[:_NUM_ALIKE] for cell, found in cells.items()}
    ((head, num_alike),) = Counter(heads.values()).most_common(1) or [((), 0)]
    if min(len(head), num_alike) < _NUM_ALIKE:
        return {}
    alike = {cell: found for cell, found in cells.items() if heads[cell] == head}
    hidden = [row for row in rows if row.cell in alike and row is not alike[row.cell][row.what]]
    told = [row for found in alike.values() for row in found.values()]
    values = {(row.what, row.value) for row in told}
    compared = {(row.what, row.reference) for row in told if row.reference is not None}
    return {} if hidden or compared - values else alike


def _side_by_side(alike: Mapping[str, Mapping[str, Row]]) -> list[tuple[str, ...]]:
    things = list(dict.fromkeys(what for found in alike.values() for what in found))
    lines = [("", *things, "runs")]
    for cell, found in alike.items():
        told = [_value_and_sd(found[what]) if what in found else "" for what in things]
        lines.append((cell, *told, str(max(row.seeds for row in found.values()))))
    return lines


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    header, *others = lines
    ruled = [header, ("---", *["---:"] * (len(header) - 1)), *others]
    escaped = ([text.replace("|", "\\|") for text in line] for line in ruled)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def plain_table(rows: Sequence[Row]) -> str:
    """A line for each row, for a terminal, with the time that each cell took."""
    lines = [HEADER, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    return f"{text}\n\n{_measured_on(rows)}" if rows else text


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        _with_unit(format_number(row.value), row),
        "" if row.reference is None else _with_unit(format_number(row.reference), row),
        "" if row.ratio is None else format_number(row.ratio),
        str(row.seeds),
        "" if row.sd is None else format_number(row.sd),
    )


def _value_and_sd(row: Row) -> str:
    sd = "" if row.sd is None else f" ± {format_number(row.sd)}"
    return _with_unit(f"{format_number(row.value)}{sd}", row)


def _with_unit(number: str, row: Row) -> str:
    return f"{number} {row.unit}".rstrip()


def _measured_on(rows: Sequence[Row]) -> str:
    machines = "; ".join(dict.fromkeys(row.hardware for row in rows))
    commits = ", ".join(dict.fromkeys(row.commit for row in rows))
    seconds = sum(row.value for row in rows if row.name.endswith(f": {WALL_TIME}"))
    return f"Measured on {machines}, at {commits}, in {format_number(seconds / 60)} minutes."


def format_number(value: float) -> str:
    """Three digits that count, and all digits of a larger whole number."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text
