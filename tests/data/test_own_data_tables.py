"""The tables that users copy for data of their own: composed, checked, prepared, and fitting what was prepared."""

import contextlib

import numpy as np
import yaml
from image_sets import write_images

from bkdsnn.data.arrays import ArrayData
from bkdsnn.params.check import check
from bkdsnn.params.schema import load_params
from bkdsnn.teachers.fit import check_fit, check_prepared
from stages.prepare_data import prepare_data


def prepared(folder, composed, monkeypatch, *overrides: str, key: str) -> ArrayData:
    """The data set of a template's params, which fit it."""
    monkeypatch.setenv("DVC_ROOT", str(folder))
    (folder / "params.yaml").write_text(yaml.safe_dump(composed(*overrides), sort_keys=False))
    with contextlib.chdir(folder):
        params = load_params()
        check(params)
        check_fit(params)
        prepare_data(key)
        data = ArrayData(folder / "data" / key)
        check_prepared(params, key, data)
    return data


def test_images_in_class_folders_make_a_table(tmp_path, composed, monkeypatch):
    write_images(tmp_path / "raw/images", size=(70, 64))
    few = "datasets.image-folder.settings.split.validation=4"
    data = prepared(tmp_path, composed, monkeypatch, "table=own-images", few, key="image-folder")
    assert data.input_shape == (3, 64, 64)
    assert data.classes == ["cat", "dog"]


def test_recordings_in_class_folders_make_a_table(tmp_path, composed, monkeypatch):
    random = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / "raw/recordings" / name).mkdir(parents=True)
        for number in range(20):
            fields = {"t": np.sort(random.integers(0, 10**6, 300)), "x": random.integers(0, 120, 300)}
            fields |= {"y": random.integers(0, 100, 300), "p": random.integers(0, 2, 300)}
            np.savez(tmp_path / f"raw/recordings/{name}/{number}.npz", **fields)
    own = [f"datasets.recordings.settings.{setting}" for setting in ("format=npz", "split.validation=4")]
    data = prepared(tmp_path, composed, monkeypatch, "table=own-recordings", *own, key="recordings")
    assert data.input_shape == (4, 2, 32, 32)
    assert data.classes == ["left", "right"]
