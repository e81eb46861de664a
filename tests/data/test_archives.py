"""Archives are unpacked into their folder and nowhere else."""

import errno
import io
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from bkdsnn.data import archives, extraction
from bkdsnn.data.archives import unpacked
from bkdsnn.errors import InputError
from bkdsnn.files import md5


def write_zip(path, members: dict[str, bytes], *, link: str | None = None):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = 0o120777 << 16
            file.writestr(info, "/etc/passwd")


def write_tar(path, members: dict[str, bytes], *, link: str | None = None):
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            file.addfile(info)


WRITERS = {"cat.zip": write_zip, "cat.tar.gz": write_tar}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("place", ["", "download"])
def test_an_archive_becomes_its_folder_once(tmp_path, name, place):
    (tmp_path / place).mkdir(exist_ok=True)
    archive = tmp_path / place / name
    WRITERS[name](archive, {"cat/a.aedat": b"one", "cat/b.aedat": b"two"})
    found = unpacked(tmp_path, "cat", archive=name, expected_md5=md5(archive))
    assert found == tmp_path / "extracted/cat"
    assert {path.name: path.read_bytes() for path in found.iterdir()} == {"a.aedat": b"one", "b.aedat": b"two"}
    archive.unlink()
    assert unpacked(tmp_path, "cat", archive=name, expected_md5=None) == found


@pytest.mark.parametrize("place", ["", "extracted", "extract"])
def test_a_folder_that_is_there_needs_no_archive(tmp_path, place):
    (tmp_path / place / "cat").mkdir(parents=True)
    assert unpacked(tmp_path, "cat", archive="cat.zip", expected_md5="0" * 32) == tmp_path / place / "cat"


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("member", ["../evil", "cat/../../evil", "/evil"])
def test_a_path_that_leads_out_is_refused_and_nothing_is_left(tmp_path, name, member):
    root = tmp_path / "raw"
    root.mkdir()
    WRITERS[name](root / name, {"cat/a.aedat": b"one", member: b"evil"})
    with pytest.raises(InputError, match=r"member '.*evil' leads out of the folder"):
        unpacked(root, "cat", archive=name, expected_md5=None)
    assert not list((root / "extracted").iterdir())
    assert not list(tmp_path.rglob("evil"))


def test_an_archive_of_the_folder_it_lay_in(tmp_path):
    """As `tar czf cat.tar.gz .` makes it, with the member `.`."""
    (tmp_path / "from/cat").mkdir(parents=True)
    (tmp_path / "from/cat/a.aedat").write_bytes(b"one")
    with tarfile.open(tmp_path / "cat.tar.gz", "w:gz") as file:
        file.add(tmp_path / "from", arcname=".")
    found = unpacked(tmp_path, "cat", archive="cat.tar.gz", expected_md5=None)
    assert [path.name for path in found.iterdir()] == ["a.aedat"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_link_that_leads_out_is_refused(tmp_path, name):
    WRITERS[name](tmp_path / name, {"cat/a.aedat": b"one"}, link="cat/link")
    with pytest.raises(InputError, match="member 'cat/link' leads out of the folder or is no plain file"):
        unpacked(tmp_path, "cat", archive=name, expected_md5=None)


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_archive(tmp_path, name):
    WRITERS[name](tmp_path / name, {"cat/a.aedat": b"one" * 1000})
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"{name}: no readable archive"):
        unpacked(tmp_path, "cat", archive=name, expected_md5=None)
    assert not list((tmp_path / "extracted").iterdir())


def test_another_archive_than_the_published_one(tmp_path):
    write_zip(tmp_path / "cat.zip", {"cat/a.aedat": b"one"})
    with pytest.raises(InputError, match=r"cat\.zip: has the MD5 [0-9a-f]{32}, the published archive has 0{32}"):
        unpacked(tmp_path, "cat", archive="cat.zip", expected_md5="0" * 32)


def test_neither_folder_nor_archive(tmp_path):
    with pytest.raises(InputError, match=r"has neither the folder cat nor cat\.zip"):
        unpacked(tmp_path, "cat", archive="cat.zip", expected_md5=None)


def test_an_archive_of_something_else(tmp_path):
    write_zip(tmp_path / "cat.zip", {"dog/a.aedat": b"one"})
    with pytest.raises(InputError, match="holds no folder cat"):
        unpacked(tmp_path, "cat", archive="cat.zip", expected_md5=None)


@pytest.mark.parametrize("name", WRITERS)
def test_hidden_members_are_not_unpacked(tmp_path, name):
    hidden = ("__MACOSX/cat/._a.aedat", "cat/.DS_Store", "cat/.x/b.aedat", "cat/Thumbs.db")
    WRITERS[name](tmp_path / name, {"cat/a.aedat": b"one", **dict.fromkeys(hidden, b"?")})
    unpacked(tmp_path, "cat", archive=name, expected_md5=None)
    assert [path.name for path in (tmp_path / "extracted").rglob("[!.]*")] == ["cat", "a.aedat"]


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_that_was_replaced_is_unpacked_again(tmp_path, name):
    for content in (b"one", b"another"):
        WRITERS[name](tmp_path / name, {"cat/a.aedat": content})
        found = unpacked(tmp_path, "cat", archive=name, expected_md5=None)
        assert (found / "a.aedat").read_bytes() == content
    (found / "a.aedat").write_bytes(b"as it was")
    assert unpacked(tmp_path, "cat", archive=name, expected_md5=None) == found
    assert (found / "a.aedat").read_bytes() == b"as it was"
    assert {path.name for path in (tmp_path / "extracted").iterdir()} == {"cat", ".cat.from"}


def patched(path, *, flags: int = 0, method: int = 8) -> None:
    """Other flags and another method in both headers of a zip's only member."""
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.index(signature) + place
        content[start : start + 4] = flags.to_bytes(2, "little") + method.to_bytes(2, "little")
    path.write_bytes(content)


UNSUPPORTED = {
    "deflate64": ({"method": 9}, "is packed by deflate64, which Python cannot unpack; unpack it beside the archive"),
    "unknown": ({"method": 255}, "is packed by 255, which Python cannot unpack"),
    "encrypted": ({"flags": 1}, "is encrypted; unpack it beside the archive yourself"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_a_zip_that_python_cannot_unpack_says_what_to_do(tmp_path, case):
    write_zip(tmp_path / "cat.zip", {"cat/a.aedat": b"one"})
    changes, expected = UNSUPPORTED[case]
    patched(tmp_path / "cat.zip", **changes)
    with pytest.raises(InputError, match=rf"cat\.zip: member 'cat/a\.aedat' {expected}"):
        unpacked(tmp_path, "cat", archive="cat.zip", expected_md5=None)


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_that_unpacks_to_more_than_one_of_its_size_holds_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.setattr(extraction, "_SMALL", 1000)
    with zipfile.ZipFile(tmp_path / "cat.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cat/a.aedat", bytes(1_000_000))
    write_tar(tmp_path / "cat.tar.gz", {"cat/a.aedat": bytes(1_000_000)})
    with pytest.raises(
        InputError, match=r"unpacks to more than the [0-9,]+ bytes that an archive of its size may hold"
    ):
        unpacked(tmp_path, "cat", archive=name, expected_md5=None)
    assert not list((tmp_path / "extracted").iterdir())
    found = unpacked(tmp_path, "cat", archive=name, expected_md5=md5(tmp_path / name))
    assert (found / "a.aedat").stat().st_size == 1_000_000


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("known", [True, False])
def test_an_archive_that_does_not_fit_on_the_disk_is_refused_before_it_is_unpacked(tmp_path, name, known, monkeypatch):
    WRITERS[name](tmp_path / name, {"cat/a.aedat": bytes(100), "cat/b.aedat": bytes(100)})
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(1000, 801, 199))
    with pytest.raises(InputError, match=r"unpacks to more than the 199 bytes that the disk of .* has free"):
        unpacked(tmp_path, "cat", archive=name, expected_md5=md5(tmp_path / name) if known else None)


def test_a_full_disk_is_no_damaged_archive(tmp_path, monkeypatch):
    def full(*_args, **_how) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_zip(tmp_path / "cat.zip", {"cat/a.aedat": b"one"})
    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    with pytest.raises(OSError, match="No space left") as caught:
        unpacked(tmp_path, "cat", archive="cat.zip", expected_md5=None)
    assert str(tmp_path) in caught.value.filename


def test_an_archive_on_a_mount_that_is_only_read_is_unpacked_below_the_project(tmp_path, monkeypatch):
    raw, project = tmp_path / "mount", tmp_path / "project"
    raw.mkdir()
    project.mkdir()
    write_zip(raw / "cat.zip", {"cat/a.aedat": b"one"})
    make = os.mkdir

    def read_only(path, *rest, **how) -> None:
        if raw in archives.Path(path).parents:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        make(path, *rest, **how)

    monkeypatch.setattr(os, "mkdir", read_only)
    monkeypatch.setenv("DVC_ROOT", str(project))
    found = unpacked(raw, "cat", archive="cat.zip", expected_md5=None)
    assert found.is_relative_to(project / "data/unpacked")
    assert (found / "a.aedat").read_bytes() == b"one"
    assert unpacked(raw, "cat", archive="cat.zip", expected_md5=None) == found
    write_zip(raw / "cat.zip", {"cat/a.aedat": b"another"})
    assert (unpacked(raw, "cat", archive="cat.zip", expected_md5=None) / "a.aedat").read_bytes() == b"another"


@pytest.mark.parametrize("method", ["w:gz", "w:xz", "w:bz2", "w", "deflated", "lzma", "bzip2", "stored"])
def test_flipped_bytes_of_an_archive_are_its_folder_or_one_line(tmp_path, method):
    random, path = np.random.default_rng(0), tmp_path / "cat.archive"
    content = random.integers(0, 30, 3000).astype(np.uint8).tobytes()
    if method.startswith("w"):
        (tmp_path / "cat").mkdir()
        (tmp_path / "cat/a").write_bytes(content)
        with tarfile.open(path, method) as file:
            file.add(tmp_path / "cat", arcname="cat")
    else:
        with zipfile.ZipFile(path, "w", getattr(zipfile, f"ZIP_{method.upper()}")) as file:
            file.writestr("cat/a", content)
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    for number in range(100):
        damaged = whole.copy()
        damaged[random.integers(0, len(whole), 2)] = random.integers(0, 256, 2)
        path.write_bytes(damaged[: len(whole) if number % 2 else random.integers(1, len(whole))].tobytes())
        told = ""
        (tmp_path / "to" / str(number)).mkdir(parents=True)
        try:
            extraction.extract(path, tmp_path / "to" / str(number))
        except InputError as error:
            told = str(error)
        assert "\n" not in told
