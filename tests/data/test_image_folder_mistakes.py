"""What class folders of images must not be, and which of their files are samples."""

import shutil

import numpy as np
import pytest
from image_sets import FOLDER, IMAGENET, PICTURE, write_images
from PIL import Image
from sources import picture, prepare, told

from bkdsnn.data.images import Picture
from bkdsnn.data.sources import image_folder, imagenet
from bkdsnn.errors import InputError
from bkdsnn.params.read import validated

SOURCES = {"image_folder": FOLDER, "imagenet": FOLDER}


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_folder_is_not_training_and_test(tmp_path, source):
    write_images(tmp_path / "images")
    text = told(source, FOLDER | {"test": "train"}, tmp_path)
    assert text.endswith("train/cat/0.png: listed twice; a file may be in one split and class, once")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("way", ["symlink_to", "hardlink_to"])
def test_a_link_is_the_file_it_leads_to(tmp_path, source, way):
    write_images(tmp_path / "images")
    getattr(tmp_path / "images/test/dog/9.png", way)(tmp_path / "images/train/cat/3.png")
    assert "test/dog/9.png: the same file as " in told(source, FOLDER, tmp_path)


def test_a_copy_is_the_picture_it_shows_however_it_is_stored(tmp_path):
    write_images(tmp_path / "images")
    shutil.copy(tmp_path / "images/train/cat/3.png", tmp_path / "images/test/dog/x.png")
    assert "test/dog/x.png: the same content as " in told("image_folder", FOLDER, tmp_path)
    Image.open(tmp_path / "images/train/cat/3.png").save(tmp_path / "images/test/dog/x.png", compress_level=0)
    assert "cat/3.png; a sample may be there once (duplicates: 0)" in told("image_folder", FOLDER, tmp_path)
    data = prepare("image_folder", FOLDER | {"duplicates": 1}, tmp_path, tmp_path / "data")
    assert data.manifest["facts"]["duplicates"] == {"test/dog/x.png": "train/cat/3.png"}


def test_a_copy_of_the_same_name_is_found_in_images_that_stay_in_their_files(tmp_path):
    write_images(tmp_path / "images")
    shutil.copy(tmp_path / "images/train/cat/7.png", tmp_path / "images/test/dog/7.png")
    assert "test/dog/7.png: the same content as " in told("imagenet", FOLDER, tmp_path)


@pytest.mark.parametrize("source", SOURCES)
def test_hidden_entries_are_no_class_and_no_image(tmp_path, source):
    write_images(tmp_path / "images")
    for part in ("train", "test"):
        shutil.copytree(tmp_path / f"images/{part}/cat", tmp_path / f"images/{part}/.ipynb_checkpoints")
        (tmp_path / f"images/{part}/__MACOSX").mkdir()
        (tmp_path / f"images/{part}/cat/._0.png").write_bytes(b"resource fork")
    data = prepare(source, FOLDER, tmp_path, tmp_path / "data")
    assert data.classes == ["cat", "dog"]
    assert len(data.labels) == 30
    assert data.manifest["facts"]["left_out"] == {}


@pytest.mark.parametrize("source", SOURCES)
def test_every_image_is_read_and_every_other_file_is_counted(tmp_path, source, monkeypatch):
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    write_images(tmp_path / "images")
    root = tmp_path / "images/train/cat"
    pixels, content = picture()
    (root / "more/still").mkdir(parents=True)
    (root / "more/still/0.PNG").write_bytes(content)
    Image.fromarray(picture()[0].transpose(1, 2, 0)).save(root / "z.tif")
    (root / "0.heic").write_bytes(b"?")
    (tmp_path / "images/val").mkdir()
    (tmp_path / "images/val/0.bmp").write_bytes(content)
    (tmp_path / "images/train/labels.csv").write_text("?")
    data = prepare(source, FOLDER, tmp_path, tmp_path / "data")
    assert len(data.labels) == 32
    assert np.array_equal(data.inputs[11], pixels)
    assert data.manifest["facts"]["left_out"] == {".bmp": 1, ".csv": 1, ".heic": 1}


def test_16_bit_greys_keep_their_shades(tmp_path):
    write_images(tmp_path / "images", size=(16, 16))
    shades = (np.arange(256).reshape(16, 16) * 256).astype("u2")
    Image.fromarray(shades).save(tmp_path / "images/train/cat/0.png")
    picture = {"picture": {"size": 16, "resize": 16, "interpolation": "bilinear"}}
    data = prepare("image_folder", FOLDER | picture, tmp_path, tmp_path / "data")
    assert np.array_equal(data.inputs[0, 0], shades >> 8)


def test_a_picture_larger_than_what_it_is_cut_out_of_is_refused():
    with pytest.raises(InputError, match="picture: size 16 would be cut out of resize 8, with a black border"):
        validated(Picture, {"size": 16, "resize": 8, "interpolation": "bilinear"}, where="picture")
    assert Picture(**PICTURE).size == Picture(**PICTURE).resize


@pytest.mark.parametrize("folder", ["", "/data", "..", "../other"])
def test_the_folder_of_a_split_lies_below_the_root(folder):
    for source, settings in ((image_folder, FOLDER), (imagenet, IMAGENET)):
        with pytest.raises(InputError, match=r"s\.train: .*: a path below the data set's root"):
            validated(source.Settings, settings | {"train": folder}, where="s")


@pytest.mark.parametrize("source", SOURCES)
def test_a_class_without_one_whole_image_is_named_before_anything_is_trained(tmp_path, source):
    write_images(tmp_path / "images")
    for path in (tmp_path / "images/train/dog").iterdir():
        path.write_bytes(b"x")
    line = "class 'dog' has no whole sample in the split 'train'"
    assert told(source, FOLDER | {"skip_corrupt": 50}, tmp_path) == line


def test_names_that_are_no_text_are_listed_as_they_are(tmp_path):
    write_images(tmp_path / "images")
    (tmp_path / "images/train/cat/0.png").rename(tmp_path / "images/train/cat/caf\udce9.png")
    for source in SOURCES:
        assert len(prepare(source, FOLDER, tmp_path, tmp_path / source).labels) == 30
