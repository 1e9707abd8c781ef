"""An archive gives what its folder would; what leads out, links, lies or explodes is refused.

Long because it makes each kind of hostile archive by hand.
"""

import gzip
import io
import os
import stat
import struct
import subprocess
import tarfile
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tasks.artifacts.archives import find_archive, list_archive
from tasks.artifacts.folders import MAX_FILE_BYTES, Arrival, list_folder
from tasks.core.errors import SourceError

LONG = "x" * 90
PATHS = (
    "train/cat/a.png",
    "train/cat/b.JPG",
    "train/dög/c.png",
    f"train/{unicodedata.normalize('NFD', 'dög')}/d.png",
    f"test/猫 {LONG}/{LONG}/{LONG}/e.gif",
    "more/f.webp",
    "train/cat/.hidden.png",
    "__MACOSX/train/cat/._a.png",
    ".git/g.png",
    "train/cat/notes.txt",
    "train/more.zip",
    "train/folder.png/h.png",
)
UNLABELLED = ["more"]
Members = list[tuple[str, bytes]]
TAR_FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    for path in PATHS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode() * 40)
    return root


def listed(root: Path, *unlabelled: str) -> list[Arrival]:
    place = find_archive(root)
    assert place
    return list(list_archive(place, list(unlabelled)))


def make_zip(file: Path, members: Members, compression=zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members:
            entry = zipfile.ZipInfo("x")
            entry.filename = name  # as it stands: the constructor would mend it
            entry.compress_type = compression
            archive.writestr(entry, data)
    return file


def make_tar(file: Path, members: Members, mode="w", form=tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(file, mode, format=form) as archive:  # type: ignore[call-overload]
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file


MAKERS = {
    "zip": lambda file, members: make_zip(file.with_suffix(".zip"), members),
    "tar": lambda file, members: make_tar(file.with_suffix(".tar"), members),
    "tgz": lambda file, members: make_tar(file.with_suffix(".tgz"), members, "w:gz"),
}
makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


# What is right


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("inside", ["", "photos"])
def test_a_zip_gives_what_its_folder_gives(folder, tmp_path, compression, inside):
    file = tmp_path / "some.ZIP"
    with zipfile.ZipFile(file, "w", compression) as archive:
        for path in [folder, *sorted(folder.rglob("*"), reverse=True)]:
            archive.write(path, Path(inside) / path.relative_to(folder))
    expected = list(list_folder(folder, UNLABELLED))
    assert len(expected) == 7
    assert listed(file / inside, *UNLABELLED) == expected


@pytest.mark.parametrize("form", TAR_FORMATS)
@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz"])
@pytest.mark.parametrize("inside", [".", "photos"])
def test_a_tar_gives_what_its_folder_gives(folder, tmp_path, form, ending, inside):
    if form == "ustar":  # which has no place for longer names
        os.rename(folder / f"test/猫 {LONG}", folder / "test/dog")
    file = tmp_path / f"some.{ending}"
    mode = "w" if ending == "tar" else "w:gz"
    with tarfile.open(file, mode, format=TAR_FORMATS[form]) as archive:
        archive.add(folder, inside)
    assert listed(file / inside, *UNLABELLED) == list(list_folder(folder, UNLABELLED))


@pytest.mark.parametrize("command", ["tar -cf some.tar -C photos .", "tar -czf some.tgz photos"])
def test_what_other_tools_write_is_read(folder, tmp_path, command):
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    file = next(tmp_path.glob("some.*"))
    inside = "photos" if file.suffix == ".tgz" else ""
    assert listed(file / inside, *UNLABELLED) == list(list_folder(folder, UNLABELLED))


def test_a_name_that_is_no_utf8_is_read_as_in_a_folder(tmp_path):
    name = os.fsdecode(b"\xff cat/\xfe.png")
    (tmp_path / "in" / name).parent.mkdir(parents=True)
    (tmp_path / "in" / name).write_bytes(b"data")
    for form in TAR_FORMATS.values():
        with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
            archive.add(tmp_path / "in" / name, name)
        assert listed(tmp_path / "a.tar") == list(list_folder(tmp_path / "in", []))


def test_utf8_that_a_zip_does_not_declare_is_read(tmp_path):
    file = make_zip(tmp_path / "a.zip", [("dög/a.png", b"A")])
    data = file.read_bytes()
    assert data.count(b"\x00\x08\x00\x00") == 2  # the flag and no compression, in both headers
    file.write_bytes(data.replace(b"\x00\x08\x00\x00", bytes(4)))
    assert [a.label for a in listed(file)] == ["dög"]
    old = make_zip(tmp_path / "b.zip", [("dog/a.png", b"A")])
    old.write_bytes(old.read_bytes().replace(b"dog/", b"d\x94g/"))
    assert [a.label for a in listed(old)] == ["dög"]


def test_a_path_leads_into_an_archive_only_where_there_is_one(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    make_zip(tmp_path / "b.zip", [("x", b"")])
    assert find_archive(tmp_path / "folder.zip" / "in") is None
    assert find_archive(tmp_path / "a.png") is None
    assert find_archive(tmp_path / "gone.zip") is None
    assert find_archive(tmp_path / "b.zip") == (tmp_path / "b.zip", "")
    assert find_archive(tmp_path / "b.zip" / "in" / "deep") == (tmp_path / "b.zip", "in/deep/")


@makers
def test_a_folder_inside_is_a_whole_name(tmp_path, make):
    file = make(tmp_path / "a", [("ab/cat/a.png", b"1"), ("a/dog/b.png", b"2")])
    assert [(a.path, a.label) for a in listed(file / "a")] == [("dog/b.png", "dog")]
    for nowhere in ("b", "a/dog/b.png", "../a"):
        with pytest.raises(SourceError, match="holds no image"):
            listed(file / nowhere)


@makers
@pytest.mark.parametrize("names", [[], ["cat/notes.txt"], ["cat/a.zip", "cat/.b.png"]])
def test_an_archive_without_images_is_told(tmp_path, make, names):
    with pytest.raises(SourceError, match=r"a\.\w+: holds no image; expected"):
        listed(make(tmp_path / "a", [(name, b"PK") for name in names]))


@makers
def test_folders_are_told_apart_as_in_a_folder(tmp_path, make):
    for names, message in (
        (["train/cat/a.png", "dog/b.png"], r"a\.\w+: holds folders named like splits"),
        (["cat/a.png", "b.png"], r"a\.\w+/b\.png: lies in no class folder"),
    ):
        with pytest.raises(SourceError, match=message):
            listed(make(tmp_path / "a", [(name, b"") for name in names]))


# Names and kinds of members


@makers
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../a.png", "leads upwards"),
        ("cat/../../a.png", "leads upwards"),
        ("cat/..", "leads upwards"),
        ("/etc/cat/a.png", "is absolute"),
        ("//host/cat/a.png", "is absolute"),
        ("C:/cat/a.png", "is absolute"),
        ("c:a.png", "is absolute"),
        ("cat\\a.png", "backslash or NUL"),
        ("..\\cat/a.png", "backslash or NUL"),
        ("cat/" + "x" * 5000 + ".png", "has 5,008 characters"),
        ("../notes.txt", "leads upwards"),
    ],
)
def test_a_name_that_leads_out_is_refused(tmp_path, make, name, message):
    file = make(tmp_path / "a", [("cat/a.png", b""), (name, b"")])
    with pytest.raises(SourceError, match=rf"a\.\w+: member '.*': its name .*{message}") as caught:
        listed(file)
    assert len(str(caught.value)) < 400


@makers
def test_a_member_without_a_name_is_refused(tmp_path, make):
    with pytest.raises(SourceError, match="member '': its name is empty"):
        listed(make(tmp_path / "a", [("cat/a.png", b""), ("", b"")]))


def test_a_nul_in_a_name_is_refused(tmp_path):
    zipped = make_zip(tmp_path / "a.zip", [("cat/a.png?.txt", b"")])
    zipped.write_bytes(zipped.read_bytes().replace(b"?", b"\0"))
    pax = make_tar(tmp_path / "a.tar", [("cat/a.png?ä.txt", b"")])
    pax.write_bytes(pax.read_bytes().replace(b"?\xc3", b"\0\xc3"))
    for file in (zipped, pax):
        with pytest.raises(SourceError, match="backslash or NUL"):
            listed(file)


def test_an_escape_that_is_none_stays_a_name(tmp_path):
    file = make_zip(tmp_path / "a.zip", [("cat/%2e%2e/a.png", b"A"), ("cat/..a/b.png", b"B")])
    assert [a.path for a in listed(file)] == ["cat/%2e%2e/a.png"]  # the other is hidden


@makers
@pytest.mark.parametrize("twin", ["cat/a.png", "./cat/a.png", "cat//a.png", "cat/./a.png"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path, make, twin):
    with pytest.raises(SourceError, match="is there more than once"):
        listed(make(tmp_path / "a", [("cat/a.png", b"1"), (twin, b"2")]))


def with_mode(file: Path, mode: int) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("cat/a.png")
        entry.external_attr = mode << 16
        archive.writestr(entry, "b.png")
    return file


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "a device or pipe"), (stat.S_IFCHR, "a device")],
)
def test_a_zipped_link_or_device_is_refused(tmp_path, mode, kind):
    with pytest.raises(SourceError, match=f"member 'cat/a.png': is {kind}"):
        listed(with_mode(tmp_path / "a.zip", mode | 0o777))
    assert listed(with_mode(tmp_path / "a.zip", stat.S_IFREG | 0o600))


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.FIFOTYPE, "a device, pipe"),
        (tarfile.CHRTYPE, "a device, pipe"),
        (tarfile.BLKTYPE, "a device, pipe"),
        (tarfile.GNUTYPE_SPARSE, "a file with holes"),
        (b"M", "a device, pipe or the like"),
    ],
)
@pytest.mark.parametrize("name", ["cat/b.png", "latest"])
def test_a_link_or_device_in_a_tar_is_refused(tmp_path, kind, shown, name):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("cat/a.png"))
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "../../secret.png"
        archive.addfile(entry)
    with pytest.raises(SourceError, match=f"member '{name}': is {shown}"):
        listed(tmp_path / "a.tar")


def test_a_file_with_holes_is_refused(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)
    for form in ("gnu", "pax"):
        command = ["tar", f"--format={form}", "--sparse", "-cf", "a.tar", "a.png"]
        subprocess.run(command, cwd=tmp_path, check=True)
        with pytest.raises(SourceError, match="is a file with holes"):
            listed(tmp_path / "a.tar")


# Members that lie

_CENTRAL = b"PK\x01\x02"
FIELDS = {
    "flags": (8, "<H"),
    "method": (10, "<H"),
    "crc": (16, "<L"),
    "packed": (20, "<L"),
    "size": (24, "<L"),
    "name": (28, "<H"),
    "extra": (30, "<H"),
    "at": (42, "<L"),
}


def relisted(file: Path, number: int, **changed: int) -> Path:
    """The zip with other values in its list of contents."""
    data = bytearray(file.read_bytes())
    at = -1
    for _ in range(number + 1):
        at = data.index(_CENTRAL, at + 1)
    for field, value in changed.items():
        place, form = FIELDS[field]
        struct.pack_into(form, data, at + place, value)
    file.write_bytes(data)
    return file


@pytest.fixture
def zipped(tmp_path):
    members = [(f"cat/{name}.png", name.encode() * 1000) for name in "abc"]
    return make_zip(tmp_path / "a.zip", members, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crc": 7}, "damaged in its archive: Bad CRC-32"),
        ({"size": 1500}, "damaged in its archive: 1,000 bytes of 1,500 are there"),
        ({"size": 10}, "damaged in its archive: Bad CRC-32"),
        ({"packed": 5}, "damaged in its archive"),
        ({"method": 0}, "damaged in its archive"),
        ({"method": 12}, "packed by method 12"),
        ({"method": 14}, "packed by method 14"),
        ({"method": 99}, "packed by method 99"),
    ],
)
def test_a_damaged_member_is_a_problem_of_its_own(zipped, changed, message):
    arrivals = listed(relisted(zipped, 1, **changed))
    assert [bool(a.problem) for a in arrivals] == [False, True, False]
    assert arrivals[1].problem.startswith(f"unreadable: {message}")
    assert (arrivals[1].data, arrivals[2].data) == (b"", b"c" * 1000)


def test_a_changed_byte_is_a_problem(tmp_path):
    file = make_zip(tmp_path / "a.zip", [("cat/a.png", b"some bytes"), ("cat/b.png", b"")])
    file.write_bytes(file.read_bytes().replace(b"some bytes", b"sOme bytes"))
    assert [a.problem[:11] for a in listed(file)] == ["unreadable:", ""]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"flags": 1}, r"member 'cat/b\.png': is encrypted"),
        ({"at": 0}, "lists members that overlap"),
        ({"at": 1 << 30}, "lists members that lie outside of it"),
        ({"packed": 1 << 30}, "lists members that lie outside of it"),
        ({"size": 0xFFFFFFF0}, "unpacks to 4,294,9.* bytes, which no images would"),
        ({"name": 60_000}, "member '.*': its name holds a backslash or NUL"),
        ({"extra": 60_000}, "is not a whole zip archive"),
    ],
)
def test_a_list_that_lies_is_refused(zipped, changed, message):
    with pytest.raises(SourceError, match=rf"a\.zip: {message}"):
        listed(relisted(zipped, 1, **changed))


def test_a_member_larger_than_an_image_is_a_problem(tmp_path):
    noise = np.random.default_rng(0).bytes(MAX_FILE_BYTES // 90)
    file = make_zip(tmp_path / "a.zip", [("cat/a.png", noise), ("cat/b.png", b"B")])
    with peak_below(4 * len(noise)):
        arrivals = listed(relisted(file, 1, size=MAX_FILE_BYTES + 1))
    assert [a.problem for a in arrivals] == [
        "",
        "too_many_bytes: 268,435,457 bytes; expected 268,435,456 at most",
    ]


@contextmanager
def peak_below(num_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < num_bytes


@pytest.mark.parametrize("num_members", [1, 100])
def test_a_zip_that_explodes_is_refused_unread(tmp_path, num_members):
    zeros = bytes(42_000_000 // num_members)
    members = [(f"cat/{number}.png", zeros) for number in range(num_members)]
    file = make_zip(tmp_path / "a.zip", members, zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 60_000
    with peak_below(2_000_000), pytest.raises(SourceError, match="unpacks to 42,000,000 bytes"):
        listed(file)


def test_members_that_share_bytes_are_refused(tmp_path):
    # Each name points to the same half megabyte of zeros: the total lies, the ratio does not.
    file = make_zip(tmp_path / "a.zip", [("cat/a.png", bytes(500_000)), ("cat/b.png", b"")])
    relisted(file, 1, at=0, packed=500_000, size=500_000)
    with pytest.raises(SourceError, match="overlap"):
        listed(file)


@pytest.mark.parametrize("name", ["cat/a.png", "notes.txt"])
def test_a_gzipped_tar_that_explodes_is_refused_early(tmp_path, name):
    file = make_tar(tmp_path / "a.tgz", [(name, bytes(42_000_000))], "w:gz")
    with peak_below(6_000_000), pytest.raises(SourceError, match="unpacks to more than"):
        listed(file)


@makers
def test_of_many_members_little_is_remembered(tmp_path, make):
    num_members = 10_000
    names = [f"cat/{number:05d}.png" for number in range(num_members)]
    file = make(tmp_path / "a", [(name, b"x") for name in reversed(names)])
    with peak_below(1000 * num_members):
        place = find_archive(file)
        assert place
        paths = [arrival.path for arrival in list_archive(place, [])]
    assert paths == names


def test_archives_within_are_not_opened(tmp_path):
    inner = make_zip(tmp_path / "inner.zip", [("cat/a.png", b"A")]).read_bytes()
    file = make_zip(tmp_path / "a.zip", [("cat/inner.zip", inner), ("cat/b.png", inner)])
    assert [(a.path, a.data) for a in listed(file)] == [("cat/b.png", inner)]


def test_nothing_is_left_on_the_disk(tmp_path, monkeypatch):
    file = make_tar(tmp_path / "a.tgz", [("cat/a.png", b"A")], "w:gz")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert listed(file)
    assert not list((tmp_path / "temporary").iterdir())


# Tar headers that lie


def tar_header(name: str = "cat/a.png", kind: bytes = b"0", size: bytes | int = 0) -> bytes:
    """A header of 512 bytes with the checksum that fits."""
    entry = tarfile.TarInfo(name)
    entry.type = kind
    block = bytearray(entry.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)


def extension(kind: bytes, body: bytes) -> bytes:
    return tar_header("x", kind, len(body)) + body + bytes(-len(body) % 512)


def record(key: str, value: str) -> bytes:
    text = f" {key}={value}\n".encode()
    length = len(text)
    while len(str(length)) + len(text) != length:
        length = len(str(length)) + len(text)
    return str(length).encode() + text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short at byte 0: no end mark"),
        (b"x" * 1024, "damaged at byte 0: invalid header"),
        (tar_header(), "cut short at byte 512: no end mark"),
        (tar_header() + b"x" * 512 + END, "damaged at byte 512: invalid header"),
        (tar_header() + tar_header().replace(b"cat", b"cut") + END, "at byte 512: bad checksum"),
        (tar_header(size=5000) + END, "cut short at byte 1,536; expected 5,632 or more"),
        (tar_header(size=b"\xff" * 12) + END, "damaged at byte 0: a size of -1"),
        (tar_header(size=b"\x80" + b"\x7f" * 11) + END, "cut short at byte 1,536"),
        (tar_header(size=b"-0000000512\0") + END, "damaged at byte 0: a size of -"),
        (tar_header(kind=b"x", size=8**11 - 1) + END, "a header of 8,589,934,591 bytes"),
        (tar_header(kind=b"L", size=8**11 - 1) + END, "a header of 8,589,934,591 bytes"),
        (tar_header(kind=b"g", size=b"\x80" + b"\x7f" * 11) + END, "damaged at byte 512: a header"),
        (extension(b"x", b"9 path=\n") + tar_header() + END, "expected a record of pax"),
        (extension(b"x", b"0 path=a\n") + tar_header() + END, "expected a record of pax"),
        (extension(b"x", b"-9 path=a\n") + tar_header() + END, "is no length"),
        (extension(b"x", b"9" * 900) + tar_header() + END, "is no length"),
        (extension(b"x", b"junk") + tar_header() + END, "is no length"),
        (extension(b"x", record("path", "")) + tar_header() + END, "its name is empty"),
        (extension(b"x", record("size", "-512")) + tar_header() + END, "is no length"),
        (extension(b"x", record("size", "9" * 15)) + tar_header() + END, "cut short at byte"),
        (extension(b"x", record("path", "../a.png")) + tar_header() + END, "leads upwards"),
        (extension(b"g", record("path", "/a.png")) + tar_header() + END, "is absolute"),
        (extension(b"L", b"../a.png\0") + tar_header() + END, "leads upwards"),
        (extension(b"x", record("GNU.sparse.realsize", "9")) + tar_header() + END, "holes"),
        (tar_header() + extension(b"x", record("path", "a")) + END, "a name without its member"),
        (tar_header() + tar_header("cat/b.png"), "cut short at byte 1,024"),
    ],
)
def test_a_tar_that_lies_is_refused(tmp_path, data, message):
    for file, packed in (("a.tar", data), ("a.tgz", gzip.compress(data))):
        (tmp_path / file).write_bytes(packed)
        with peak_below(3_000_000), pytest.raises(SourceError, match=message):
            listed(tmp_path / file)


def test_a_link_with_a_long_target_is_told_by_its_name(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo("cat/a.png")
        entry.type, entry.linkname = tarfile.SYMTYPE, f"{LONG}/{LONG}"
        archive.addfile(entry)
    with pytest.raises(SourceError, match=r"member 'cat/a\.png': is a link"):
        listed(tmp_path / "a.tar")


def test_a_folder_has_no_data_whatever_its_size(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_header("cat", b"5", size=4096) + tar_header() + END)
    assert [a.path for a in listed(tmp_path / "a.tar")] == ["cat/a.png"]


def test_records_end_at_a_nul(tmp_path):
    header = extension(b"x", record("path", "cat/b.png") + bytes(9))
    (tmp_path / "a.tar").write_bytes(header + tar_header() + END)
    assert [a.path for a in listed(tmp_path / "a.tar")] == ["cat/b.png"]


def test_many_headers_before_a_member_are_read(tmp_path):
    data = extension(b"x", record("path", "cat/b.png")) * 3000 + tar_header() + END
    (tmp_path / "a.tar").write_bytes(data)
    assert [a.path for a in listed(tmp_path / "a.tar")] == ["cat/b.png"]


def test_a_header_full_of_records_is_read_in_one_pass(tmp_path):
    body = b"6 a=b\n" * 174_000 + record("path", "cat/b.png")
    (tmp_path / "a.tar").write_bytes(extension(b"x", body) + tar_header() + END)
    assert [a.path for a in listed(tmp_path / "a.tar")] == ["cat/b.png"]


def test_an_archive_that_cannot_be_read_is_told(tmp_path):
    for name in ("a.zip", "a.tar", "a.tgz"):
        (tmp_path / name).write_bytes(b"neither")
        with pytest.raises(SourceError, match=rf"{name}: is (not a whole|cut short)"):
            listed(tmp_path / name)


def test_an_archive_that_becomes_shorter_is_a_problem_of_the_rest(tmp_path):
    members = [(f"cat/{number}.png", bytes(200_000)) for number in range(3)]
    for file in (make_tar(tmp_path / "a.tar", members), make_zip(tmp_path / "a.zip", members)):
        place = find_archive(file)
        assert place
        arrivals = list_archive(place, [])
        assert not next(arrivals).problem
        os.truncate(file, 300_000)
        assert [a.problem.split(":")[0] for a in arrivals] == ["unreadable"] * 2


# Fuzzed


def make_zip64(file: Path, members: Members) -> Path:
    """A zip whose list leaves sizes and places to the records of large archives."""
    file = make_zip(file, members, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(file, "a") as archive:
        for entry in archive.filelist:
            numbers = (entry.file_size, entry.compress_size, entry.header_offset)
            entry.extra = struct.pack("<HHQQQ", 1, 24, *numbers)
        archive.comment = b"."  # so that the list is written again
    file.write_bytes(file.read_bytes()[:-3] + bytes(2))
    for number in range(len(members)):
        unknown = 0xFFFFFFFF
        relisted(file, number, size=unknown, packed=unknown, at=unknown)
    return file


SEEDS = {
    "a.zip": lambda file: make_zip(file, FUZZED, zipfile.ZIP_DEFLATED),
    "b.zip": lambda file: make_zip(file, FUZZED),
    "large.zip": lambda file: make_zip64(file, FUZZED),
    "a.tar": lambda file: make_tar(file, FUZZED),
    "b.tar": lambda file: make_tar(file, FUZZED, form=tarfile.GNU_FORMAT),
    "a.tgz": lambda file: make_tar(file, FUZZED, "w:gz"),
}
FUZZED = [("cat/ä.png", b"A" * 700), (f"{LONG}/{LONG}.png", bytes(range(256))), ("dog/c.gif", b"")]


@pytest.mark.parametrize("name", SEEDS)
def test_an_archive_cut_anywhere_is_refused(tmp_path, name):
    file = SEEDS[name](tmp_path / name)
    whole = file.read_bytes()
    expected = listed(file)
    # Beyond its end mark, a tar holds padding.
    zeros = -(-len(whole.rstrip(b"\0")) // 512) * 512
    end = zeros + 512 if name.endswith(".tar") else len(whole)
    for at in range(0, end, 29):
        file.write_bytes(whole[:at])
        with pytest.raises(SourceError, match=r"is not a whole|is cut short"):
            listed(file)
    file.write_bytes(whole)
    assert listed(file) == expected


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flips, runs of one byte, spliced pieces and numbers that lie."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, width = int(rng.integers(len(changed))), int(rng.integers(1, 13))
        way = rng.integers(4)
        if way == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            changed[at : at + width] = bytes([int(rng.choice([0, 0x7F, 0x80, 0xFF]))]) * width
        elif way == 2:
            other = int(rng.integers(len(data)))
            changed[at : at + width] = data[other : other + width]
        else:
            del changed[at : at + width]
    return bytes(changed)


def mutated_list(data: bytes, rng: np.random.Generator) -> bytes:
    at = data.index(_CENTRAL)
    return data[:at] + mutated(data[at:], rng)


def with_sums(data: bytes) -> bytes:
    """A tar whose headers have the checksums that fit, so that damage goes deeper."""
    blocks = [bytearray(data[at : at + 512]) for at in range(0, len(data), 512)]
    for block in blocks:
        if block[257:262] == b"ustar" and len(block) == 512:
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join(blocks)


@pytest.mark.parametrize("name", SEEDS)
def test_a_mutated_archive_is_read_or_refused(tmp_path, name):
    rng = np.random.default_rng(0)
    file = SEEDS[name](tmp_path / name)
    whole = file.read_bytes()
    unzipped = gzip.decompress(whole) if name.endswith(".tgz") else whole
    known = {a.data for a in listed(file)} | {b""}
    refused = read = 0
    with peak_below(8_000_000):
        for number in range(250):
            change = mutated_list if name.endswith(".zip") and number % 3 else mutated
            data = change(unzipped, rng)
            data = with_sums(data) if "zip" not in name and number % 2 else data
            data = gzip.compress(data, 1) if name.endswith(".tgz") and number % 4 else data
            file.write_bytes(data)
            try:
                arrivals = listed(file)
            except SourceError:
                refused += 1
                continue
            read += 1
            for arrival in arrivals:
                assert not arrival.path.startswith("/") and ".." not in arrival.path.split("/")
                # A zip has checksums: what is read is what was packed, or nothing.
                assert not name.endswith(".zip") or arrival.data in known
    assert refused > 20 and read > 20
