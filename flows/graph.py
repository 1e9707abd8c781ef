"""The graph in dvc.yaml, read without DVC and without Prefect."""

import graphlib
import math
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.core.errors import TilthError

OUTPUT_KINDS = ("outs", "metrics", "plots")
TEMPLATE_KEYS = ("foreach", "do", "matrix", "vars")


class GraphError(TilthError, ValueError):
    """dvc.yaml does not describe a graph that the flows can run."""


@dataclass(frozen=True)
class Options:
    """What Prefect is to know of a stage: its `meta:` in dvc.yaml."""

    tags: tuple[str, ...] = ()
    retries: int = 0
    retry_delay_seconds: float = 0.0
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class Stage:
    """A stage with its paths relative to the folder of dvc.yaml, normalised."""

    name: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    options: Options


@dataclass(frozen=True)
class Graph:
    """Stages in the order of dvc.yaml, and for each the stages whose outputs it reads."""

    stages: Mapping[str, Stage]
    edges: Mapping[str, frozenset[str]]

    def upstream(self, stage: str) -> frozenset[str]:
        """The stages that `stage` reads directly.

        Raises:
            GraphError: no stage has that name.
        """
        if stage not in self.edges:
            raise GraphError(f"no stage {stage!r}; dvc.yaml has {sorted(self.stages)}")
        return self.edges[stage]

    def ancestors(self, *targets: str) -> tuple[str, ...]:
        """The targets and all they depend on, in an order in which they can run.

        Raises:
            GraphError: no stage has the name of a target.
        """
        wanted: set[str] = set()
        waiting = list(targets)
        while waiting:
            stage = waiting.pop()
            upstream = self.upstream(stage)
            if stage not in wanted:
                wanted.add(stage)
                waiting.extend(upstream)
        return tuple(stage for stage in self.order() if stage in wanted)

    def order(self) -> tuple[str, ...]:
        """All stages, each after those it reads, else as dvc.yaml lists them.

        Raises:
            GraphError: stages depend on each other in a circle.
        """
        # Sorted predecessors: a set's own order changes from process to process.
        sorter = graphlib.TopologicalSorter(
            {stage: sorted(self.edges[stage]) for stage in self.stages}
        )
        try:
            return tuple(sorter.static_order())
        except graphlib.CycleError as error:
            raise GraphError(f"stages depend on each other: {' → '.join(error.args[1])}") from error


def load_graph(path: Path) -> Graph:
    """Reads a dvc.yaml.

    Raises:
        GraphError: the file is missing, is no YAML or no dvc.yaml, uses templates, or its
            stages form a circle or share an output.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GraphError(f"{path} cannot be read: {error}") from error
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise GraphError(f"{path} is not valid YAML: {error}") from error
    return parse_graph(document)


def parse_graph(document: Any) -> Graph:
    """Builds the graph from what a dvc.yaml holds.

    Raises:
        GraphError: see `load_graph`.
    """
    mapping = _mapping(document, "dvc.yaml")
    if "vars" in mapping:
        raise GraphError("dvc.yaml: 'vars' is not supported; write the values out")
    entries = _mapping(mapping.get("stages"), "dvc.yaml: stages")
    stages = {str(name): _stage(str(name), entry) for name, entry in entries.items()}
    writers = _writers(stages.values())
    edges = {
        stage.name: frozenset(
            writers[out] for dep in stage.deps for out in writers if _overlap(dep, out)
        )
        for stage in stages.values()
    }
    graph = Graph(stages, edges)
    graph.order()
    return graph


def _stage(name: str, entry: Any) -> Stage:
    where = f"stage {name!r}"
    mapping = _mapping(entry, where)
    for key in TEMPLATE_KEYS:
        if key in mapping:
            raise GraphError(f"{where}: {key!r} is not supported; write the stages out")
    folder = _text(mapping.get("wdir", "."), f"{where}: wdir")
    return Stage(
        name,
        _paths(mapping, "deps", folder, where),
        tuple(path for kind in OUTPUT_KINDS for path in _paths(mapping, kind, folder, where)),
        _options(mapping.get("meta"), where),
    )


def _paths(mapping: Mapping[Any, Any], kind: str, folder: str, where: str) -> tuple[str, ...]:
    entries = mapping.get(kind)
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise GraphError(f"{where}: {kind} is {entries!r}, expected a list of paths")
    names = []
    for entry in entries:
        if isinstance(entry, dict) and len(entry) == 1:
            entry = next(iter(entry))
        names.append(_text(entry, f"{where}: {kind}"))
    return tuple(name if "://" in name else _normal(folder, name) for name in names)


def _normal(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise GraphError(f"{where}: {value!r} is not a path")
    if "${" in value:
        raise GraphError(f"{where}: {value!r} is a template, which is not supported")
    return value


def _mapping(value: Any, where: str) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise GraphError(f"{where} is {value!r}, expected a mapping")
    return value


def _overlap(one: str, other: str) -> bool:
    """Whether the paths are equal or one lies inside the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _writers(stages: Iterable[Stage]) -> dict[str, str]:
    writers: dict[str, str] = {}
    for stage in stages:
        for out in stage.outs:
            for known, writer in writers.items():
                if _overlap(out, known):
                    raise GraphError(
                        f"output {out!r} of stage {stage.name!r} is also written by "
                        f"stage {writer!r} ({known!r})"
                    )
            writers[out] = stage.name
    return writers


def _options(meta: Any, where: str) -> Options:
    if meta is None:
        return Options()
    mapping = _mapping(meta, f"{where}: meta")
    known = Options.__dataclass_fields__
    for key in mapping:
        if key not in known:
            raise GraphError(f"{where}: meta has {key!r}, expected one of {sorted(known)}")
    tags = mapping.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise GraphError(f"{where}: meta.tags is {tags!r}, expected a list of words")
    retries = _number(mapping.get("retries", 0), f"{where}: meta.retries")
    if retries != int(retries):
        raise GraphError(f"{where}: meta.retries is {retries}, expected a whole number")
    delay = _number(mapping.get("retry_delay_seconds", 0), f"{where}: meta.retry_delay_seconds")
    timeout = mapping.get("timeout_seconds")
    if timeout is not None:
        timeout = _number(timeout, f"{where}: meta.timeout_seconds")
        if timeout == 0:
            raise GraphError(f"{where}: meta.timeout_seconds is 0, expected more")
    return Options(tuple(tags), int(retries), delay, timeout)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GraphError(f"{where} is {value!r}, expected a number")
    if not math.isfinite(value) or value < 0:
        raise GraphError(f"{where} is {value!r}, expected a finite number from 0")
    return float(value)
