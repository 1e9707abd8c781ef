"""Settings come from the environment, and a server nobody may reach is the default."""

import pytest

from serving.settings import Settings, describe_settings, load_settings
from tasks.core.errors import ParamsError


def test_defaults_are_of_this_machine_alone():
    settings = load_settings({"PATH": "x", "TILTH_TUNE_STORAGE": "y"})
    assert settings == Settings()
    assert settings.is_local and not settings.key


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_no_key(host):
    assert load_settings({"TILTH_SERVE_HOST": host}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_elsewhere_it_does(host):
    with pytest.raises(ParamsError, match="a key is needed"):
        load_settings({"TILTH_SERVE_HOST": host})
    assert load_settings({"TILTH_SERVE_HOST": host, "TILTH_SERVE_KEY": "env:K"}).key == "env:K"


@pytest.mark.parametrize(
    ("name", "text"),
    [("PORT", "-1"), ("PORT", "x"), ("MAX_BATCH", "0"), ("IMAGE_FRACTION", "1.5"),
     ("POLL_SECONDS", "nan"), ("NO_SUCH", "1")],
)  # fmt: skip
def test_mistakes_are_told_by_their_names(name, text):
    with pytest.raises(ParamsError, match=f"TILTH_SERVE.*{name.lower()}"):
        load_settings({f"TILTH_SERVE_{name}": text})


def test_help_names_every_setting():
    told = describe_settings()
    assert all(f"TILTH_SERVE_{name.upper()} (" in told for name in Settings.model_fields)
