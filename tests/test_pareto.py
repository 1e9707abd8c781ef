"""The picture of exported variants names each, and is drawn only of what was measured."""

from benchmarks.pareto import draw_pareto, find_value
from benchmarks.record import Row


def row(name: str, value: float) -> Row:
    return Row(name, value, "", None, None, 1, None, "some machine", "abc1234")


def rows(*variants: str) -> list[Row]:
    made = []
    for number, one in enumerate(variants, start=1):
        made += [
            row(f"parity: {one}, accuracy, against the net", 1 - number / 10),
            row(f"parity: {one}, bytes, against float32", 1000 / number),
            row(f"latency: {one}, batch 1, 1 thread, p50, against float32", 3.0 / number),
            row(f"latency: {one}, batch 32, 2 threads, p50, against float32", 30.0 / number),
        ]
    return made


def test_a_value_is_found_by_what_its_row_measures():
    found = rows("float32", "int8")
    assert find_value(found, "parity: int8, bytes") == 500
    assert find_value(found, "parity: int4, bytes") is None


def test_the_picture_is_the_same_twice(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw_pareto(rows("float32", "int8"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_what_was_not_measured_is_not_drawn(tmp_path):
    draw_pareto([], tmp_path / "a.svg")
    draw_pareto(rows("float32")[:2], tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()
