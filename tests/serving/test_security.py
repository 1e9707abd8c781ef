"""Keys are compared whole, and come from where a reference says."""

import pytest

from serving.security import Keys, is_meant, load_keys
from tasks.core.errors import ParamsError

KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (f"Bearer {KEY}", True),
        (f"bearer {KEY}", True),
        ("Bearer other-key-of-some-length", True),
        (f"Bearer {KEY}0", False),
        (f"Bearer {KEY[:-1]}", False),
        (f"Basic {KEY}", False),
        (KEY, False),
        ("Bearer", False),
        ("Bearer \udcff", False),
        (None, False),
    ],
)
def test_only_a_whole_key_is_let_in(given, allowed):
    assert Keys([KEY, "other-key-of-some-length"]).allow(given) is allowed


def test_without_keys_everyone_is():
    assert not Keys([]) and Keys([]).allow(None)


def test_keys_are_read_from_a_file_one_a_line(tmp_path):
    (tmp_path / "keys").write_text(f"\n{KEY}\n  second-key-0123456 \n")
    keys = load_keys(f"file:{tmp_path / 'keys'}")
    assert keys.allow(f"Bearer {KEY}") and keys.allow("Bearer second-key-0123456")
    assert not load_keys("")


def test_a_key_that_can_be_guessed_is_none(monkeypatch):
    monkeypatch.setenv("WEAK", "hunter2")
    with pytest.raises(ParamsError, match="fewer than 16") as raised:
        load_keys("env:WEAK")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "origin", "meant"),
    [
        ("localhost:8000", None, True),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("localhost:8000", "http://localhost:8000", True),
        ("localhost:8000", "http://localhost:9000", False),
        ("localhost:8000", "null", False),
        ("evil.example", None, False),
        ("localhost.evil.example", None, False),
        ("[", None, False),
        ("localhost", "http://[", False),
        (None, None, False),
    ],
)
def test_a_browser_elsewhere_is_told_from_a_person_here(host, origin, meant):
    assert is_meant(host, origin) is meant
