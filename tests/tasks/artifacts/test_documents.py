"""The same document gives the same bytes; what cannot be read is told by path."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.artifacts.documents import load_json, load_yaml, save_bytes, save_json, save_text
from tasks.core.errors import ArtifactError

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(documents)
def test_json_comes_back_as_it_was(tmp_path_factory, document):
    file = tmp_path_factory.getbasetemp() / "document.json"
    save_json(document, file)
    assert load_json(file) == document


def test_json_bytes_hang_on_content_alone(tmp_path):
    save_json({"b": 1, "a": {"d": "ü", "c": 2}}, tmp_path / "one")
    save_json({"a": {"c": 2, "d": "ü"}, "b": 1}, tmp_path / "other")
    text = (tmp_path / "one").read_text(encoding="utf-8")
    assert text == (tmp_path / "other").read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"') and "ü" in text and text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_numbers_that_json_lacks(tmp_path, value):
    file = tmp_path / "f"
    save_json(1, file)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json({"a": [value]}, file)
    assert json.loads(file.read_text()) == 1


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1', b"\xff\xfe{\0}\0", b"\x80"])
def test_broken_json_is_told_by_path(tmp_path, data):
    file = tmp_path / "f.json"
    file.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"f\.json: is not valid JSON"):
        load_json(file)


@pytest.mark.parametrize("load", [load_json, load_yaml])
def test_a_missing_file_is_told_by_path(tmp_path, load):
    with pytest.raises(ArtifactError, match=r"nowhere: does not exist"):
        load(tmp_path / "nowhere")


def test_yaml_is_read_as_dvc_reads_it(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("rate: 1e-3\noff: no\noctal: 010\n")
    assert load_yaml(file) == {"rate": 0.001, "off": "no", "octal": 10}


@pytest.mark.parametrize("data", [b"a: [1", b"a: b: c", b"\xff\xfe\0", b"a: 1\na: 2\n", b"\ta: 1"])
def test_broken_yaml_is_told_by_path(tmp_path, data):
    file = tmp_path / "f.yaml"
    file.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"f\.yaml: is not valid YAML"):
        load_yaml(file)


def test_yaml_builds_no_objects(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ArtifactError, match="is not valid YAML"):
        load_yaml(file)


def test_bytes_are_written_as_they_are(tmp_path):
    save_bytes(b"\r\n\0\xff", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"\r\n\0\xff"
    save_text("a\r\nü", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == "a\r\nü".encode()
