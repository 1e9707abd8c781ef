"""What dvc.yaml, params.yaml and the code promise each other."""

import ast
import importlib
import inspect
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import networkx
import pytest
from ruamel.yaml import YAML

from flows.graph import load_graph
from tasks.core.params import Run, Section
from tasks.stage import _asks_for_threads

ROOT = Path(__file__).parents[1]
ROOMS = {"tasks", "pages", "expectations", "flows", "monitoring", "serving", "benchmarks"}
GRAPH = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = GRAPH["stages"]
stages = pytest.mark.parametrize("stage", STAGES)


def first_party_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] in ROOMS}


def closure(module: str) -> list[str]:
    """Every file of ours that a module is made of."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        path = Path(todo.pop().replace(".", "/") + ".py")
        if str(path) not in seen and (ROOT / path).is_file():
            seen.add(str(path))
            todo += first_party_imports(ROOT / path)
    # The template is read when a page is rendered.
    return sorted(seen | ({"pages/page.html"} if "pages/render.py" in seen else set()))


def paths_of(entries: list) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def outputs(stage: str) -> set[str]:
    spec = STAGES[stage]
    return set(paths_of(spec.get("outs", []) + spec.get("metrics", []) + spec.get("plots", [])))


def data_dependencies(stage: str) -> set[str]:
    return {path for path in STAGES[stage].get("deps", []) if not path.endswith((".py", ".html"))}


def arguments_of(stage: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(importlib.import_module(f"tasks.{stage}").main).parameters


@stages
def test_declared_code_is_the_closure_of_imports(stage):
    declared = [path for path in STAGES[stage]["deps"] if path.endswith((".py", ".html"))]
    expected = closure(f"tasks.{stage}")
    listing = "\n".join(f"      - {path}" for path in expected)
    assert sorted(declared) == expected, f"the code of {stage} in dvc.yaml should be:\n{listing}"


@stages
def test_a_command_names_exactly_its_declared_paths(stage):
    words = shlex.split(STAGES[stage]["cmd"])
    assert words[:4] == ["python", "-m", "tasks.stage", stage]
    flags = dict(zip(words[4::2], words[5::2], strict=True))
    assert set(flags.values()) == data_dependencies(stage) | outputs(stage)
    assert {path for flag, path in flags.items() if flag.startswith("--out-")} == outputs(stage)


@stages
def test_a_stage_reads_the_params_that_it_declares(stage):
    arguments = arguments_of(stage)
    read = {f"run.{key}" for key in Run.model_fields if {key, "run"} & set(arguments)}
    assert {one for one in STAGES[stage]["params"] if isinstance(one, str)} == {stage, *read}
    others = [one for one in STAGES[stage]["params"] if not isinstance(one, str)]
    # No stage reads it: ingest reads its sources again because there is another name.
    assert others == ([{"snapshot.yaml": ["name"]}] if stage == "ingest" else [])


@stages
def test_threads_are_asked_for_by_those_that_declare_them(stage):
    """Asked of the source, as libraries read the limit when they are imported."""
    assert _asks_for_threads(stage) == ("run.num_threads" in STAGES[stage]["params"])


@stages
def test_flags_are_the_path_arguments_of_main(stage):
    paths = {
        f"--{name.replace('_', '-')}"
        for name, parameter in arguments_of(stage).items()
        if parameter.annotation is Path
    }
    words = shlex.split(STAGES[stage]["cmd"])
    assert set(words[4::2]) == paths


@stages
def test_a_section_fits_its_params(stage):
    params = importlib.import_module(f"tasks.{stage}").Params
    assert issubclass(params, Section)
    sections = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params.model_validate(sections[stage])
    assert set(sections) == {"run", "monitoring", "retrain", "rollback", *STAGES}


@stages
def test_params_have_no_defaults(stage):
    params = importlib.import_module(f"tasks.{stage}").Params
    assert all(field.is_required() for field in params.model_fields.values())


def test_our_graph_is_the_one_that_dvc_sees():
    from dvc.repo import Repo

    ours = load_graph(ROOT / "dvc.yaml")
    with Repo(str(ROOT)) as repo:
        graph = repo.index.graph
        names = {node: node.name for node in graph.nodes if getattr(node, "name", None) in STAGES}
        theirs = {
            name: {names[above] for above in graph.successors(node) if above in names}
            for node, name in names.items()
        }
    assert {name: set(ours.upstream(name)) for name in STAGES} == theirs


def test_test_rows_are_named_only_where_they_may_be():
    readers = {stage for stage in STAGES if "data/rows/test.npy" in data_dependencies(stage)}
    graph = load_graph(ROOT / "dvc.yaml")
    after_evaluate = {"evaluate", "export", "promote", "report"}
    assert readers <= after_evaluate | {"audit"}
    for stage in ("pretrain", "audit", "finetune"):
        assert not {"evaluate", "promote"} & set(graph.ancestors(stage))


def modules_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def rooms_imported(path: Path) -> set[str]:
    names = first_party_imports(path)
    return {
        ".".join(name.split(".")[:2]) if name.startswith("tasks") else name.split(".")[0]
        for name in names
    }


@pytest.mark.parametrize(
    ("room", "may_import"),
    [
        ("tasks/core", {"tasks.core"}),
        ("tasks/artifacts", {"tasks.core", "tasks.artifacts"}),
        ("pages", {"pages"}),
        ("serving", {"serving", "monitoring", "pages", "tasks.core", "tasks.artifacts"}),
        ("expectations", {"expectations", "tasks.core"}),
        ("monitoring", {"monitoring", "tasks.core", "tasks.artifacts"}),
    ],
)
def test_imports_point_one_way(room, may_import):
    allowed = may_import | {name.split(".")[0] for name in may_import}
    wrong = {
        str(path.relative_to(ROOT)): sorted(rooms_imported(path) - allowed)
        for path in modules_of(room)
        if rooms_imported(path) - allowed
    }
    assert not wrong


def test_no_flow_is_named_like_a_room():
    """Prefect's workers look for modules in flows/ before they look in the root."""
    assert not {path.stem for path in modules_of("flows")} & (ROOMS | {"tests"})


def test_stages_do_not_know_the_flows():
    wrong = [
        str(path.relative_to(ROOT))
        for path in modules_of("tasks")
        if "flows" in rooms_imported(path)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("prefect", ("flows/", "tasks/reproduce.py")),
        ("great_expectations", ("expectations/",)),
        ("evidently", ("monitoring/",)),
    ],
)
def test_slow_libraries_are_imported_in_one_room(library, allowed):
    pattern = re.compile(rf"^\s*(?:import|from) {library}\b", re.MULTILINE)
    found = [
        str(path.relative_to(ROOT))
        for room in ROOMS - {"benchmarks"}
        if (ROOT / room).is_dir()
        for path in modules_of(room)
        if pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert all(path.startswith(allowed) for path in found), found


def test_readme_shows_the_dag_that_dvc_draws():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    drawn = re.search(r"```mermaid\n(.*?)```", readme, re.DOTALL)
    assert drawn
    shown = {tuple(edge) for edge in re.findall(r"^\s*(\w+) --> (\w+)\s*$", drawn[1], re.MULTILINE)}
    ours = load_graph(ROOT / "dvc.yaml")
    edges = [(above, name) for name in STAGES for above in ours.upstream(name)]
    assert shown == set(networkx.transitive_reduction(networkx.DiGraph(edges)).edges)


def test_the_readme_of_data_names_what_stages_write_there():
    readme = (ROOT / "data/README.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in readme.splitlines() if line.startswith("| `")]
    told = {
        (stage, f"data/{name}")
        for files, stage, *_ in rows
        for name in re.findall("`(.+?)`", files)
    }
    written = {
        (stage, path) for stage in STAGES for path in outputs(stage) if path.startswith("data/")
    }
    assert told == written


def test_readme_shows_the_tracked_tree():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## The tree\n+```\n(.*?)```", readme, re.DOTALL)
    assert block
    shown = {line.split()[0].rstrip("/") for line in block[1].splitlines() if line[:1].strip()}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    tops = {path.split("/")[0] for path in tracked}
    assert shown == {top for top in tops if not top.startswith(".")} | {".ci"}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_long_modules_say_why(room):
    for path in modules_of(room) if (ROOT / room).is_dir() else []:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 260 or "long because" in lines[0], f"{path}: {len(lines)} lines"
