"""One GPU for each of several stages that run at once, say from `dvc queue start -j 2`: `BKDSNN_DEVICE_POOL=0,1`.

DVC does not tell a stage which of its workers runs it, so the stages themselves take turns, by locks on files.
"""

import logging
import os
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from bkdsnn import environment
from bkdsnn.distributed import launcher
from bkdsnn.errors import InputError

log = logging.getLogger(__name__)
_held: list[FileLock] = []  # until the process ends, however it ends


def take_device() -> None:
    """Waits for a free device of the pool and makes it the only one that this process sees; no pool: nothing."""
    pool = environment.read("BKDSNN_DEVICE_POOL")
    if not pool or _held:
        return
    if launcher.world_size() > 1:
        raise InputError("BKDSNN_DEVICE_POOL gives each stage one device, this launcher started several processes")
    folder = Path(tempfile.gettempdir()) / f"bkdsnn-devices-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    locks = {name: FileLock(folder / f"{name.replace('/', '-')}.lock") for name in pool}
    while not (name := _first_free(locks)):
        time.sleep(0.2)
    environment.put("CUDA_VISIBLE_DEVICES", name)
    _held.append(locks[name])
    log.info("device %s of the pool %s", name, ",".join(pool))


def taken() -> str | None:
    """The device of the pool that this process has; None: it has none."""
    return environment.foreign("CUDA_VISIBLE_DEVICES") if _held else None


def _first_free(locks: dict[str, FileLock]) -> str | None:
    for name, lock in locks.items():
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return name
    return None
