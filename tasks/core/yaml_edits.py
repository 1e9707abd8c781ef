"""Values of a YAML document changed in its text, where nothing but them changes."""

import difflib
import json
from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tasks.core.errors import ParamsError


def edit_values(text: str, values: Mapping[str, Any]) -> str:
    """The text with other values at the dotted names; comments, order and form stay.

    Raises ParamsError if a name leads nowhere, or to what an anchor shares with other places.
    """
    for name in sorted(values, key=lambda one: one.count(".")):
        # As text, as true equals 1 otherwise.
        if _flow(value_at(_load(text), name)) != _flow(values[name]):
            text = _edited(text, name, values[name])
    return text


def make_patch(old: str, new: str, path: str) -> str:
    """A unified diff that `git apply` takes; empty where nothing differs."""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    unended = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + unended for line in lines)


def value_at(document: Any, name: str) -> Any:
    for key in name.split("."):
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def _edited(text: str, name: str, value: Any) -> str:
    root = YAML(typ="rt", pure=True).compose(StringIO(text))
    key_end, node = _find(root, name)
    if node.anchor:
        raise ParamsError(f"params.yaml: {name}: is shared through an anchor; edit it by hand")
    begin, written = node.start_mark.index, _flow(value)
    # A mapping written over several lines begins below its key.
    if "\n" in text[key_end:begin] and not text[key_end:begin].strip(" :\r\n"):
        begin, written = key_end, f": {written}"
    new = text[:begin] + written + text[_end(node) :]
    assert value_at(_load(new), name) == value, name
    return new


def _find(root: Any, name: str) -> tuple[int, Node]:
    """The node of a value, and where its key ends in the text; in a list, where it begins."""
    node, key_end = root, 0
    for key in name.split("."):
        found = None
        if isinstance(node, MappingNode):
            found = next(((k.end_mark.index, v) for k, v in node.value if k.value == key), None)
        elif isinstance(node, SequenceNode) and key.isdecimal() and int(key) < len(node.value):
            found = node.value[int(key)].start_mark.index, node.value[int(key)]
        if found is None:
            raise ParamsError(f"params.yaml: {name}: there is no {key!r}")
        key_end, node = found
    return key_end, node


def _end(node: Node) -> int:
    """Where the last character of a value stands; a block ends, for YAML, before the next token."""
    if isinstance(node, ScalarNode) or getattr(node, "flow_style", True) or not node.value:
        return node.end_mark.index
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _flow(value: Any) -> str:
    """A value on one line, as params.yaml writes them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    if isinstance(value, str) and value.isidentifier() and _load(value) == value:
        return value
    # To YAML, some of what cannot be printed ends a line.
    return json.dumps(value, ensure_ascii=not (isinstance(value, str) and value.isprintable()))


def _load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)
