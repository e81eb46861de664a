"""CIFAR10-DVS as tonic has it: one zip of ten zips of AEDAT 4 files, 128 x 128 pixels."""

from functools import partial
from pathlib import Path

from bkdsnn.data import event_files
from bkdsnn.data.archives import located, unpacked
from bkdsnn.data.event_files import Found
from bkdsnn.data.files import Expected
from bkdsnn.data.sources import cifar10_dvs
from bkdsnn.events.format import Format
from bkdsnn.events.formats import aedat4

HOME = "https://figshare.com/ndownloader/files/38023437"
FOLDER, ARCHIVE = "CIFAR10DVS", "CIFAR10DVS.zip"


class Settings(cifar10_dvs.Settings):
    """archive_md5: of the zip of zips (null: not checked)."""

    archive_md5: str | None


def expected(settings: Settings) -> Expected:
    return cifar10_dvs.expected(settings)._replace(home=HOME)


def check_raw(settings: Settings, *, raw: Path) -> None:
    Format.of(aedat4)
    if _has_classes(settings, raw / settings.root):
        cifar10_dvs.check_raw(settings, raw=raw)
    else:
        located(raw / settings.root, FOLDER, archive=ARCHIVE)


def find(settings: Settings, root: Path) -> Found:
    """Its recordings, class by class."""
    Format.of(aedat4)  # before anything is unpacked
    if not _has_classes(settings, root):
        root = unpacked(root, FOLDER, archive=ARCHIVE, expected_md5=settings.archive_md5, bare=True)
    return cifar10_dvs.found(settings, root, format=aedat4, origin="CIFAR10-DVS, tonic's AEDAT 4 files")


def _has_classes(settings: Settings, root: Path) -> bool:
    """Whether classes lie there as folders or zips of their own, as tonic leaves them."""
    return any((root / name).is_dir() or (root / f"{name}.zip").is_file() for name in settings.classes)


prepare = partial(event_files.prepare, find)
