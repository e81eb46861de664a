"""`make torture`: kills at 20 moments and at chosen points, signals, full disks; the bytes are as of an unbroken one.

Three rows of the tiny table that learn for longer, so that most of the time is training.
"""

import random
import tempfile
import time
from pathlib import Path

from bkdsnn.command import run_stage
from bkdsnn.tools.clone import Clone
from bkdsnn.tools.torture import disks, moments, points

LONGER = [f"recipes.{name}.epochs=8" for name in ("digits", "digits-dvs")]
LESS = ["dataset=[digits,digits-dvs]", "teacher=[resnet-digits,resnet-dvs]", "recipe=[digits,digits-dvs]"]
LESS += ["~rows.image-vit", "~rows.dvs-swapped", "~recipes.digits-vit", "~datasets.digits-dvs-16"]


def torture(seed: str) -> None:
    """The moments follow from the seed (a number; empty: any); raises `InputError` where a byte differs."""
    chosen = seed or str(random.randrange(10**6))
    print(f"seed {chosen}: SIGKILL to all processes; a state is saved after every step", flush=True)
    with tempfile.TemporaryDirectory() as place:
        fresh = Clone(Path(place) / "fresh", *LONGER, *LESS)
        unbroken = fresh.copy(Path(place) / "unbroken")
        start = time.monotonic()
        unbroken.dvc("repro")
        print(f"unbroken: {time.monotonic() - start:.0f} s, {len(unbroken.bytes())} files", flush=True)
        moments.killed_often(fresh, unbroken, random.Random(chosen))
        points.broken_at_points(unbroken)
        disks.filled(unbroken)


if __name__ == "__main__":
    run_stage(torture)
