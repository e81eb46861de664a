"""What the next `dvc repro` makes of published files that were changed."""

import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from warm_clone import WarmClone

from bkdsnn.data.arrays import ArrayData
from bkdsnn.errors import InputError

TABLE = """# @package _global_
defaults:
  - /dataset: [image-folder]
  - /student: [sew-small-cifar]
  - /method: [ce]
  - /recipe: [small-images]
  - _self_

table: own
title: Own images
datasets: {image-folder: {settings: {split: {validation: 2}, picture: {size: 8, resize: 8}}}}
rows:
  ce: {dataset: image-folder, student: sew-small-cifar, teacher: null, method: ce, recipe: small-images}
"""


def picture(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)
    os.utime(path, ns=(0, 0))


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    made = WarmClone(tmp_path_factory.mktemp("own") / "clone")
    (made.folder / "src/bkdsnn/conf/table/own.yaml").write_text(TABLE)
    for part, count in (("train", 6), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(count):
                picture(
                    made.folder / f"raw/images/{part}/{name}/{number}.bmp", 20 * number + 2 * label + (part == "train")
                )
    return made


def prepared(clone, **environment):
    """Whether `dvc repro` prepares the data set."""
    output = clone.dvc("repro", "prepare_data@image-folder", **environment)
    return "prepare_data@image-folder" in re.findall(r"Running stage '([^']+)'", output)


def test_changed_files_are_prepared_anew_and_others_are_not(clone):
    clone.tool("compose", "table=own")
    assert prepared(clone)
    before = (clone.folder / "data/image-folder/inputs.npy").read_bytes()
    assert not prepared(clone)

    picture(clone.folder / "raw/images/train/cat/0.bmp", 255)  # as long as the old one, and of the same time
    assert prepared(clone)
    assert (clone.folder / "data/image-folder/inputs.npy").read_bytes() != before

    picture(clone.folder / "raw/images/train/cat/6.bmp", 7)
    assert prepared(clone)
    assert len(np.load(clone.folder / "data/image-folder/labels.npy")) == 17

    (clone.folder / "raw/images/train/cat/6.bmp").unlink()
    picture(clone.folder / "raw/images/train/cat/0.bmp", 1)
    prepared(clone)  # perhaps from DVC's cache: in any case it is the first state again
    assert (clone.folder / "data/image-folder/inputs.npy").read_bytes() == before


def test_another_folder_is_noticed_also_where_it_is_named_relatively(clone):
    shutil.copytree(clone.folder / "raw", clone.folder / "elsewhere")
    assert not prepared(clone, BKDSNN_DATA="elsewhere")  # the same files
    picture(clone.folder / "elsewhere/images/test/dog/0.bmp", 99)
    assert prepared(clone, BKDSNN_DATA="elsewhere")


def test_data_that_are_missing_are_told_in_one_line(clone):
    output = clone.dvc("repro", "prepare_data@image-folder", check=False, BKDSNN_DATA="nowhere")
    assert clone.code != 0
    said = [line for line in output.splitlines() if line.startswith("prepare_data: ")]
    assert len(said) == 1
    assert "nowhere/images/train: missing, or without class folders" in said[0]


@pytest.mark.slow
def test_prepared_data_that_were_changed_are_made_again_by_the_command_that_the_line_names(clone):
    clone.tool("compose", "table=own")
    prepared(clone)
    path = clone.folder / "data/image-folder/labels.npy"
    before, content = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-1] + b"\1")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not prepared(clone)  # DVC does not notice
    with pytest.raises(InputError, match=r"labels\.npy: its bytes are not those that were prepared") as caught:
        ArrayData(path.parent)
    command = re.search(r"`dvc (.+)`", str(caught.value))[1]
    clone.dvc(*command.split())
    assert ArrayData(path.parent).labels.tobytes() in content
