"""Secrets are found where a reference says, and told to nobody."""

import pytest

from monitoring.references import read_reference
from tasks.core.errors import ParamsError


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_TEST", " s:3 \n")
    (tmp_path / "secret").write_text("s:4\n")
    assert read_reference("env:SECRET_OF_TEST", "a") == "s:3"
    assert read_reference(f"file:{tmp_path / 'secret'}", "a") == "s:4"


@pytest.mark.parametrize("text", ["hunter2", "env:", "file:", "", "vault:hunter2"])
def test_a_secret_itself_is_refused_and_not_repeated(text):
    with pytest.raises(ParamsError, match="where: expected env:NAME or file:/path") as raised:
        read_reference(text, "where")
    assert "hunter2" not in str(raised.value)


def test_what_is_not_there_is_told_by_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("EMPTY_OF_TEST", " ")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    for place in ("env:NO_SUCH_OF_TEST", "env:EMPTY_OF_TEST", f"file:{tmp_path / 'none'}",
                  f"file:{tmp_path / 'empty'}", f"file:{tmp_path / 'binary'}",
                  f"file:{tmp_path}"):  # fmt: skip
        with pytest.raises(ParamsError, match=place.partition(":")[2]):
            read_reference(place, "where")
