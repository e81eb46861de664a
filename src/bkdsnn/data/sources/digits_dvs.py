"""The digits shown to a simulated event camera, written as AEDAT files in class folders, read back and made frames."""

import hashlib
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import NonNegativeInt, model_validator

from bkdsnn import seeding
from bkdsnn.data.arrays import Prepared, Split, create_inputs, stratified_split
from bkdsnn.data.event_files import FrameSettings, files_of_classes, in_processes, write_frames
from bkdsnn.data.sources import digits
from bkdsnn.errors import InputError
from bkdsnn.events import aedat, camera
from bkdsnn.events.aedat import read_aedat2, write_aedat2
from bkdsnn.events.camera import Camera, record
from bkdsnn.params import Closed
from bkdsnn.seeding import derive_seed

CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class Settings(Closed):
    """The camera, the seed of its noise, how events become frames, and the split: that of the images, by sample."""

    camera: Camera
    record_seed: NonNegativeInt
    frames: FrameSettings
    split: Split

    @model_validator(mode="after")
    def _blocks_fill_the_sensor(self) -> Self:
        if self.camera.sensor % self.frames.down_scale:
            raise ValueError(f"frames.down_scale {self.frames.down_scale} does not divide {self.camera.sensor} pixels")
        return self


def prepare(settings: Settings, *, raw: Path, folder: Path) -> Prepared:
    """Records what is not yet recorded under `raw`, then writes frames uint8 `[N, T, 2, H, W]`."""
    images, labels = digits.load()
    splits = stratified_split(labels, settings.split)
    chosen = np.sort(np.concatenate(list(splits.values())))
    recordings = raw / "digits-dvs" / _fingerprint(settings)
    _record_missing(recordings, images, labels, chosen, settings)

    files, found_labels = files_of_classes(recordings, CLASSES, suffix=".aedat")
    source_image = np.array([_digit_of(path) for path in files])
    wanted = np.isin(source_image, chosen)
    files = [path for path, keep in zip(files, wanted, strict=True) if keep]
    source_image, found_labels = source_image[wanted], found_labels[wanted]
    if not np.array_equal(np.sort(source_image), chosen) or (labels[source_image] != found_labels).any():
        raise InputError(
            f"{recordings}: not one recording per digit in its class folder; delete the folder to record anew"
        )

    side = settings.camera.sensor // settings.frames.down_scale
    inputs = create_inputs(folder, (len(files), settings.frames.time_steps, 2, side, side))
    saturated = write_frames(inputs, files, sensor=(settings.camera.sensor,) * 2, settings=settings.frames)
    inputs.flush()
    _write_preview(folder, files[0], image=images[source_image[0]], frames=inputs[0])
    return Prepared(
        classes=CLASSES,
        labels=found_labels,
        splits={name: np.flatnonzero(np.isin(source_image, part)) for name, part in splits.items()},
        facts={
            "origin": "sklearn.datasets.load_digits before a simulated event camera",
            "recordings": len(files),
            "recordings_sha256": _digest(files),
            "counts_cut_at_255": saturated,
            "split_by": "source image: no image is in two splits",
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


def _write_preview(folder: Path, recording: Path, *, image: np.ndarray, frames: np.ndarray) -> None:
    """One sample from picture to frames, for the figure."""
    np.save(folder / "preview_image.npy", image)
    np.save(folder / "preview_events.npy", np.stack([field.astype(np.int64) for field in read_aedat2(recording)]))
    np.save(folder / "preview_frames.npy", frames)


def _record(path: Path, image: np.ndarray, camera: Camera, seed: int) -> None:
    write_aedat2(path, record(image, camera=camera, seed=seed))


def _fingerprint(settings: Settings) -> str:
    """Recordings of other cameras, or made by other code, lie elsewhere, so that none is taken for another."""
    digest = hashlib.sha256(f"{settings.camera.model_dump_json()} {settings.record_seed}".encode())
    for module in (aedat, camera, digits, seeding):
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:12]


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()
