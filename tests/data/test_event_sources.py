"""Event data sets on small data laid out as published, and every mistake in it told in one line."""

import errno
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from sources import FRAMES, HELD, RANDOM, prepare, told

from bkdsnn import plugins
from bkdsnn.errors import InputError
from bkdsnn.events.by_name import read_events
from bkdsnn.events.formats import aedat2
from bkdsnn.events.recording import Events
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Dataset
from bkdsnn.tools.fuzz import encoders


def events(count: int = 60, *, sensor: int = 128) -> Events:
    t = np.cumsum(RANDOM.integers(1, 900, count))
    return Events(t, *RANDOM.integers(0, sensor, (2, count)), RANDOM.integers(0, 2, count))


def write_cifar10_dvs(root: Path, *, zipped: bool = False) -> None:
    for name in ("cat", "dog"):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(20):
            aedat2.write(folder / f"cifar10_{name}_{number}.aedat", events())
        if zipped:
            with zipfile.ZipFile(root / f"{name}.zip", "w") as file:
                for path in sorted(folder.iterdir()):
                    file.write(path, f"{name}/{path.name}")
                    path.unlink()
            folder.rmdir()


DVS = {"root": "dvs", "classes": {"cat": None, "dog": None}, "per_class": 20, "frames": FRAMES, "skip_corrupt": 0}
DVS["split"] = {"protocol": "first_900", **HELD}


@pytest.mark.parametrize("zipped", [False, True], ids=["folders", "zips"])
def test_cifar10_dvs(tmp_path, zipped):
    write_cifar10_dvs(tmp_path / "dvs", zipped=zipped)
    data = prepare("cifar10_dvs", DVS, tmp_path, tmp_path / "data")
    assert data.inputs.shape == (40, 4, 2, 16, 16)
    assert (data.inputs.sum(axis=(1, 2, 3, 4)) == 60).all()
    assert data.manifest["counts"] == {"train": [16, 16], "validation": [2, 2], "test": [2, 2]}
    assert data.manifest["facts"]["split"] == "first_900, 4 training samples held out (seed 0)"
    assert data.manifest["facts"]["events_in_no_frame"] == 0
    assert np.load(tmp_path / "data/preview_events.npy").shape == (4, 60)
    # Rows are in string order of the file names: 0, 1, 10, 11, ..., 9.
    name = sorted(f"cifar10_cat_{number}" for number in range(20))[2]
    found = read_events(next((tmp_path / "dvs").rglob(f"{name}.aedat")), format="aedat2")
    assert data.inputs[2][:, 1].sum() == found.p.sum()


def test_the_number_of_processes_changes_no_byte(tmp_path, monkeypatch):
    write_cifar10_dvs(tmp_path / "dvs")
    made = []
    for count in (1, 3):
        monkeypatch.setattr("bkdsnn.data.processes.cores", lambda count=count: count)
        prepare("cifar10_dvs", DVS, tmp_path, tmp_path / str(count))
        made.append({path.name: path.read_bytes() for path in (tmp_path / str(count)).iterdir()})
    assert made[0] == made[1]


def test_cifar10_dvs_mistakes(tmp_path):
    root = tmp_path / "dvs"
    assert "neither the folder cat nor cat.zip" in told("cifar10_dvs", DVS, tmp_path)
    write_cifar10_dvs(root)
    text = told("cifar10_dvs", DVS | {"per_class": 19}, tmp_path)
    assert text == f"{root / 'cat'}: has 20 recordings, wanted 19"
    bad = root / "dog/cifar10_dog_7.aedat"
    bad.write_bytes(bad.read_bytes()[:-3])
    text = told("cifar10_dvs", DVS, tmp_path)
    assert text.startswith(f"{bad}: truncated, the event at byte ")
    assert text.endswith("(skip_corrupt: 0)")
    data = prepare("cifar10_dvs", DVS | {"skip_corrupt": 1}, tmp_path, tmp_path / "data")
    assert list(data.manifest["facts"]["skipped"]) == ["dog/cifar10_dog_7.aedat"]
    assert sum(map(sum, data.manifest["counts"].values())) == 39
    assert str(tmp_path) not in json.dumps(data.manifest)


def write_tonic(root: Path, *, form: str) -> None:
    """Twenty recordings of two classes each: as folders, as a zip of each, or as one zip of these."""
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(20):
            content = encoders.aedat4(events(), sensor=(128, 128), codec="lz4")
            (root / name / f"cifar10_{name}_{number}.aedat4").write_bytes(content)
        if form != "folders":
            shutil.make_archive(str(root / name), "zip", root, name)
            shutil.rmtree(root / name)
    if form == "one zip":
        with zipfile.ZipFile(root / "CIFAR10DVS.zip", "w") as file:
            for name in ("cat.zip", "dog.zip"):
                file.write(root / name, name)
                (root / name).unlink()


TONIC = DVS | {"root": "tonic", "archive_md5": None}


@pytest.mark.parametrize("form", ["folders", "zips", "one zip"])
def test_cifar10_dvs_as_tonic_has_it(tmp_path, form):
    pytest.importorskip("aedat")
    root = tmp_path / "tonic"
    write_tonic(root, form=form)
    source = plugins.load("source", "cifar10_dvs_tonic")
    source.check_raw(source.Settings.model_validate(TONIC), raw=tmp_path)
    data = prepare("cifar10_dvs_tonic", TONIC, tmp_path, tmp_path / "data")
    assert data.inputs.shape == (40, 4, 2, 16, 16)
    assert data.manifest["counts"] == {"train": [16, 16], "validation": [2, 2], "test": [2, 2]}
    assert data.manifest["facts"]["format"] == "aedat4"
    number = sorted(map(str, range(20)))[2]  # rows are in string order of the file names
    found = read_events(next(root.rglob(f"cat/cifar10_cat_{number}.aedat4")), format="aedat4")
    assert data.inputs[2][:, 1].sum() == found.p.sum()
    assert np.array_equal(prepare("cifar10_dvs_tonic", TONIC, tmp_path, tmp_path / "again").inputs, data.inputs)


def test_tonic_s_cifar10_dvs_mistakes(tmp_path, monkeypatch):
    root = tmp_path / "tonic"
    monkeypatch.setattr("bkdsnn.events.format.find_spec", lambda name: None)
    assert "format: aedat4 needs the package aedat (extra `events`)" in told("cifar10_dvs_tonic", TONIC, tmp_path)
    monkeypatch.setattr("bkdsnn.events.format.find_spec", lambda name: name)
    assert "has neither the folder CIFAR10DVS nor CIFAR10DVS.zip" in told("cifar10_dvs_tonic", TONIC, tmp_path)
    write_tonic(root, form="one zip")
    text = told("cifar10_dvs_tonic", TONIC | {"archive_md5": "0" * 32}, tmp_path)
    assert text.startswith(f"{root / 'CIFAR10DVS.zip'}: has the MD5 ")
    assert "has 20 recordings, wanted 19" in told("cifar10_dvs_tonic", TONIC | {"per_class": 19}, tmp_path)


def test_a_recording_whose_header_says_another_sensor_is_damaged(tmp_path):
    pytest.importorskip("aedat")
    write_tonic(tmp_path / "tonic", form="folders")
    other = tmp_path / "tonic/dog/cifar10_dog_7.aedat4"
    other.write_bytes(encoders.aedat4(events(), sensor=(260, 346)))
    sizes = "a sensor of 260 rows x 346 columns, the data set's has 128 rows x 128 columns"
    assert told("cifar10_dvs_tonic", TONIC, tmp_path) == f"{other}: its header says {sizes} (skip_corrupt: 0)"
    data = prepare("cifar10_dvs_tonic", TONIC | {"skip_corrupt": 1}, tmp_path, tmp_path / "data")
    assert list(data.manifest["facts"]["skipped"]) == ["dog/cifar10_dog_7.aedat4"]


def atis(recorded: Events) -> bytes:
    fields = zip(*(field.tolist() for field in recorded), strict=True)
    return b"".join(bytes((x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255)) for t, x, y, p in fields)


NMNIST = {"root": "n", "train": 40, "test": 20, "train_md5": None, "test_md5": None, "frames": FRAMES}
NMNIST |= {"skip_corrupt": 0, "split": {"validation": 10, "seed": 0}}


def test_nmnist(tmp_path):
    for part, count in (("Train", 4), ("Test", 2)):
        for digit in range(10):
            folder = tmp_path / "n" / part / str(digit)
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number:05d}.bin").write_bytes(atis(events(sensor=34)))
    data = prepare("nmnist", NMNIST, tmp_path, tmp_path / "data")
    assert data.inputs.shape == (60, 4, 2, 16, 16)
    assert data.splits["test"].tolist() == list(range(40, 60))
    assert data.manifest["counts"]["validation"] == [1] * 10
    assert "Train: has 40 recordings, wanted 60000" in told("nmnist", NMNIST | {"train": 60000}, tmp_path)
    outside = tmp_path / "n/Test/3/00000.bin"
    outside.write_bytes(atis(events()._replace(x=np.full(60, 40), y=np.full(60, 3))))
    expected = "event 0 at x = 40, y = 3 lies outside the sensor of 34 rows x 34 columns (60 of 60 events do)"
    assert told("nmnist", NMNIST, tmp_path) == f"{outside}: {expected} (skip_corrupt: 0)"
    (tmp_path / "n/Train/5").rename(tmp_path / "n/Train/five")
    assert "Train/5: class folder missing" in told("nmnist", NMNIST, tmp_path)


def test_ncaltech101(tmp_path):
    for name in ("anchor", "bass"):
        folder = tmp_path / "c/Caltech101" / name
        folder.mkdir(parents=True)
        for number in range(10):
            (folder / f"image_{number:04d}.bin").write_bytes(atis(events(sensor=180)))
    settings = {"root": "c", "classes": 2, "archive_md5": None, "frames": FRAMES | {"size": [48, 64]}}
    settings |= {"skip_corrupt": 0, "split": {"protocol": "random_90", "validation": 2, "seed": 0}}
    data = prepare("ncaltech101", settings, tmp_path, tmp_path / "data")
    assert data.inputs.shape == (20, 4, 2, 48, 64)
    assert data.manifest["counts"]["test"] == [1, 1]
    assert "has 2 class folders, wanted 101" in told("ncaltech101", settings | {"classes": 101}, tmp_path)


def aedat3(recorded: Events) -> bytes:
    """One packet of polarity events."""
    count = len(recorded.t)
    fields = zip(*(field.tolist() for field in recorded), strict=True)
    header = struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, count, count, count)
    return header + b"".join(struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t) for t, x, y, p in fields)


def write_gesture(root: Path) -> Path:
    """Two trials of four gestures each; the last twenty of a hundred events belong to none."""
    folder = root / "DvsGesture"
    folder.mkdir(parents=True)
    for trial in ("user01_led", "user02_lab"):
        recorded = [events(100) for _ in range(4)]
        recorded = [part._replace(t=part.t + 1_000_000 * n) for n, part in enumerate(recorded)]
        content = b"".join(map(aedat3, recorded))
        (folder / f"{trial}.aedat").write_bytes(b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + content)
        rows = [f"{1 + n % 2},{1_000_000 * n},{part.t[80]}\n" for n, part in enumerate(recorded)]
        (folder / f"{trial}_labels.csv").write_text("class,startTime_usec,endTime_usec\n" + "".join(rows))
    (folder / "trials_to_train.txt").write_text("user01_led.aedat\n\n")
    (folder / "trials_to_test.txt").write_text("user02_lab.aedat\n")
    return folder


GESTURE = {"root": "g", "train": 4, "test": 4, "archive_md5": None, "frames": FRAMES | {"size": None}}
GESTURE |= {"skip_corrupt": 0, "split": {"validation": 2, "seed": 0}}


def test_dvs128_gesture_is_cut_as_spikingjelly_cuts_it(tmp_path):
    from spikingjelly.datasets.dvs128_gesture import _split_aedat_files_to_np
    from spikingjelly.datasets.utils import integrate_events_by_fixed_frames_number

    folder, out = write_gesture(tmp_path / "g"), tmp_path / "out"
    data = prepare("dvs128_gesture", GESTURE, tmp_path, tmp_path / "data")
    assert data.labels.tolist() == [0, 1, 0, 1] * 2
    assert data.splits["test"].tolist() == [4, 5, 6, 7]
    for label in range(11):
        (out / str(label)).mkdir(parents=True)
    _split_aedat_files_to_np("u", folder / "user02_lab.aedat", folder / "user02_lab_labels.csv", out)
    for row, name in ((4, "0/u_0"), (5, "1/u_0"), (6, "0/u_1"), (7, "1/u_1")):
        theirs = dict(np.load(out / f"{name}.npz"))
        assert len(theirs["t"]) == 80
        frames = integrate_events_by_fixed_frames_number(theirs, "number", 4, 128, 128)
        assert np.array_equal(data.inputs[row], frames)


def test_dvs128_gesture_mistakes(tmp_path):
    folder = write_gesture(tmp_path / "g")
    assert "leads to 4 gestures, wanted 1176" in told("dvs128_gesture", GESTURE | {"train": 1176}, tmp_path)
    labels = folder / "user01_led_labels.csv"
    whole = labels.read_text()
    labels.write_text(whole.replace("class,", "label,"))
    assert "columns are label, startTime_usec, endTime_usec" in told("dvs128_gesture", GESTURE, tmp_path)
    labels.write_text(whole.replace("\n2,", "\n12,"))
    assert "labels.csv: row 2 is 12,1000000," in told("dvs128_gesture", GESTURE, tmp_path)
    labels.write_text(whole)
    (folder / "user01_led.aedat").rename(folder / "other.aedat")
    assert "user01_led.aedat: missing" in told("dvs128_gesture", GESTURE, tmp_path)


def gesture_lists(folder: Path, *, train: str, test: str) -> None:
    (folder / "trials_to_train.txt").write_text(train)
    (folder / "trials_to_test.txt").write_text(test)


@pytest.mark.parametrize(
    ("train", "test", "why"),
    [
        (
            "user01_led.aedat",
            "user01_led.aedat",
            "trials_to_test.txt: user01_led.aedat is listed here and in trials_to_tr",
        ),
        (
            "user01_led.aedat\n./user01_led.aedat",
            "user02_lab.aedat",
            "trials_to_train.txt: user01_led.aedat is listed here tw",
        ),
        ("user01_led.aedat", "link.aedat", "trials_to_test.txt: link.aedat is listed here and in trials_to_train.txt"),
    ],
)
def test_a_gesture_recording_is_in_one_list_once(tmp_path, train, test, why):
    folder = write_gesture(tmp_path / "g")
    (folder / "link.aedat").symlink_to("user01_led.aedat")
    gesture_lists(folder, train=train, test=test)
    assert why in told("dvs128_gesture", GESTURE, tmp_path)


@pytest.mark.parametrize("copied", ["cifar10_dog_3.aedat", "../cat/cifar10_cat_99.aedat"])
def test_a_copied_recording_is_refused(tmp_path, copied):
    write_cifar10_dvs(tmp_path / "dvs")
    original, copy = tmp_path / "dvs/cat/cifar10_cat_0.aedat", (tmp_path / "dvs/dog" / copied).resolve()
    copy.write_bytes(original.read_bytes())
    per_class = {"per_class": 20}
    if copy.parent.name == "cat":
        (tmp_path / "dvs/cat/cifar10_cat_1.aedat").unlink()
    text = told("cifar10_dvs", DVS | per_class, tmp_path)
    assert text == f"{copy}: the same content as {original}; a sample may be there once"


def test_a_byte_order_mark_spaces_and_other_line_ends_change_nothing(tmp_path):
    folder = write_gesture(tmp_path / "g")
    wanted = prepare("dvs128_gesture", GESTURE, tmp_path, tmp_path / "data")
    for path in (*folder.glob("*.csv"), *folder.glob("*.txt")):
        text = path.read_text().replace(",", " , ").replace("\n", " \r\n\t\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = prepare("dvs128_gesture", GESTURE, tmp_path, tmp_path / "again")
    assert np.array_equal(found.inputs, wanted.inputs)
    assert np.array_equal(found.labels, wanted.labels)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1,90000000,99999999", "no event from 90000000 to 99999999 us, the file's are from "),
        ("1,99999,90000", "begins at 99999 us, but ends at 90000"),
        ("1,100,100", "begins at 100 us, but ends at 100"),
    ],
)
def test_a_bad_gesture_is_left_out_alone_and_named_by_its_row(tmp_path, row, why):
    folder = write_gesture(tmp_path / "g")
    labels = folder / "user02_lab_labels.csv"
    lines = labels.read_text().splitlines()
    labels.write_text("\n".join([*lines[:3], row, *lines[4:]]))
    text = told("dvs128_gesture", GESTURE, tmp_path)
    assert text.startswith(f"{labels} row 3 ({row}): {why}")
    data = prepare("dvs128_gesture", GESTURE | {"skip_corrupt": 1}, tmp_path, tmp_path / "data")
    assert list(data.manifest["facts"]["skipped"]) == [f"DvsGesture/user02_lab_labels.csv row 3 ({row})"]
    assert sorted(np.concatenate(list(data.splits.values()))) == [0, 1, 2, 3, 4, 5, 7]
    assert not data.inputs[6].any()
    assert data.inputs[7].any()


@pytest.mark.parametrize("row", ["12,1,2", "1,2", "1,-5,2", "1,2,three", f"1,2,{'9' * 5000}", "١,2,3"])
def test_a_gesture_row_that_is_none_is_named(tmp_path, row):
    labels = write_gesture(tmp_path / "g") / "user01_led_labels.csv"
    labels.write_text(labels.read_text() + row)
    assert f"{labels}: row 5 is {row[:77]}" in told("dvs128_gesture", GESTURE, tmp_path)


def test_a_gesture_that_is_listed_twice_and_lists_that_are_none_are_named(tmp_path):
    labels = write_gesture(tmp_path / "g") / "user01_led_labels.csv"
    whole = labels.read_text()
    labels.write_text(whole + whole.splitlines()[2])
    assert f"{labels}: row 5 has the start and end of row 2" in told("dvs128_gesture", GESTURE, tmp_path)
    labels.write_text("")
    assert f"{labels}: columns are " in told("dvs128_gesture", GESTURE, tmp_path)
    labels.write_bytes("class,startTime_usec".encode("utf-16"))
    assert f"{labels}: cannot be read" in told("dvs128_gesture", GESTURE, tmp_path)


def test_special_events_are_counted_in_the_manifest(tmp_path):
    write_cifar10_dvs(tmp_path / "dvs")
    whole = prepare("cifar10_dvs", DVS, tmp_path, tmp_path / "whole")
    assert whole.manifest["facts"]["events_passed_over"] == 0
    for name in ("cat/cifar10_cat_3", "dog/cifar10_dog_5"):
        path = tmp_path / f"dvs/{name}.aedat"
        path.write_bytes(path.read_bytes() + struct.pack(">II", 0x8000, 2**31 - 1))
    data = prepare("cifar10_dvs", DVS, tmp_path, tmp_path / "data")
    assert data.manifest["facts"]["events_passed_over"] == 2
    assert np.array_equal(data.inputs, whole.inputs)


def write_npz(root: Path, *, sensor: int = 20) -> dict:
    """Recordings of two classes, and the settings that read them."""
    for name in ("a", "b"):
        (root / "r" / name).mkdir(parents=True)
        for number in range(10):
            np.savez_compressed(root / "r" / name / f"{number}.npz", **events(400, sensor=sensor)._asdict())
    settings = {"root": "r", "format": "npz", "sensor": [20, 24], "frames": FRAMES, "skip_corrupt": 0}
    return settings | {"split": {"protocol": "random_90", "validation": 2, "seed": 0}}


@pytest.mark.parametrize("size", [[16, 16], None], ids=["summed", "pixels"])
def test_events_in_a_corner_of_the_sensor_are_warned_of(tmp_path, caplog, size):
    settings = write_npz(tmp_path) | {"frames": FRAMES | {"size": size}}
    prepare("recordings", settings, tmp_path, tmp_path / "fits")
    assert caplog.messages == []
    prepare("recordings", settings | {"sensor": [40, 50]}, tmp_path, tmp_path / "large")
    beyond = "row 20 and column 20" if size is None else "row 20 and column 22"
    assert caplog.messages == [
        f"{tmp_path / 'r'}: no event lies beyond {beyond} of a sensor of 40 rows, 50 columns; is it another camera's?"
    ]


def test_other_files_in_a_class_folder_are_named_by_suffix_and_by_what_they_begin_as(tmp_path):
    settings = write_npz(tmp_path) | {"format": "prophesee"}
    text = told("recordings", settings, tmp_path)
    assert text.startswith(
        f"{tmp_path / 'r/a'}: class folder missing or without .dat files; has 10 .npz; 0.npz begins as"
    )
    assert text.endswith("(.aedat4), atis (.bin), evt2 (.raw), evt3 (.raw), npz (.npz), prophesee (.dat)")
    for path in (tmp_path / "r/a").iterdir():
        path.unlink()
    (tmp_path / "r/a/one.raw").write_bytes(b"% evt 3.0\n% end\n\0\0")
    (tmp_path / "r/a/two.RAW").write_bytes(b"")
    (tmp_path / "r/a/zreadme").write_bytes(b"")
    text = told("recordings", settings, tmp_path)
    assert "has 2 .raw, 1 no suffix; one.raw begins as EVT3 (Prophesee RAW)" in text
    for name in ("a", "b"):
        for number in range(10):
            (tmp_path / f"r/{name}/{number}.dat").write_bytes(b"% evt 2.0\n\0\x08" + bytes(16))
    text = told("recordings", settings, tmp_path)
    assert "a/0.dat: does not begin as format: prophesee, it is EVT2 (Prophesee RAW), which format: evt2 reads" in text


@pytest.mark.parametrize("place", [30, 100, -3])
def test_damage_inside_a_compressed_recording_is_named_and_can_be_skipped(tmp_path, place):
    settings = write_npz(tmp_path)
    path = tmp_path / "r/b/3.npz"
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    assert told("recordings", settings, tmp_path).startswith(f"{path}: no readable .npz")
    data = prepare("recordings", settings | {"skip_corrupt": 1}, tmp_path, tmp_path / "data")
    assert list(data.manifest["facts"]["skipped"]) == ["b/3.npz"]


def test_own_recordings_in_any_format(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "r" / name).mkdir(parents=True)
        for number in range(10):
            np.savez(tmp_path / "r" / name / f"{number}.npz", **events(sensor=20)._asdict())
    settings = {"root": "r", "format": "npz", "sensor": [20, 24], "frames": FRAMES, "skip_corrupt": 0}
    settings["split"] = {"protocol": "random_90", "validation": 2, "seed": 0}
    data = prepare("recordings", settings, tmp_path, tmp_path / "data")
    assert data.inputs.shape == (20, 4, 2, 16, 16)
    text = told("recordings", settings | {"sensor": [20, 19], "frames": FRAMES | {"size": None}}, tmp_path)
    assert "lies outside the sensor of 20 rows x 19 columns" in text


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_args) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    write_cifar10_dvs(tmp_path / "dvs")
    with pytest.raises(OSError, match="82,048 bytes are needed"):
        prepare("cifar10_dvs", DVS, tmp_path, tmp_path / "data")


@pytest.mark.parametrize("name", plugins.names("source"))
def test_every_source_is_in_the_catalogue_of_data_sets(name, composed):
    conf = ROOT / "src/bkdsnn/conf/dataset"
    parts = [path.stem for path in conf.glob("*.yaml") if f"source: {name}\n" in path.read_text()]
    assert parts
    for part in parts:
        content = composed(f"+dataset={part}")["datasets"][part]
        plugins.load("source", name).Settings.model_validate(Dataset(**content).settings)


def test_two_damaged_recordings_that_are_equal_are_skipped_as_any_others(tmp_path):
    write_cifar10_dvs(tmp_path / "dvs")
    for number in (1, 2):
        (tmp_path / f"dvs/cat/cifar10_cat_{number}.aedat").write_bytes(b"x")
    data = prepare("cifar10_dvs", DVS | {"skip_corrupt": 2}, tmp_path, tmp_path / "data")
    assert len(data.manifest["facts"]["skipped"]) == 2


def test_a_format_that_there_is_not_is_told_with_its_key():
    recordings = plugins.load("source", "recordings")
    settings = {"root": "r", "format": "evt4", "sensor": [32, 32], "frames": FRAMES, "skip_corrupt": 0}
    with pytest.raises(InputError, match=r"s\.format: \"evt4\": there are aedat2, "):
        validated(recordings.Settings, settings | {"split": DVS["split"]}, where="s")
