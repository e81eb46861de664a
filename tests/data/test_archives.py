"""Archives are unpacked into their folder and nowhere else."""

import io
import tarfile
import zipfile

import pytest

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
