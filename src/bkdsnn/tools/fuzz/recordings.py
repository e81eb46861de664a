"""Recordings in every format, and the lists of gestures."""

import io
import struct
import zipfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from bkdsnn import plugins
from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import InputFile, create_inputs
from bkdsnn.data.frame_file import FrameSettings, Job, Recorded, write_file
from bkdsnn.errors import InputError
from bkdsnn.events.format import Format
from bkdsnn.events.formats import aedat2
from bkdsnn.events.recording import Events
from bkdsnn.tools.fuzz.target import Target

SENSOR = (128, 128)
_FRAMES = [
    FrameSettings(time_steps=4, split_by=split_by, duration_us=duration, size=size)
    for split_by, duration, size in (("number", None, (16, 16)), ("time", None, None), ("duration", 900, (16, 16)))
]


def events(count: int = 60) -> Events:
    """Some events, always the same."""
    draw = np.random.default_rng(0)
    return Events(
        np.cumsum(draw.integers(1, 900, count)), *draw.integers(0, 128, (2, count)), draw.integers(0, 2, count)
    )


def _aedat2(path: Path) -> None:
    aedat2.write(path, events())


def _aedat3(path: Path) -> None:
    t, x, y, p = events()
    words = np.stack([x << 17 | y << 2 | p << 1 | 1, t], axis=1).astype("<u4")
    packets = [
        struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, *(len(part),) * 3) + part.tobytes() for part in (words[:40], words[40:])
    ]
    path.write_bytes(b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n" + b"".join(packets))


def _atis(path: Path) -> None:
    t, x, y, p = events()
    path.write_bytes(np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8).tobytes())


def _prophesee(path: Path) -> None:
    t, x, y, p = events()
    words = np.stack([t, x | y << 14 | p << 28], axis=1).astype("<u4")
    path.write_bytes(b"% Data file containing CD events.\n% Version 2\n" + bytes((0, 8)) + words.tobytes())


def _npz(path: Path, *, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, field in events()._asdict().items():
            buffer = io.BytesIO()
            np.save(buffer, field)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), method)


_WRITERS = {
    "aedat2": {"a.aedat": _aedat2},
    "aedat3": {"a.aedat": _aedat3},
    "atis": {"a.bin": _atis},
    "prophesee": {"a.dat": _prophesee},
    "npz": {
        "stored.npz": partial(_npz, method=zipfile.ZIP_STORED),
        "deflated.npz": partial(_npz, method=zipfile.ZIP_DEFLATED),
        "lzma.npz": partial(_npz, method=zipfile.ZIP_LZMA),
    },
}


def _write(folder: Path, *, format: str) -> None:
    for name, write in _WRITERS[format].items():
        write(folder / name)


def _read(folder: Path, path: Path, *, format: str) -> None:
    for frames in _FRAMES:
        inputs = _inputs(folder.parent, frames.split_by, (1, frames.time_steps, 2, *(frames.size or SENSOR)))
        job = Job(path, Format.of(plugins.load("format", format)), SENSOR, frames, inputs, [(0, Recorded(path, 0))])
        if reasons := write_file(job).reasons:
            raise InputError(next(iter(reasons)))


@cache
def _inputs(folder: Path, name: str, shape: Shape) -> InputFile:
    (folder / name).mkdir()
    return create_inputs(folder / name, shape)


_GESTURES = {"train": 4, "test": 4, "archive_md5": None, "skip_corrupt": 0, "split": {"validation": 2, "seed": 0}}


def _write_gestures(folder: Path) -> None:
    place = folder / "DvsGesture"
    place.mkdir()
    for part in ("train", "test"):
        _aedat3(place / f"{part}.aedat")
        rows = [f"{1 + number % 2},{number * 1000},{number * 1000 + 900}\n" for number in range(4)]
        (place / f"{part}_labels.csv").write_text("class,startTime_usec,endTime_usec\n" + "".join(rows))
        (place / f"trials_to_{part}.txt").write_text(f"{part}.aedat\n")


def _read_gestures(folder: Path, _changed: Path) -> None:
    source = plugins.load("source", "dvs128_gesture")
    frames = _FRAMES[0].model_dump(mode="json")
    source.find(source.Settings.model_validate({"root": ".", "frames": frames, **_GESTURES}), folder)


FORMATS = [Target(name, partial(_write, format=name), partial(_read, format=name)) for name in _WRITERS]
TARGETS = [*FORMATS, Target("gesture lists", _write_gestures, _read_gestures, names=False)]
