"""Every stage on a disk that is full: one line that names it, nothing half-written, and whole once there is room."""

import subprocess
import sys
from pathlib import Path

from bkdsnn.errors import InputError
from bkdsnn.tools.clone import Clone

_NAMESPACE = ("unshare", "--map-root-user", "--mount", "sh", "-c")
# $1 the disk's folder, $2 the project, $3 the interpreter, and then the stage. The disk is gone with the process.
_FILLED = """
mount -t tmpfs -o size=1g tmpfs "$1" && cp -a "$2/." "$1" && cd "$1" || exit 90
python=$3; shift 3
head -c 1073741824 /dev/zero > fill 2>/dev/null
"$python" "$@"; code=$?
rm fill
[ -z "$(find . -name '*.partial-*')" ] || { find . -name '*.partial-*'; exit 91; }
"$python" "$@" || exit 92
exit $code
"""
STAGES = [
    ("hash_code",),
    ("check_params",),
    ("fingerprint_raw",),
    ("prepare_data", "digits"),
    ("prepare_data", "digits-dvs"),
    ("train_teacher", "resnet-digits"),
    ("train_student", "image-bkd-s0"),
    ("evaluate", "image-bkd-s0"),
    ("evaluate_teacher", "resnet-digits"),
    ("build_tables", "tiny"),
]  # not cache_features, which looks for a free gigabyte before it begins


def filled(unbroken: Clone) -> None:
    """Runs every stage without room and then with it; raises `InputError` where that is not told, or ends otherwise."""
    disk = unbroken.folder.with_name("disk")
    disk.mkdir()
    if not _may_mount(disk):
        print("full disks: not tried, as nothing may be mounted here")
        return
    for stage, *key in STAGES:
        _fill(unbroken, disk, stage, *key)
    print(f"full disks: {len(STAGES)} stages said so in one line, left nothing half-written, and are whole again")


def _may_mount(disk: Path) -> bool:
    try:
        return (
            subprocess.run([*_NAMESPACE, 'mount -t tmpfs tmpfs "$1"', "sh", disk], capture_output=True).returncode == 0
        )
    except FileNotFoundError:
        return False


def _fill(clone: Clone, disk: Path, stage: str, *key: str) -> None:
    command = (*_NAMESPACE, _FILLED, "sh", str(disk), str(clone.folder), sys.executable, f"stages/{stage}.py", *key)
    said = clone.run(*command, check=False, PYTHONPATH="src", BKDSNN_TRACKING="off")
    if clone.code != 1 or "the disk is full; make room there" not in said or "Traceback" in said:
        raise InputError(f"{stage}@{''.join(key)} on a full disk: ended with {clone.code}: {said[-2000:]}")
