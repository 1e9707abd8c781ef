"""Values change, and not a byte around them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tasks.core.errors import ParamsError
from tasks.core.yaml_edits import edit_values, make_patch, value_at

PARAMS = (Path(__file__).parents[3] / "params.yaml").read_bytes().decode()
TEXT = """\
# A comment.

b:   # odd spaces
  x:    1e-3     # a rate
  'y': {p: [1, 2,  3], q: "no # comment"}   # flow
  z:
    # inside
    deep: 5 # last

  list:
    - {p: 0.5}
    -   p: 1.0
        q: two
a: [x]
"""
texts = st.text("ay:#'\"\\{}[],&*!|>%@`-? \n\t\u2028é0.~", max_size=6)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("b.x", 0.0005, "1e-3", "0.0005"),
        ("b.x", 1e-05, "1e-3", "1e-05"),
        ("b.y.p", [4], "[1, 2,  3]", "[4]"),
        ("b.y.p.1", 7, "2,", "7,"),
        ("b.y.q", "gelu", '"no # comment"', "gelu"),
        ("b.y.q", "yes: no", '"no # comment"', '"yes: no"'),
        ("b.y.q", "null", '"no # comment"', '"null"'),
        ("b.z.deep", None, "5", "null"),
        ("b.list.1.q", True, "two", "true"),
        ("b.list.0.p", 0.25, "0.5", "0.25"),
    ],
)
def test_only_the_value_changes(name: str, value: Any, old: str, new: str) -> None:
    assert edit_values(TEXT, {name: value}) == TEXT.replace(old, new, 1)


def test_a_block_gives_place_to_a_line() -> None:
    edited = edit_values(TEXT, {"b.list": [{"p": 1}]})
    assert "  list: [{p: 1}]\na: [x]\n" in edited
    assert edited.startswith(TEXT[: TEXT.index("  list:")])


def test_line_ends_and_what_has_its_value_already_stay() -> None:
    text = "a: 1 # one\r\nb: 1.0\r\n"
    assert edit_values(text, {"a": 2}) == "a: 2 # one\r\nb: 1.0\r\n"
    assert edit_values(text, {"a": 1, "b": 1.0}) == text
    assert edit_values("a: 1", {"a": 2}) == "a: 2"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["b.x", "b.y.p", "b.y.q", "b.z.deep", "a"]), values))
def test_any_value_is_read_back_and_others_are_as_they_were(edits: dict[str, Any]) -> None:
    edited = edit_values(TEXT, edits)
    for name in ("b.x", "b.y.p", "b.y.q", "b.z.deep", "b.list", "a"):
        expected = edits[name] if name in edits else value_at(load(TEXT), name)
        assert value_at(load(edited), name) == expected
    assert edited.startswith("# A comment.\n\nb:   # odd spaces\n  x:    ")
    assert "     # a rate\n" in edited and "# inside\n" in edited


@pytest.mark.parametrize("name", ["b.none", "b.x.y", "b.list.9.p", "none"])
def test_a_name_that_leads_nowhere_is_told(name: str) -> None:
    with pytest.raises((ParamsError, KeyError, TypeError, IndexError)):
        edit_values(TEXT, {name: 1})


def test_what_an_anchor_shares_is_left_to_people() -> None:
    with pytest.raises(ParamsError, match="anchor"):
        edit_values("a: &one [1]\nb: *one\n", {"a": [2]})


@pytest.mark.parametrize("text", [PARAMS, PARAMS.rstrip("\n"), PARAMS.replace("\n", "\r\n")])
def test_git_applies_the_patch(tmp_path: Path, text: str) -> None:
    old = text
    new = edit_values(old, {"finetune.epochs": 7, "report.title": "Another"})
    (tmp_path / "params.yaml").write_bytes(old.encode())
    (tmp_path / "a.patch").write_bytes(make_patch(old, new, "params.yaml").encode())
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", "a.patch"], cwd=tmp_path, check=True)
    assert (tmp_path / "params.yaml").read_bytes().decode() == new
    assert make_patch(old, old, "params.yaml") == ""
