"""Results are rows of one form, cells can be measured one by one, and README shows the files."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    augmentation_audit,
    cleanvision,
    data_path,
    delivery,
    drift,
    duplicates,
    explanations,
    export,
    gate_fuzz,
    gpu,
    label_noise,
    labels,
    long_tail,
    orchestration,
    planted,
    pretraining,
    promotion,
    reproducibility,
    resume,
    search,
    semi_supervised,
    serving,
    slices,
    suites,
    ten_checks,
    training_speed,
)
from benchmarks.cells import Cell, Setting, measure_cell, run_cells, topic_parser
from benchmarks.device_lessons import AirbenchNet, Labels, Projected, Views, whitening
from benchmarks.memory import remembered
from benchmarks.readme import README, fill_tables
from benchmarks.record import (
    RESULTS,
    Row,
    load_rows,
    make_row,
    merge_rows,
    parse_row,
    save_rows,
)
from benchmarks.tables import format_number, markdown_table
from tasks.core.device_augmentation import DevicePolicy
from tasks.core.embeddings import effective_rank, feature_spread, has_collapsed
from tasks.core.policy import build_policy

TOPICS = {
    "orchestration": orchestration.CELLS,
    "data_path": data_path.CELLS,
    "labels": labels.CELLS,
    "pretraining": pretraining.CELLS,
    "reproducibility": reproducibility.CELLS,
    "augmentation_audit": augmentation_audit.CELLS,
    "suites": suites.CELLS,
    "duplicates": duplicates.CELLS,
    "gate_fuzz": gate_fuzz.CELLS,
    "cleanvision": cleanvision.CELLS,
    "training_speed": training_speed.CELLS,
    "resume": resume.CELLS,
    "gpu": gpu.CELLS,
    "search": search.CELLS,
    "serving": serving.CELLS,
    "delivery": delivery.CELLS,
    "explanations": explanations.CELLS,
    "export": export.CELLS,
    "slices": slices.CELLS,
    "drift": drift.CELLS,
    "long_tail": long_tail.CELLS,
    "label_noise": label_noise.CELLS,
    "semi_supervised": semi_supervised.CELLS,
    "promotion": promotion.CELLS,
}


def row(name: str, value: float = 2.0, reference: float | None = None) -> Row:
    ratio = None if reference is None else value / reference
    return Row(name, value, "s", reference, ratio, 1, None, "some machine, 2 cores", "abc1234")


# README and the recorded results


def test_readme_shows_the_result_files() -> None:
    if not README.is_file():
        pytest.skip("there is no README yet")
    text = README.read_text(encoding="utf-8")
    assert fill_tables(text, RESULTS) == text, "python -m benchmarks.readme"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_results_are_rows(path: Path) -> None:
    for one in load_rows(path):
        assert one.name and one.hardware and one.commit
        assert isinstance(one.value, int | float) and one.seeds >= 1
        if one.ratio is not None:
            assert one.reference is not None
            assert one.ratio == pytest.approx(one.value / one.reference)


@pytest.mark.parametrize("topic", [t for t in TOPICS if (RESULTS / f"{t}.json").is_file()])
def test_recorded_cells_exist(topic: str) -> None:
    recorded = {one.cell for one in load_rows(RESULTS / f"{topic}.json")}
    assert recorded <= {cell.name for cell in TOPICS[topic]}


def test_a_stale_table_is_noticed_and_filled(tmp_path: Path) -> None:
    save_rows([row("cell: a thing")], tmp_path / "speed.json")
    text = "Before\n<!-- results:speed -->\nold\n<!-- /results:speed -->\nafter\n"
    filled = fill_tables(text, tmp_path)
    assert filled != text
    assert "| cell: a thing | 2 s |" in filled and "old" not in filled
    assert filled.startswith("Before\n") and filled.endswith("\nafter\n")
    assert fill_tables(filled, tmp_path) == filled
    save_rows([row("cell: a thing", 3.0)], tmp_path / "speed.json")
    assert fill_tables(filled, tmp_path) != filled


def test_text_without_markers_is_left_alone(tmp_path: Path) -> None:
    save_rows([row("cell: a thing")], tmp_path / "speed.json")
    assert fill_tables("no table here\n", tmp_path) == "no table here\n"


@pytest.mark.parametrize(
    "text",
    [
        "<!-- results:one -->",
        "<!-- /results:one -->",
        "<!-- results:one --><!-- results:two --><!-- /results:one -->",
        "<!-- results:one --><!-- results:two --><!-- /results:two --><!-- /results:one -->",
    ],
)
def test_a_marker_without_its_partner_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="has no partner"):
        fill_tables(text, tmp_path)


def test_what_was_not_measured_has_no_table(tmp_path: Path) -> None:
    text = "<!-- results:speed -->\nmade up\n<!-- /results:speed -->"
    empty = "<!-- results:speed -->\n<!-- /results:speed -->"
    assert fill_tables(text, tmp_path) == fill_tables(empty, tmp_path) == empty


# Rows and tables


def test_a_row_is_a_median_beside_a_median() -> None:
    made = make_row("cell: speed", [1.0, 9.0, 2.0], "images/s", [4.0, 4.0, 5.0])
    assert (made.value, made.reference, made.ratio, made.seeds) == (2.0, 4.0, 0.5, 3)
    assert made.sd == pytest.approx(np.std([1, 9, 2], ddof=1))
    assert made.cell == "cell"
    assert made.hardware and made.commit
    single = make_row("cell: count", 0, "", 0)
    assert (single.ratio, single.sd, single.seeds) == (None, None, 1)


def test_rows_have_exactly_the_recorded_keys(tmp_path: Path) -> None:
    save_rows([row("cell: a", 1.0, 2.0)], tmp_path / "a.json")
    (entry,) = json.loads((tmp_path / "a.json").read_text())
    assert list(entry) == sorted(Row._fields)
    assert set(entry) == {
        *("name", "value", "unit", "reference", "ratio", "seeds", "sd", "hardware", "commit")
    }
    assert load_rows(tmp_path / "a.json") == [row("cell: a", 1.0, 2.0)]
    with pytest.raises(ValueError, match="expected the keys"):
        parse_row({**entry, "extra": 1})


def test_a_table_shows_rows_and_states_its_wall_time() -> None:
    rows = [row("cell: a | b", 1234.5, 617.25), row("cell: wall time", 90.0)]
    assert markdown_table(rows) == (
        "| what | value | reference | ratio | runs | ± sd |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| cell: a \\| b | 1,234 s | 617 s | 2 | 1 |  |\n"
        "\n"
        "Measured on some machine, 2 cores, at abc1234, in 1.5 minutes."
    )


NETS = [
    row("none: speed", 2.0),
    row("none: loss", 0.5),
    row("none: size", 9.0),
    row("small: speed, against none", 4.0, 2.0),
    row("small: loss, against none", 0.25, 0.5),
    row("small: size, against none", 3.0, 9.0),
    row("small: gained", 2.0),
    row("large: speed, against none", 1.0, 2.0)._replace(seeds=3, sd=0.5),
    row("large: loss, against none", 0.75, 0.5),
    row("large: size, against none", 27.0, 9.0),
    row("other: speed", 7.0),
]


def test_cells_that_measured_the_same_have_a_line_each() -> None:
    assert markdown_table(NETS).split("\n\n")[:2] == [
        "|  | speed | loss | size | gained | runs |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| none | 2 s | 0.5 s | 9 s |  | 1 |\n"
        "| small | 4 s | 0.25 s | 3 s | 2 s | 1 |\n"
        "| large | 1 ± 0.5 s | 0.75 s | 27 s |  | 3 |",
        "| what | value | reference | ratio | runs | ± sd |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| other: speed | 7 s |  |  | 1 |  |",
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [one for one in NETS if one.cell != "small"],
        [one for one in NETS if one.what != "loss"],
        [one for one in NETS if one.cell != "none"] + [row(f"x: {w}") for w in "abc"],
        [*NETS, row("small: speed, against others", 4.0, 2.0)],
    ],
    ids=["two", "two things", "compared with what is not there", "compared twice"],
)
def test_where_that_would_hide_something_each_row_has_a_line(rows: list[Row]) -> None:
    table = markdown_table(rows)
    assert [line.split(" | ")[0][2:] for line in table.splitlines()[2 : 2 + len(rows)]] == [
        one.name for one in rows
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (0.98765, "0.988"),
        (12.345, "12.3"),
        (-1.25, "-1.25"),
        (60_000.0, "60,000"),
        (1234.56, "1,235"),
        (0.00001234, "0.000012"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert format_number(value) == text


def test_cells_replace_themselves_and_keep_their_order() -> None:
    old = [row("one: a"), row("one: gone"), row("two: a"), row("former: a")]
    new = [row("one: b", 5.0), row("three: a")]
    merged = merge_rows(old, new, ["three", "one", "two"])
    assert [one.name for one in merged] == ["three: a", "one: b", "two: a"]


# Topics


def test_cells_are_recorded_one_by_one_and_not_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TILTH_CIFAR10", raising=False)
    measured: list[str] = []

    def fail(_):
        raise RuntimeError("broken")

    def succeed(_):
        measured.append("first")
        yield make_row("first: a", 1.0, "s")

    cells = [Cell("data", fail, needs_cifar10=True), Cell("first", succeed), Cell("last", fail)]
    parser = topic_parser("topic", None, cells)
    for flags in ([], ["--missing"], ["--missing"]):
        with pytest.raises(RuntimeError, match="broken"):
            run_cells("topic", cells, parser.parse_args([*flags, "--out", str(tmp_path)]))
    assert measured == ["first"]
    names = [one.name for one in load_rows(tmp_path / "topic.json")]
    assert names == ["first: a", "first: wall time"]
    assert "data: left out, as TILTH_CIFAR10 names no folder" in capsys.readouterr().err


@pytest.mark.parametrize("topic", TOPICS)
def test_cells_have_names_of_their_own(topic: str) -> None:
    names = [cell.name for cell in TOPICS[topic]]
    assert len(set(names)) == len(names)
    assert not [name for name in names if ": " in name]


def test_rows_of_another_cell_are_refused() -> None:
    cell = Cell("mine", lambda _: [make_row("other: a", 1.0, "s")])
    setting = argparse.Namespace()
    with pytest.raises(AssertionError):
        measure_cell(cell, setting)  # type: ignore[arg-type]


def test_what_was_measured_is_measured_once_per_state_of_the_code(tmp_path: Path) -> None:
    asked: list[str] = []

    def measure(name: str) -> dict[str, float]:
        asked.append(name)
        return {"a": 0.1 + len(asked)}

    def ask(name: str, state: str) -> dict[str, float]:
        return remembered({"name": name}, lambda: measure(name), tmp_path, state)

    assert ask("x", "abc") == ask("x", "abc") == {"a": 1.1}
    assert (ask("y", "abc"), ask("x", "xyz")) == ({"a": 2.1}, {"a": 3.1})
    assert asked == ["x", "y", "x"]
    # Code that nobody committed can change without another name.
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 3
    assert ask("x", "abc-dirty") == ask("x", "abc-dirty")
    assert asked[3:] == ["x"] and sorted(tmp_path.iterdir()) == kept


def test_planted_collapses_are_collapses() -> None:
    embeddings = np.random.default_rng(0).normal(size=(200, 12)) + 3
    for collapse in (planted.to_point, planted.to_line):
        collapsed = collapse(embeddings)
        assert has_collapsed(feature_spread(collapsed), 1.0, effective_rank(collapsed))
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    moved = planted.to_disorder(images)
    assert (np.sort(moved, axis=None) == np.sort(images, axis=None)).all()
    assert (moved != images).any()


def test_a_map_points_at_the_patch_or_does_not() -> None:
    maps = np.zeros((3, 8, 8), dtype=np.float32)
    maps[0, 2:4, 5:7] = maps[1, 2:4, 5:7] = 1
    maps[2, 6:, 6:] = 1
    corners = np.array([[2, 5], [5, 0], [6, 6]])
    assert explanations.pointed_at(maps, corners, 2) == pytest.approx(2 / 3)


def test_a_patch_is_on_every_image_of_one_class_alone() -> None:
    plain = explanations.in_colour(explanations.digits("float32"))
    patched = explanations.patch(plain, 0)
    changed = (patched.pictures.images_NHWC != plain.images_NHWC).any(axis=3)
    is_planted = plain.labels_N == explanations.PLANTED_CLASS
    assert (changed.any(axis=(1, 2)) == is_planted).all()
    assert changed[is_planted].sum(axis=(1, 2)).max() <= patched.side**2 == 16


def test_records_that_differ_are_named() -> None:
    one = {"a": {"md5": 1}, "b": {"md5": 2}, "c": {"md5": 3}}
    assert reproducibility.differing(one, {"a": {"md5": 1}, "b": {"md5": 9}, "d": {}}) == [
        *("b", "c", "d")
    ]
    assert reproducibility.outputs({"s": {"outs": [{"path": "a", "md5": 1}]}, "t": {}}) == {
        "a": {"path": "a", "md5": 1}
    }


def test_a_suite_refuses_what_plain_pandas_does() -> None:
    table = ten_checks.make_table(3001)
    refused = ten_checks.by_suite(table)
    assert refused == ten_checks.by_pandas(table)
    assert (len(refused), sum(refused)) == (10, 3 * 4)


def test_what_is_for_a_gpu_runs_on_a_processor() -> None:
    options = argparse.Namespace(
        device="cpu", precision="bf16", compile=False, batch_size=32, width=4
    )
    setting = Setting(options, None, None)  # type: ignore[arg-type]
    data, device = gpu.make_noise(64), torch.device("cpu")
    policy = DevicePolicy(build_policy(gpu.MOVED, (32, 32, 3)))
    labels = Labels(AirbenchNet(data.train_NHWC, 10, (8, 8, 8)), data, policy, device, "bf16")
    history = gpu.learn(labels, setting, 0, 2, 32, 0.1)
    assert [set(entry) for entry in history] == [
        {"epoch", "loss", "accuracy", "learning_rate", "test_accuracy"}
    ] * 3
    assert len(labels.seconds) == 2
    encoder = gpu.resnet18(options)
    encoder.head = torch.nn.Identity()  # type: ignore[assignment]
    views = Views(Projected(encoder, 32), data, policy, device, "bf16")
    views.num_epochs = 1
    assert "knn_accuracy" in gpu.learn(views, setting, 0, 1, 32, 0.1)[-1]


def test_whitened_patches_are_uncorrelated() -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    images[..., 1] = images[..., 0] // 2 + images[..., 1] // 2
    x_NCHW = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 63.75 - 2
    filters = whitening(images)
    responses = torch.nn.functional.conv2d(x_NCHW, filters[:12]).permute(0, 2, 3, 1)
    flat = responses.reshape(-1, 12)
    torch.testing.assert_close(flat.T @ flat / len(flat), torch.eye(12), atol=0.01, rtol=0)
    assert torch.equal(filters[12:], -filters[:12])


def test_a_matrix_product_and_a_net_are_counted_right() -> None:
    linear = torch.nn.Sequential(torch.nn.Flatten(), Floats(), torch.nn.Linear(32 * 32 * 3, 10))
    # Forwards and the gradient of the weights: the first layer needs none of its inputs.
    assert gpu.flops_per_image(linear, torch.device("cpu")) == 2 * 2 * 32 * 32 * 3 * 10


class Floats(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float()


def test_loops_take_turns() -> None:
    calls: list[str] = []
    found = training_speed.alternate(
        2, lambda: calls.append("a") or 1.0, lambda: calls.append("b") or 2.0
    )
    assert calls == ["a", "b", "a", "b"] and found == [[1.0, 1.0], [2.0, 2.0]]
