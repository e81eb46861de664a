"""Which files of a data set are samples, and that each of them is one sample, once."""

import os

import pytest

from bkdsnn.data.files import check_contents, check_each_once, class_folders, files_of_classes, left_out
from bkdsnn.errors import InputError

SUFFIXES = (".png", ".jpg")


def write(root, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def names(root, classes: list[str]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in files_of_classes(root, classes, suffixes=SUFFIXES)[0]]


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git"])
def test_what_systems_leave_behind_is_no_class_and_no_sample(tmp_path, folder):
    write(tmp_path, "cat/0.png", "cat/._0.png", f"cat/{folder}/1.png", f"{folder}/2.png", "cat/Thumbs.db", ".x.png")
    (tmp_path / ".empty").mkdir()
    assert class_folders(tmp_path) == ["cat"]
    assert names(tmp_path, ["cat"]) == ["cat/0.png"]
    assert left_out(tmp_path, [tmp_path / "cat/0.png"]) == {}


def test_a_data_set_may_lie_below_a_hidden_folder(tmp_path):
    write(tmp_path / ".cache/set", "cat/0.png")
    assert class_folders(tmp_path / ".cache/set") == ["cat"]
    assert names(tmp_path / ".cache/set", ["cat"]) == ["cat/0.png"]


def test_sub_folders_of_a_class_are_read_and_those_that_are_linked_in_a_circle_once(tmp_path):
    write(tmp_path, "cat/b/1.png", "cat/a/2.JPG", "cat/a/c/3.png", "cat/4.png")
    (tmp_path / "cat/a/again").symlink_to(tmp_path / "cat")
    assert names(tmp_path, ["cat"]) == ["cat/4.png", "cat/a/2.JPG", "cat/a/c/3.png", "cat/b/1.png"]


def test_files_that_are_no_samples_are_counted_by_suffix_and_told(tmp_path, caplog):
    write(tmp_path, "cat/0.png", "cat/1.heic", "cat/a/2.HEIC", "cat/notes", "3.png")
    files, _ = files_of_classes(tmp_path, ["cat"], suffixes=SUFFIXES)
    assert left_out(tmp_path, files) == {".heic": 2, ".png": 1, "no suffix": 1}
    assert "left out, as no samples by place or suffix: 2 .heic, 1 .png, 1 no suffix" in caplog.text


def test_a_class_without_samples_says_what_lies_there_instead(tmp_path):
    write(tmp_path, "cat/0.heic", "cat/1.heic")
    with pytest.raises(InputError, match=r"cat: class folder missing or without \.png, \.jpg files; has 2 \.heic$"):
        files_of_classes(tmp_path, ["cat"], suffixes=SUFFIXES)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb"])
def test_a_class_whose_name_is_no_text_is_refused(tmp_path, name):
    os.mkdir(os.path.join(os.fsencode(tmp_path), name))
    with pytest.raises(
        InputError, match="class folder b'.*' has a name that is no text in UTF-8; rename it$"
    ) as caught:
        class_folders(tmp_path)
    assert str(caught.value).isprintable()


def test_a_file_is_one_sample_by_whatever_name(tmp_path):
    write(tmp_path, "a.png", "b.png", "f/c.png")
    a = tmp_path / "a.png"
    check_each_once([a, tmp_path / "b.png", tmp_path / "f/c.png"])
    (tmp_path / "linked.png").symlink_to(a)
    (tmp_path / "hard.png").hardlink_to(a)
    (tmp_path / "g").symlink_to("f")
    for first, second in (("a", "linked"), ("a", "hard"), ("f/c", "g/c"), ("a", "f/../a")):
        with pytest.raises(InputError, match=rf"{second}\.png: the same file as .*/{first}\.png"):
            check_each_once([tmp_path / f"{first}.png", tmp_path / f"{second}.png"])
    with pytest.raises(InputError, match="listed twice"):
        check_each_once([a, a])


def test_contents_that_are_there_twice_are_counted_and_refused_where_they_are_not_allowed():
    digests = [("a", 1), ("b", 2), ("c", 1), ("d", 1)]
    assert check_contents(digests, allowed=2) == {"c": "a", "d": "a"}
    with pytest.raises(InputError, match=r"^c: the same content as a, and 1 more are there twice.* \(duplicates: 1\)$"):
        check_contents(digests, allowed=1)
    with pytest.raises(InputError, match=r"c: the same content as a; a sample may be there once$"):
        check_contents(digests[:3])
