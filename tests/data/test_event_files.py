"""Event recordings on disk to prepared frames, and what happens when a file is bad."""

import numpy as np
import pytest

from bkdsnn.data.files import files_of_classes
from bkdsnn.data.sources import digits_dvs
from bkdsnn.errors import InputError
from bkdsnn.events.by_name import read_events
from bkdsnn.events.frames import events_to_frames


@pytest.fixture(scope="module")
def settings(composed):
    content = composed("table=tiny")["datasets"]["digits-dvs"]["settings"]
    content["split"] = {"train": 20, "validation": 10, "seed": 0, "samples": 40}
    return digits_dvs.Settings.model_validate(content)


@pytest.fixture(scope="module")
def prepared(settings, tmp_path_factory):
    raw, folder = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("folder")
    return raw, folder, digits_dvs.prepare(settings, raw=raw, folder=folder)


def test_recordings_become_frames_by_the_code_for_real_files(settings, prepared):
    raw, folder, result = prepared
    inputs = np.load(folder / "inputs.npy")
    assert inputs.shape == (40, 4, 2, 16, 16)
    files = sorted(raw.rglob("*.aedat"))
    assert len(files) == 40
    recordings = next((raw / "digits-dvs").iterdir())
    files, labels = files_of_classes(recordings, digits_dvs.CLASSES, suffixes=(".aedat",))
    assert np.array_equal(labels, result.labels)
    for position in (0, 17, 39):
        events = read_events(files[position], format="aedat2")
        frames, _ = events_to_frames(events, sensor=(128, 128), **settings.frames.model_dump())
        assert np.array_equal(inputs[position], frames)
        assert frames.sum() == len(events.t)


def test_splits_share_no_source_image(prepared):
    parts = prepared[2].splits
    assert {name: len(part) for name, part in parts.items()} == {"train": 20, "validation": 10, "test": 10}
    assert len(np.unique(np.concatenate(list(parts.values())))) == 40


def test_recordings_that_are_there_are_not_made_again(settings, prepared, tmp_path):
    raw, folder, _ = prepared
    before = {path: path.stat().st_mtime_ns for path in raw.rglob("*.aedat")}
    digits_dvs.prepare(settings, raw=raw, folder=tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in raw.rglob("*.aedat")}
    assert (tmp_path / "inputs.npy").read_bytes() == (folder / "inputs.npy").read_bytes()


@pytest.mark.parametrize(("keep", "what"), [(-3, "truncated"), (0, "empty")])
def test_a_bad_recording_is_named_and_ends_the_stage(settings, prepared, tmp_path, keep, what):
    path = sorted(prepared[0].rglob("*.aedat"))[5]
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    try:
        with pytest.raises(InputError) as told:
            digits_dvs.prepare(settings, raw=prepared[0], folder=tmp_path)
    finally:
        path.write_bytes(whole)
    assert path.name in str(told.value)
    assert what in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_class_folder_is_named(tmp_path):
    (tmp_path / "zero").mkdir()
    (tmp_path / "zero" / "a.aedat").write_bytes(b"")
    with pytest.raises(InputError, match="one: class folder missing or without .aedat files"):
        files_of_classes(tmp_path, ["zero", "one"], suffixes=(".aedat",))
