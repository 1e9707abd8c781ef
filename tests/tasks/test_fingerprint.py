"""What a model was made of names the libraries that made it."""

from tasks.fingerprint import MODEL_LIBRARIES, library_versions


def test_timm_is_named_where_it_is_installed(tmp_path, monkeypatch):
    metadata = tmp_path / "timm-1.2.3.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: timm\nVersion: 1.2.3\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    versions = library_versions(MODEL_LIBRARIES)
    assert versions["timm"] == "1.2.3"
    assert versions["torch"]


def test_a_library_that_is_not_installed_is_left_out():
    assert library_versions(["torch", "no-such-library"]).keys() == {"torch"}
