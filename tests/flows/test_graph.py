"""The graph read from dvc.yaml is DVC's own."""

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.graph import Graph, GraphError, Options, load_graph

ROOT = Path(__file__).parents[2]

VARIED = """
stages:
  ingest:
    cmd: echo
    deps: [sources.csv, tasks/ingest.py]
    params: [ingest]
    outs:
    - data/raw/index.parquet
    - data/raw/shards:
        persist: true
    meta: {retries: 2, retry_delay_seconds: 1.5}
  validate:
    cmd: echo
    deps: [data/raw/shards/part-0.parquet, ./data/raw/../raw/index.parquet]
    metrics:
    - metrics/validate.json:
        cache: false
    outs: [reports/arrivals]
  clean:
    cmd: [echo one, echo two]
    wdir: work
    deps: [../metrics/validate.json, ../data/raw]
    outs: [images]
    plots:
    - ../plots/classes.csv:
        x: label
        y: count
    - ../plots/plain.csv
  train:
    cmd: echo
    deps: [work/images/a.npy, plots/classes.csv, "https://example.com/weights"]
    outs:
    - models/encoder
    - "models/odd name.bin"
    meta: {tags: [compute], timeout_seconds: 3600}
    desc: learns
  frozen:
    cmd: echo
    frozen: true
    deps: [models/encoder/model.safetensors, models/odd name.bin]
    outs: [models/other]
  alone:
    cmd: echo
    always_changed: true
"""


def dvc_edges(root: Path) -> dict[str, set[Any]]:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        graph = repo.index.graph
        names = {stage: getattr(stage, "name", None) for stage in graph}
        return {
            name: {names[above] for above in graph.successors(stage) if names[above]}
            for stage, name in names.items()
            if name
        }


def our_edges(graph: Graph) -> dict[str, set[str]]:
    return {stage: set(graph.upstream(stage)) for stage in graph.stages}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").touch()
    (root / "work").mkdir()
    return root


def random_graph(seed: int) -> str:
    """Stages that read outputs of earlier ones: whole, a path inside, or a folder around."""
    rng = random.Random(seed)
    lines = ["stages:"]
    readable: list[str] = []
    for number in range(rng.randint(1, 12)):
        chosen = rng.sample(readable, min(len(readable), rng.randint(0, 3)))
        deps = [rng.choice((path, f"{path}/inside", f"./{path}")) for path in chosen]
        lines += [f"  s{number}:", "    cmd: echo", "    deps:", f"    - 'source{number}'"]
        lines += [f"    - '{dep}'" for dep in sorted(set(deps))]
        for kind in ("outs", "metrics", "plots"):
            paths = [f"{kind}/{number}/{index}" for index in range(rng.randint(0, 2))]
            lines += [f"    {kind}:"] if paths else []
            lines += [
                f"    - {path}" + rng.choice(("", ":\n        cache: false")) for path in paths
            ]
            readable += paths + ([f"{kind}/{number}"] if paths else [])
    return "\n".join(lines)


@pytest.mark.parametrize("text", [VARIED, *(random_graph(seed) for seed in range(8))])
def test_edges_are_those_of_dvc(repository: Path, text: str) -> None:
    path = repository / "dvc.yaml"
    path.write_text(text)
    assert our_edges(load_graph(path)) == dvc_edges(repository)


@pytest.mark.skipif(not (ROOT / "dvc.yaml").exists(), reason="no dvc.yaml")
def test_edges_of_the_project_are_those_of_dvc() -> None:
    assert our_edges(load_graph(ROOT / "dvc.yaml")) == dvc_edges(ROOT)


@pytest.fixture
def varied(tmp_path: Path) -> Graph:
    (tmp_path / "dvc.yaml").write_text(VARIED)
    return load_graph(tmp_path / "dvc.yaml")


def test_options_come_from_meta(varied: Graph) -> None:
    assert varied.stages["ingest"].options == Options((), 2, 1.5, None)
    assert varied.stages["train"].options == Options(("compute",), 0, 0.0, 3600.0)
    assert varied.stages["alone"].options == Options()


def test_ancestors_come_in_an_order_that_can_run(varied: Graph) -> None:
    assert varied.ancestors("train") == ("ingest", "validate", "clean", "train")
    assert varied.ancestors("alone", "validate") == ("ingest", "alone", "validate")
    assert varied.ancestors() == ()


def test_an_unknown_stage_is_named(varied: Graph) -> None:
    with pytest.raises(GraphError, match=r"no stage 'trian'; dvc.yaml has \['alone'"):
        varied.ancestors("trian")


def stage(name: str, rest: str) -> str:
    return f"stages:\n  {name}:\n    cmd: echo\n{rest}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: [", "is not valid YAML"),
        ("stages:\n  a: {cmd: x}\n  a: {cmd: y}", "is not valid YAML"),
        ("", "expected a mapping"),
        ("stages: [a]", "expected a mapping"),
        ("vars: [x.yaml]\nstages: {}", "'vars' is not supported"),
        ("stages:\n  a: {foreach: [1], do: {cmd: x}}", "'foreach' is not supported"),
        ("stages:\n  a: {matrix: {m: [1]}, cmd: x}", "'matrix' is not supported"),
        ("stages:\n  a: {vars: [x], cmd: x}", "'vars' is not supported"),
        (stage("a", "    outs: ['${x}']"), "is a template"),
        (stage("a", "    deps: x"), "expected a list"),
        (stage("a", "    deps: [1]"), "is not a path"),
        (stage("a", "    deps: [a.out]\n    outs: [a.out]"), "depend on each other: a → a"),
        (stage("a", "    meta: {timeout: 3}"), "meta has 'timeout', expected one of"),
        (stage("a", "    meta: {retries: -1}"), "retries is -1"),
        (stage("a", "    meta: {retries: 1.5}"), "retries is 1.5"),
        (stage("a", "    meta: {timeout_seconds: .inf}"), "timeout_seconds is inf"),
        (stage("a", "    meta: {timeout_seconds: 0}"), "timeout_seconds is 0"),
        (stage("a", "    meta: {tags: compute}"), "expected a list of words"),
    ],
)
def test_what_cannot_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dvc.yaml").write_text(text)
    with pytest.raises(GraphError, match=message):
        load_graph(tmp_path / "dvc.yaml")


def test_a_circle_is_shown(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  a: {cmd: x, deps: [c], outs: [a]}\n"
        "  b: {cmd: x, deps: [a], outs: [b]}\n"
        "  c: {cmd: x, deps: [b], outs: [c]}\n"
    )
    with pytest.raises(GraphError, match=r"depend on each other: \w → \w → \w → \w"):
        load_graph(tmp_path / "dvc.yaml")


@pytest.mark.parametrize("other", ["out/x", "./out/x", "out", "out/x/y"])
def test_two_writers_of_one_output_are_named(tmp_path: Path, other: str) -> None:
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  a: {{cmd: x, outs: [out/x]}}\n  b: {{cmd: x, metrics: [{other}]}}\n"
    )
    with pytest.raises(GraphError, match="stage 'b' is also written by stage 'a'"):
        load_graph(tmp_path / "dvc.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"dvc\.yaml cannot be read"):
        load_graph(tmp_path / "dvc.yaml")
