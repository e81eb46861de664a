"""Replaced, added and removed files are noticed without a look at large ones."""

import os

import pytest

from bkdsnn import paths
from bkdsnn.data import raw_files
from bkdsnn.data.raw_files import fingerprint, fingerprints
from bkdsnn.errors import InputError
from bkdsnn.params.schema import Dataset

FILES = {"train/cat/0.png": b"a cat", "train/dog/0.png": b"a dog", "labels.csv": b"0,1\n"}


@pytest.fixture
def root(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(0, 0))
    return tmp_path / "set"


def replace(root):
    """Other bytes of the same length, and the old time."""
    (root / "train/cat/0.png").write_bytes(b"a rat")
    os.utime(root / "train/cat/0.png", ns=(0, 0))


CHANGES = {
    "replaced": replace,
    "added": lambda root: (root / "train/cat/1.png").write_bytes(b""),
    "removed": lambda root: (root / "labels.csv").unlink(),
    "renamed": lambda root: (root / "labels.csv").rename(root / "label.csv"),
    "moved": lambda root: (root / "train/cat/0.png").rename(root / "train/dog/1.png"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_another_fingerprint(root, change):
    before = fingerprint(root)
    assert fingerprint(root) == before
    CHANGES[change](root)
    assert fingerprint(root) != before


def test_it_says_how_many_files_and_bytes_there_are(root, tmp_path):
    found = fingerprint(root)
    assert (found["files"], found["bytes"]) == (3, 14)
    assert fingerprint(tmp_path / "nothing")["files"] == 0


def test_a_copy_elsewhere_is_the_same_and_times_do_not_count_where_files_are_small(root, tmp_path):
    before = fingerprint(root)
    os.utime(root / "labels.csv", ns=(10, 10))
    root.rename(tmp_path / "elsewhere")
    assert fingerprint(tmp_path / "elsewhere") == before


def test_large_files_are_told_by_their_times_and_not_read(root, monkeypatch):
    monkeypatch.setattr(raw_files, "SMALL", 10)
    monkeypatch.setattr(raw_files, "sha256", lambda path: pytest.fail(f"{path} was read"))
    before = fingerprint(root)
    os.utime(root / "labels.csv", ns=(10, 10))
    assert fingerprint(root) != before


@pytest.mark.parametrize("name", ["extracted", "downloaded"])
def test_what_prepare_data_puts_there_does_not_count(root, name):
    before = fingerprint(root)
    (root / name).mkdir()
    (root / name / "data.bin").write_bytes(b"x")
    assert fingerprint(root) == before


def test_links_in_a_circle_end_and_a_dead_one_is_told(root):
    (root / "train/all").symlink_to(root)
    assert fingerprint(root)["files"] == 3
    (root / "dead").symlink_to(root / "nowhere")
    with pytest.raises(InputError, match=r"dead: a link that leads nowhere"):
        fingerprint(root)


def test_data_sets_without_files_of_their_own_have_none(root):
    plain = {"source": "x", "normalise": {"scale": 1, "mean": (0.0,), "std": (1.0,)}}
    sets = {"made": Dataset(settings={}, **plain), "read": Dataset(settings={"root": "set"}, **plain)}
    found = fingerprints(sets, raw=root.parent)
    assert found == {"made": {"files": 0}, "read": fingerprint(root)}


def test_a_relative_folder_is_relative_to_the_main_checkout_also_in_an_experiment(monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("BKDSNN_DATA", "sets")
    monkeypatch.chdir("/")
    assert paths.raw_data() == tmp_path / "sets"
    monkeypatch.setenv("BKDSNN_DATA", "/sets")
    assert str(paths.raw_data()) == "/sets"
    monkeypatch.delenv("BKDSNN_DATA")
    assert paths.raw_data() == tmp_path / "raw"
