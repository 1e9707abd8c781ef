"""A sample that depends on the id alone, encrypted if asked, and a source that ingest reads."""

import pytest
from cryptography.fernet import Fernet

from monitoring.images import KeptImages, export, load_cipher, main, why_kept
from monitoring.store import Store, parse_store
from serving.predictor import new_id
from tasks.artifacts.manifests import list_manifest
from tasks.core.errors import ArtifactError, ParamsError
from tests.monitoring.records import feedback, record
from tests.serving.champions import png


def test_the_sample_is_uniform_and_the_same_whenever_asked():
    ids = [new_id() for _ in range(20_000)]
    chosen = [why_kept(one, False, 0.05) for one in ids]
    assert chosen == [why_kept(one, False, 0.05) for one in ids]
    # Five standard deviations of a binomial draw.
    assert abs(chosen.count("sample") - 1000) < 5 * 31
    assert {why_kept(one, True, 0.0) for one in ids[:9]} == {"abstained"}
    assert {why_kept(one, False, 0.0) for one in ids} == {""}
    assert {why_kept(one, False, 1.0) for one in ids} == {"sample"}
    # Whether the model is unsure has no say in who is drawn.
    assert [why_kept(one, True, 0.05) == "sample" for one in ids] == [
        one == "sample" for one in chosen
    ]


def test_with_a_key_nothing_readable_is_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY_OF_TEST", Fernet.generate_key().decode())
    images = KeptImages(tmp_path / "images", load_cipher("env:KEY_OF_TEST"))
    images.keep("a", png(9))
    (path,) = (tmp_path / "images").iterdir()
    assert b"PNG" not in path.read_bytes()
    assert images.load("a") == png(9) and images.ids() == ["a"]
    other = KeptImages(tmp_path / "images", Fernet(Fernet.generate_key()))
    for reader in (other, KeptImages(tmp_path / "images", None)):
        with pytest.raises(ArtifactError, match="another key"):
            reader.load("a")
    assert images.load("b") is None


def test_a_key_that_is_none_is_told_without_it(monkeypatch):
    assert load_cipher("") is None
    monkeypatch.setenv("KEY_OF_TEST", "hunter2")
    with pytest.raises(ParamsError, match="expected 32 bytes") as raised:
        load_cipher("env:KEY_OF_TEST")
    assert "hunter2" not in str(raised.value)


@pytest.fixture
def kept(tmp_path):
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    store.add([record(0), record(1), feedback(1, "light", 9.0)])
    images = KeptImages(tmp_path / "images", None)
    for number in (0, 1, 2):
        images.keep(f"{number:032x}", png(number))
    yield store, images
    store.close()


def test_what_was_kept_is_a_source_of_ingest(kept, tmp_path):
    store, images = kept
    # The third has lost its prediction to retention.
    assert export(store, images, tmp_path / "out") == 2
    arrivals = list(list_manifest(tmp_path / "out/manifest.csv"))
    assert [one.data for one in arrivals] == [png(0), png(1)]
    assert [one.label for one in arrivals] == [None, "light"]
    assert arrivals[1].captured_at is not None
    assert arrivals[1].captured_at.startswith("2026-01-01T00:00:01")


def test_the_command_writes_it_and_tells_what_is_missing(kept, tmp_path, capsys):
    asked = ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    assert main([*asked, "--store", f"sqlite:///{tmp_path}/store.sqlite"]) == 0
    assert "2 images" in capsys.readouterr().out
    assert main([*asked, "--store", f"sqlite:///{tmp_path}/none.sqlite"]) == 1
    assert "none.sqlite: does not exist" in capsys.readouterr().err
    assert not (tmp_path / "none.sqlite").exists()
