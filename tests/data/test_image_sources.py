"""Image sources on small data laid out as published, and every mistake in it told in one line."""

import random
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from conftest import SHARED, augmentation
from image_sets import FOLDER, IMAGENET, PARQUET, PICTURE, cells, write_images, write_parquet
from PIL import Image
from sources import HELD, RANDOM, picture, prepare, told
from timm.data.transforms import RandomResizedCropAndInterpolation
from torchvision.transforms import functional as F

from bkdsnn.data.batches import Batches
from bkdsnn.data.views import Views
from bkdsnn.errors import InputError
from bkdsnn.seeding import draw_keys


def cifar(version: str) -> dict:
    return {"version": version, "root": version, "download": False, "split": HELD}


def write_cifar(raw: Path, version: str) -> np.ndarray:
    """20 training and 10 test images in the binary layout; gives all pixels."""
    label_bytes, name = {"cifar10": (1, "cifar-10-batches-bin"), "cifar100": (2, "cifar-100-binary")}[version]
    folder = raw / version / name
    folder.mkdir(parents=True)
    records = RANDOM.integers(0, 256, (30, label_bytes + 3072)).astype(np.uint8)
    records[:, label_bytes - 1] = np.arange(30) % 2
    names = [f"data_batch_{n}.bin" for n in range(1, 6)] if version == "cifar10" else ["train.bin"]
    for file, part in zip(names, np.array_split(records[:20], len(names)), strict=True):
        (folder / file).write_bytes(part.tobytes())
    (folder / ("test_batch.bin" if version == "cifar10" else "test.bin")).write_bytes(records[20:].tobytes())
    (folder / ("batches.meta.txt" if version == "cifar10" else "fine_label_names.txt")).write_text("cat\ndog\n\n")
    return records[:, label_bytes:].reshape(30, 3, 32, 32)


@pytest.mark.parametrize("version", ["cifar10", "cifar100"])
def test_cifar_binary_files(tmp_path, version):
    pixels = write_cifar(tmp_path, version)
    data = prepare("cifar", cifar(version), tmp_path, tmp_path / "data")
    assert np.array_equal(data.inputs, pixels)
    assert data.labels.tolist() == [n % 2 for n in range(30)]
    assert data.classes == ["cat", "dog"]
    assert data.splits["test"].tolist() == list(range(20, 30))
    assert data.manifest["counts"] == {"train": [8, 8], "validation": [2, 2], "test": [5, 5]}
    assert data.manifest["facts"]["split"] == "published, 4 training samples held out (seed 0)"


def test_cifar_mistakes(tmp_path):
    settings = cifar("cifar10")
    assert "neither the folder cifar-10-batches-bin nor cifar-10-binary.tar.gz" in told("cifar", settings, tmp_path)
    write_cifar(tmp_path, "cifar10")
    path = tmp_path / "cifar10/cifar-10-batches-bin/data_batch_2.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    records = "12291 bytes are no whole number of records of 3073: truncated?"
    assert told("cifar", settings, tmp_path) == f"{path}: {records}"
    other = path.with_name("data_batch_1.bin")
    path.write_bytes(other.read_bytes())
    line = f"{path}: the same content as {other}; a sample may be there once"
    assert told("cifar", settings, tmp_path) == line
    path.write_bytes(whole[:3073] + b"\7" + whole[3074:])
    assert told("cifar", settings, tmp_path) == f"{path}: row 1 has label 7, there are 2 classes"
    path.unlink()
    assert told("cifar", settings, tmp_path) == f"{path}: cannot be read (No such file or directory)"


def test_cifar_that_cannot_be_downloaded(tmp_path, monkeypatch):
    def no_network(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", no_network)
    text = told("cifar", cifar("cifar10") | {"download": True}, tmp_path)
    assert text.endswith(f"could not be downloaded (no route to host); put it into {tmp_path / 'cifar10'}")


@pytest.mark.parametrize("column", ["img", "image"])
def test_parquet_files(tmp_path, column):
    made = [picture() for _ in range(30)]
    rows = [(content, n % 2) for n, (_, content) in enumerate(made)]
    write_parquet(tmp_path / "p/train-0.parquet", rows[:12], column=column)
    write_parquet(tmp_path / "p/train-1.parquet", rows[12:20], column=column)
    write_parquet(tmp_path / "p/test.parquet", rows[20:], column=column)
    data = prepare("parquet", PARQUET, tmp_path, tmp_path / "data")
    assert np.array_equal(data.inputs, np.stack([pixels for pixels, _ in made]))
    assert data.labels.tolist() == [n % 2 for n in range(30)]
    assert data.splits["test"].tolist() == list(range(20, 30))


@pytest.mark.skipif(not (SHARED / "data/cifar10").exists(), reason="the shared copy of CIFAR-10 is not here")
def test_the_real_cifar_10_in_parquet(tmp_path, composed):
    settings = composed("+dataset@datasets.c=cifar10-parquet")["datasets"]["c"]["settings"]
    whole = pyarrow.parquet.read_table(SHARED / "data/cifar10/test.parquet")
    (tmp_path / "raw/cifar10").mkdir(parents=True)
    for name, part in (("train", whole.slice(0, 8000)), ("test", whole.slice(8000))):
        pyarrow.parquet.write_table(part, tmp_path / f"raw/cifar10/{name}.parquet")
    data = prepare("parquet", settings, tmp_path / "raw", tmp_path / "data")
    assert data.inputs.shape == (10_000, 3, 32, 32)
    assert np.bincount(data.labels).tolist() == [1000] * 10
    assert 110 < data.inputs[:1000].mean() < 130


BAD_PARQUET = {
    "label": ([(b"", 0), (b"", 2)], "train.parquet: row 1 has label 2, there are 2 classes"),
    "no image": ([(b"nonsense", 0)] * 12, "train.parquet row 0: no readable image"),
    "missing bytes": ([(None, 0)] * 12, "train.parquet row 0: no readable image"),
}


@pytest.mark.parametrize("case", BAD_PARQUET)
def test_bad_rows_of_a_parquet_file(tmp_path, case):
    rows, expected = BAD_PARQUET[case]
    write_parquet(tmp_path / "p/train.parquet", rows)
    write_parquet(tmp_path / "p/test.parquet", cells(10))
    assert expected in told("parquet", PARQUET, tmp_path)


def test_unreadable_parquet_files(tmp_path):
    assert "p: no file is called train*.parquet" in told("parquet", PARQUET, tmp_path)
    write_parquet(tmp_path / "p/train.parquet", cells(20), column="photo")
    write_parquet(tmp_path / "p/test.parquet", cells(10))
    assert "needs columns img or image, and label; has photo, label" in told("parquet", PARQUET, tmp_path)
    (tmp_path / "p/train.parquet").write_bytes(b"PAR1 nonsense")
    assert "train.parquet: no readable parquet" in told("parquet", PARQUET, tmp_path)


def test_corrupt_images_are_left_out_as_far_as_allowed(tmp_path):
    rows = cells(20)
    rows[3] = (rows[3][0][:30], 1)
    write_parquet(tmp_path / "p/train.parquet", rows)
    write_parquet(tmp_path / "p/test.parquet", cells(10))
    text = told("parquet", PARQUET, tmp_path)
    assert "train.parquet row 3: no readable image" in text
    assert text.endswith("(skip_corrupt: 0)")
    data = prepare("parquet", PARQUET | {"skip_corrupt": 1}, tmp_path, tmp_path / "data")
    assert 3 not in np.concatenate(list(data.splits.values()))
    assert list(data.manifest["facts"]["skipped"]) == ["train.parquet row 3"]
    assert sum(data.manifest["counts"]["train"]) + sum(data.manifest["counts"]["validation"]) == 19


def test_image_folders(tmp_path):
    made = write_images(tmp_path / "images")
    data = prepare("image_folder", FOLDER, tmp_path, tmp_path / "data")
    assert np.array_equal(data.inputs, np.stack(made))
    assert data.classes == ["cat", "dog"]
    assert data.manifest["counts"]["test"] == [5, 5]


def test_images_are_resized_by_their_shorter_side_and_cut_to_a_square(tmp_path):
    made = write_images(tmp_path / "images", size=(12, 20))
    data = prepare("image_folder", FOLDER | {"picture": PICTURE | {"resize": 9}}, tmp_path, tmp_path / "data")
    expected = F.center_crop(F.resize(Image.fromarray(made[0].transpose(1, 2, 0)), 9), 8)
    assert np.array_equal(data.inputs[0], np.asarray(expected).transpose(2, 0, 1))


def test_imagenet_stays_in_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    made = write_images(tmp_path / "images", test="val", suffix=".JPEG")
    data = prepare("imagenet", IMAGENET, tmp_path, tmp_path / "data")
    assert not (tmp_path / "data/inputs.npy").exists()
    assert data.inputs.shape == (30, 3, 8, 8)
    assert np.array_equal(data.inputs[np.array([0, 29, 7])], np.stack([made[0], made[29], made[7]]))
    assert np.array_equal(data.inputs[4], made[4])
    path = tmp_path / "images/train/cat/4.JPEG"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"4\.JPEG: no readable image"):
        data.inputs[4]


def test_an_image_that_is_cut_off_is_named_in_one_line_by_whoever_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    monkeypatch.setenv("BKDSNN_WORKERS", "0")
    write_images(tmp_path / "images", test="val", suffix=".JPEG")
    data = prepare("imagenet", IMAGENET, tmp_path, tmp_path / "data")
    path = tmp_path / "images/val/dog/4.JPEG"
    path.write_bytes(path.read_bytes()[:-40])
    batches = Batches(data, batch_size=4, device=torch.device("cpu"))
    with pytest.raises(InputError, match=r"^[^\n]*val/dog/4\.JPEG: no readable image[^\n]*$"):
        list(batches.plain("test"))


def test_imagenet_crops_are_those_of_timm_with_the_sample_s_own_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    made = write_images(tmp_path / "images", test="val", size=(20, 30))
    data = prepare("imagenet", IMAGENET, tmp_path, tmp_path / "data")
    crop = {"scale": (0.08, 1.0), "ratio": (0.75, 1.33), "interpolation": "bilinear"}
    index = data.splits["train"][:3]
    view = Views(data, augmentation(resized_crop=crop)).make(index, view=0)
    cut = RandomResizedCropAndInterpolation(8, (0.08, 1.0), (0.75, 1.33), "bilinear")
    keys = draw_keys("crop", seed=0, epoch=0, index=torch.from_numpy(index)).tolist()
    for position, key, found in zip(index, keys, view.pixels, strict=True):
        random.seed(key)
        wanted = cut(Image.fromarray(made[position].transpose(1, 2, 0)))
        assert np.array_equal(np.asarray(wanted).transpose(2, 0, 1), found)


CROP = {"scale": (0.3, 1.0), "ratio": (0.75, 1.33), "interpolation": "bicubic"}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Training samples in files of 65 x 91 pixels with soft edges, all JPEGs but one PNG."""
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    write_images(tmp_path / "images", test="val", suffix=".JPEG", size=(5, 7))
    for path in (tmp_path / "images").rglob("*.JPEG"):
        kind = "PNG" if path.match("train/cat/0.JPEG") else "JPEG"
        Image.open(path).resize((91, 65), Image.Resampling.BICUBIC).save(path, kind, quality=95)
    data = prepare("imagenet", IMAGENET, tmp_path, tmp_path / "data")

    def crops(**settings) -> np.ndarray:
        index = np.sort(np.append(data.splits["train"][:6], 0))
        return Views(data, augmentation(resized_crop=CROP | settings)).make(index, view=0).pixels.numpy().astype(int)

    return crops


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "random"])
def test_crops_of_images_decoded_smaller_are_the_same_parts(photos, monkeypatch, interpolation):
    whole, drafted = photos(interpolation=interpolation), []
    monkeypatch.setattr(Image.Image, "crop", spy(Image.Image.crop, lambda image, *_: drafted.append(image.size)))
    reduced = photos(interpolation=interpolation, reduced_decode=True)
    assert drafted[0] == (91, 65), "a PNG is decoded whole"
    assert set(drafted) == {(91, 65), (23, 17), (12, 9)}
    assert np.array_equal(whole[0], reduced[0])
    assert 0 < np.abs(whole - reduced).mean() < 4
    assert np.abs(whole - np.roll(reduced, 1, axis=-1)).mean() > 10


def test_images_that_are_as_small_as_their_crops_are_decoded_whole(photos):
    scale = {"scale": (0.01, 0.05)}
    assert np.array_equal(photos(**scale), photos(**scale, reduced_decode=True))


def test_a_damaged_image_that_is_decoded_smaller_is_named(photos, tmp_path):
    for path in (tmp_path / "images/train").rglob("*.JPEG"):
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"^[^\n]*JPEG: no readable image[^\n]*$"):
        photos(reduced_decode=True)


def spy(method, look):
    def seen(*arguments):
        look(*arguments)
        return method(*arguments)

    return seen


def test_image_folder_mistakes(tmp_path):
    assert "train: missing, or without class folders" in told("image_folder", FOLDER, tmp_path)
    write_images(tmp_path / "images")
    assert "has 2 class folders, wanted 3" in told("image_folder", FOLDER | {"classes": 3}, tmp_path)
    (tmp_path / "images/test/emu").mkdir()
    assert "emu: no such class in train" in told("image_folder", FOLDER, tmp_path)
    (tmp_path / "images/test/emu").rmdir()
    bad = tmp_path / "images/train/dog/3.png"
    bad.write_bytes(b"nonsense")
    for source in ("image_folder", "imagenet"):
        assert told(source, FOLDER, tmp_path) == f"{bad}: no readable image (skip_corrupt: 0)"
    for path in (tmp_path / "images/test/cat").iterdir():
        path.unlink()
    assert "cat: class folder missing or without" in told("image_folder", FOLDER, tmp_path)
