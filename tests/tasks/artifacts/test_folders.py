"""Folders give their images in order; what is wrong with one is told, what leads out is refused."""

import os
import socket
import unicodedata
from pathlib import Path

import pytest

from tasks.artifacts.folders import (
    Arrival,
    clean_text,
    find_images,
    list_folder,
    printable,
    read_file,
)
from tasks.core.errors import SourceError


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())


def listed(root: Path, *unlabelled: str) -> list[Arrival]:
    return list(list_folder(root, list(unlabelled)))


def test_labels_come_from_folders_in_order_of_path(tmp_path):
    make(tmp_path, "dog/b.png", "cat/a.png", "cat/deep/er/a.png", "dog/a.PNG", "cat/b.JpEg")
    arrivals = listed(tmp_path)
    assert [(arrival.path, arrival.label) for arrival in arrivals] == [
        ("cat/a.png", "cat"),
        ("cat/b.JpEg", "cat"),
        ("cat/deep/er/a.png", "cat"),
        ("dog/a.PNG", "dog"),
        ("dog/b.png", "dog"),
    ]
    assert all(arrival.data == arrival.path.encode() for arrival in arrivals)
    assert {arrival.split for arrival in arrivals} == {None}


def test_splits_come_from_the_first_folder(tmp_path):
    make(tmp_path, "train/cat/a.png", "val/cat/b.png", "test/dog/x/c.png")
    assert [(a.split, a.label) for a in listed(tmp_path)] == [
        ("test", "dog"),
        ("train", "cat"),
        ("val", "cat"),
    ]


def test_unlabelled_folders_have_no_label(tmp_path):
    make(tmp_path, "train/cat/a.png", "more/b.png", "more/deep/c.png")
    assert [(a.path, a.split, a.label) for a in listed(tmp_path, "more")] == [
        ("more/b.png", None, None),
        ("more/deep/c.png", None, None),
        ("train/cat/a.png", "train", "cat"),
    ]


@pytest.mark.parametrize("named", ["nowhere", "More", "more/deep", "train/cat", "", "."])
def test_an_unlabelled_folder_that_is_not_there_is_told(tmp_path, named):
    make(tmp_path, "train/cat/a.png", "more/deep/c.png")
    with pytest.raises(SourceError, match=r"`unlabelled` names .* as \['more', 'train'\]"):
        listed(tmp_path, "more", named)


@pytest.mark.parametrize(
    "extension", ["jpg", "JPG", "jpeg", "JPE", "png", "BMP", "WebP", "tif", "TIFF", "gif"]
)
def test_images_are_known_by_any_case_of_their_ending(tmp_path, extension):
    make(tmp_path, f"cat/a.{extension}")
    assert find_images(tmp_path) == [f"cat/a.{extension}"]


def test_hidden_files_and_others_are_left_out(tmp_path):
    make(
        tmp_path, "cat/a.png", "cat/.b.png", ".git/c.png", "cat/Thumbs.db", "readme.txt", "cat/png"
    )
    assert find_images(tmp_path) == ["cat/a.png"]


def test_a_folder_named_like_an_image_is_a_folder(tmp_path):
    make(tmp_path, "cat/a.png/b.png")
    assert find_images(tmp_path) == ["cat/a.png/b.png"]


def test_a_missing_root_is_told(tmp_path):
    make(tmp_path, "file.png")
    for root in (tmp_path / "nowhere", tmp_path / "file.png"):
        with pytest.raises(SourceError, match="no such folder"):
            listed(root)


@pytest.mark.parametrize("path", [None, "cat/notes.txt", "cat/.hidden.png"])
def test_a_folder_without_images_is_told(tmp_path, path):
    if path:
        make(tmp_path, path)
    with pytest.raises(SourceError, match=r"holds no image; expected files ending in \.bmp"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("paths", "outside"),
    [(["cat/a.png", "b.png"], "b.png"), (["train/cat/a.png", "val/b.png"], "val/b.png")],
)
def test_an_image_outside_every_class_is_told(tmp_path, paths, outside):
    make(tmp_path, *paths)
    with pytest.raises(SourceError, match=f"{outside}: lies in no class folder"):
        listed(tmp_path)


def test_splits_beside_classes_are_told(tmp_path):
    make(tmp_path, "train/cat/a.png", "dog/b.png")
    with pytest.raises(SourceError, match=r"\['train'\].*beside others \(\['dog'\]\)"):
        listed(tmp_path)


@pytest.mark.parametrize("kind", ["file", "folder", "missing"])
def test_a_link_that_leads_out_is_refused(tmp_path, kind):
    root, outside = tmp_path / "root", tmp_path / "root-outside"
    make(root, "cat/a.png")
    make(outside, "b.png")
    targets = {"file": outside / "b.png", "folder": outside, "missing": outside / "c.png"}
    (root / "cat" / "link.png").symlink_to(targets[kind])
    with pytest.raises(SourceError, match=r"link\.png: is a link that leads out of"):
        listed(root)


def test_a_link_within_the_root_is_followed_to_files_alone(tmp_path):
    make(tmp_path, "cat/a.png", "dog/d.png")
    (tmp_path / "cat" / "same.png").symlink_to("a.png")
    assert {a.path: a.data for a in listed(tmp_path)}["cat/same.png"] == b"cat/a.png"
    (tmp_path / "cat" / "loop").symlink_to("../dog")
    with pytest.raises(SourceError, match="is a link to a folder"):
        listed(tmp_path)


def test_a_link_to_nothing_or_to_itself_is_a_problem_of_one_image(tmp_path):
    make(tmp_path, "cat/a.png")
    (tmp_path / "cat" / "b.png").symlink_to("gone.png")
    (tmp_path / "cat" / "c.png").symlink_to("c.png")
    assert [bool(a.problem) for a in listed(tmp_path)] == [False, True, True]


def test_a_root_may_be_a_link(tmp_path):
    make(tmp_path / "real", "cat/a.png")
    (tmp_path / "root").symlink_to("real")
    assert [a.path for a in listed(tmp_path / "root")] == ["cat/a.png"]


def test_a_named_pipe_does_not_hold_the_run(tmp_path):
    make(tmp_path, "cat/a.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    arrival = listed(tmp_path)[1]
    assert (arrival.path, arrival.data, arrival.problem) == (
        "cat/pipe.png",
        b"",
        "unreadable: is not a regular file",
    )


def test_a_socket_is_a_problem_of_one_image(tmp_path, monkeypatch):
    make(tmp_path, "cat/a.png")
    monkeypatch.chdir(tmp_path / "cat")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket.png")
        assert listed(tmp_path)[1].problem.startswith("unreadable: ")


def test_what_cannot_be_read_is_a_problem(tmp_path):
    assert read_file(tmp_path / "gone") == (b"", "unreadable: No such file or directory")
    data, problem = read_file(tmp_path)
    assert data == b"" and problem


def test_a_file_that_vanishes_after_listing_is_a_problem_of_its_own(tmp_path):
    make(tmp_path, "cat/a.png", "cat/b.png", "cat/c.png")
    arrivals = list_folder(tmp_path, [])
    next(arrivals)
    (tmp_path / "cat" / "b.png").unlink()
    assert [(a.path, bool(a.problem)) for a in arrivals] == [
        ("cat/b.png", True),
        ("cat/c.png", False),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_problem(tmp_path):
    make(tmp_path, "cat/a.png")
    (tmp_path / "cat" / "a.png").chmod(0)
    assert listed(tmp_path)[0].problem == "unreadable: Permission denied"


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_001])
def test_a_file_is_read_to_its_end(tmp_path, size):
    (tmp_path / "f").write_bytes(os.urandom(size))
    assert read_file(tmp_path / "f") == ((tmp_path / "f").read_bytes(), "")


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux")
def test_a_file_longer_than_its_size_is_bounded_too(monkeypatch):
    assert os.stat("/proc/self/status").st_size == 0
    assert read_file("/proc/self/status")[0]
    monkeypatch.setattr("tasks.artifacts.folders.MAX_FILE_BYTES", 10)
    data, problem = read_file("/proc/self/status")
    assert data == b"" and problem.startswith("too_many_bytes: ")


def test_spaces_and_forms_of_unicode_give_one_label(tmp_path):
    composed, apart = (unicodedata.normalize(form, "Äpfel") for form in ("NFC", "NFD"))
    make(
        tmp_path, f"{composed}/a.png", f"{apart}/b.png", f" {composed} /c.png", "two words/d e.png"
    )
    assert {a.label for a in listed(tmp_path)} == {composed, "two words"}
    assert len(listed(tmp_path)) == 4


def test_names_that_are_not_utf8_stay_readable(tmp_path):
    root = os.fsencode(tmp_path)
    os.mkdir(root + b"/\xff cat")
    Path(os.fsdecode(root + b"/\xff cat/\xfe.png")).write_bytes(b"data")
    (arrival,) = listed(tmp_path)
    assert (arrival.path, arrival.label, arrival.data) == (
        "\\xff cat/\\xfe.png",
        "\\xff cat",
        b"data",
    )
    arrival.path.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cat", "cat"),
        (" cat\n", "cat"),
        ("\t", ""),
        ("e\u0301", "é"),
        ("a b", "a b"),
        ("\udcff", "\\xff"),
    ],
)
def test_clean_text(text, clean):
    assert clean_text(text) == clean
    assert clean_text(clean) == clean


def test_printable_keeps_valid_text():
    assert printable("ü/\u20ac\n") == "ü/\u20ac\n"
