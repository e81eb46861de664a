"""Recordings in every format, and the lists of gestures."""

import zipfile
from functools import cache, partial
from importlib.util import find_spec
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
from bkdsnn.tools.fuzz import encoders
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


def _files(format: str) -> dict[str, bytes]:
    """Whole files of a format by name, one for each way to compress."""
    ways = {
        "aedat3": lambda: {"a.aedat": encoders.aedat3(events())},
        "aedat4": lambda: {
            f"{codec or 'plain'}.aedat4": encoders.aedat4(events(), events(9), sensor=SENSOR, codec=codec, index=True)
            for codec in (None, "lz4", "zstd")
        },
        "atis": lambda: {"a.bin": encoders.atis(events())},
        "evt2": lambda: {"a.raw": encoders.evt2(events(), sensor=SENSOR)},
        "evt3": lambda: {"a.raw": encoders.evt3(events(), sensor=SENSOR)},
        "prophesee": lambda: {"a.dat": encoders.prophesee(events())},
        "npz": lambda: {
            f"{name}.npz": encoders.npz(events(), method=method)
            for name, method in (
                ("stored", zipfile.ZIP_STORED),
                ("deflated", zipfile.ZIP_DEFLATED),
                ("lzma", zipfile.ZIP_LZMA),
            )
        },
    }
    return ways[format]()


def _write(folder: Path, *, format: str) -> None:
    if format == "aedat2":
        aedat2.write(folder / "a.aedat", events())
        return
    for name, content in _files(format).items():
        (folder / name).write_bytes(content)


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
        (place / f"{part}.aedat").write_bytes(encoders.aedat3(events()))
        rows = [f"{1 + number % 2},{number * 1000},{number * 1000 + 900}\n" for number in range(4)]
        (place / f"{part}_labels.csv").write_text("class,startTime_usec,endTime_usec\n" + "".join(rows))
        (place / f"trials_to_{part}.txt").write_text(f"{part}.aedat\n")


def _read_gestures(folder: Path, _changed: Path) -> None:
    source = plugins.load("source", "dvs128_gesture")
    frames = _FRAMES[0].model_dump(mode="json")
    source.find(source.Settings.model_validate({"root": ".", "frames": frames, **_GESTURES}), folder)


def _readable(format: str) -> bool:
    library = getattr(plugins.load("format", format), "LIBRARY", None)
    return library is None or find_spec(library) is not None


FORMATS = [
    Target(name, partial(_write, format=name), partial(_read, format=name))
    for name in plugins.names("format")
    if _readable(name)
]
TARGETS = [*FORMATS, Target("gesture lists", _write_gestures, _read_gestures, names=False)]
