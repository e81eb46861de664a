"""The digits shown to a simulated event camera, written as AEDAT files in class folders, read back and made frames."""

import hashlib
import json
from pathlib import Path

import numpy as np
from pydantic import NonNegativeInt

from bkdsnn.data.arrays import Prepared
from bkdsnn.data.files import Expected, files_of_classes
from bkdsnn.data.frame_writer import FrameSettings, Recorded, write_frames, write_preview
from bkdsnn.data.processes import in_processes
from bkdsnn.data.sources import digits
from bkdsnn.data.splits import Split, stratified_split
from bkdsnn.errors import InputError
from bkdsnn.events.camera import Camera, record
from bkdsnn.events.formats import aedat2
from bkdsnn.params.recipe import Closed
from bkdsnn.provenance.digests import code_of, file_digest
from bkdsnn.seeding import derive_seed

CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class Settings(Closed):
    """The camera, the seed of its noise, how events become frames, and the split: that of the images, by sample."""

    camera: Camera
    record_seed: NonNegativeInt
    frames: FrameSettings
    split: Split


def expected(settings: Settings) -> Expected:
    size = settings.frames.size or (settings.camera.sensor,) * 2
    return Expected((settings.frames.time_steps, 2, *size), len(CLASSES), settings.split.train, home=digits.ORIGIN)


def check_raw(settings: Settings, *, raw: Path) -> None:
    """The recordings are made from the digits by this code."""


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Records what is not yet recorded under `raw`, then writes frames uint8 `[N, T, 2, h, w]`."""
    images, labels = digits.load()
    splits = stratified_split(labels, settings.split)
    chosen = np.sort(np.concatenate(list(splits.values())))
    recordings = raw / "digits-dvs" / _folder_name(settings)
    _record_missing(recordings, images, labels, chosen, settings)

    files, found_labels = files_of_classes(recordings, CLASSES, suffixes=(aedat2.SUFFIX,))
    source_image = np.array([_digit_of(path) for path in files])
    wanted = np.isin(source_image, chosen)
    files = [path for path, keep in zip(files, wanted, strict=True) if keep]
    source_image, found_labels = source_image[wanted], found_labels[wanted]
    if not np.array_equal(np.sort(source_image), chosen) or (labels[source_image] != found_labels).any():
        raise InputError(
            f"{recordings}: not one recording per digit in its class folder; delete the folder to record anew"
        )

    samples = [Recorded(path, int(label)) for path, label in zip(files, found_labels, strict=True)]
    _, facts = write_frames(
        folder,
        samples,
        format=aedat2,
        sensor=(settings.camera.sensor,) * 2,
        frames=settings.frames,
        skip_corrupt=0,
        root=recordings,
    )
    np.save(folder / "preview_image.npy", images[source_image[0]])
    write_preview(folder, samples[0], row=0, format=aedat2)
    return Prepared(
        classes=CLASSES,
        labels=found_labels,
        splits={name: np.flatnonzero(np.isin(source_image, part)) for name, part in splits.items()},
        facts={
            "origin": f"{digits.ORIGIN} before a simulated event camera",
            "split": f"{settings.split.in_words()}, by source image: no image is in two splits",
            **facts,
        },
    )


def _record_missing(
    recordings: Path, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, settings: Settings
) -> None:
    jobs = []
    for digit in chosen:
        path = recordings / CLASSES[labels[digit]] / f"digit_{digit:04d}.aedat"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            jobs.append((path, images[digit] / 16.0, settings.camera, derive_seed(settings.record_seed, int(digit))))
    for _ in in_processes(_record, jobs, total=len(jobs), what="recordings"):
        pass


def _digit_of(path: Path) -> int:
    number = path.stem.removeprefix("digit_")
    if not number.isdecimal():
        raise InputError(f"{path}: not a recording of this data set (digit_<number>.aedat); remove it")
    return int(number)


def _record(path: Path, image: np.ndarray, camera: Camera, seed: int) -> None:
    aedat2.write(path, record(image, camera=camera, seed=seed))


def _folder_name(settings: Settings) -> str:
    """Recordings of other cameras, or made by other code, lie elsewhere, so that none is taken for another."""
    code = code_of("src/bkdsnn/events/camera.py", "src/bkdsnn/events/formats/aedat2.py")
    code["digits"] = file_digest("src/bkdsnn/data/sources/digits.py")
    made_of = [settings.camera.model_dump(mode="json"), settings.record_seed, code]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
