"""What decoding events and preparing recordings cost here, beside SpikingJelly and tonic (`make bench`)."""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bkdsnn.command import run_stage
from bkdsnn.data.arrays import create_inputs
from bkdsnn.data.frame_writer import FrameSettings, Recorded, write_frames
from bkdsnn.events.format import Format
from bkdsnn.events.formats import aedat2
from bkdsnn.events.recording import Events

EVENTS, STEPS, SENSOR = 200_000, 16, (128, 128)
FRAMES = FrameSettings(time_steps=STEPS, split_by="number", duration_us=None, size=None)
FILES, DIFFERENT = 1000, 20

# Every contender runs in a process of its own, on one core, as its users run it. KEEP lets glibc keep freed memory, as
# our workers do: without it much of the time goes into mapping memory anew.
KEEP = "import numpy; numpy.empty(31 << 20, dtype=numpy.uint8)\n"
OURS = """
from pathlib import Path
from bkdsnn.events.formats.aedat2 import straight_to_frames
from bkdsnn.events.recording import read_bytes
path = Path(FILE)
def work():
    how = dict(time_steps=16, split_by=SPLIT, duration_us=None, size=(128, 128))
    return straight_to_frames(read_bytes(path), where=path, **how)[0]
"""
SPIKINGJELLY = """
from spikingjelly.datasets.cifar10_dvs import _load_origin_data
from spikingjelly.datasets.utils import integrate_events_by_fixed_frames_number
def work():
    return integrate_events_by_fixed_frames_number(_load_origin_data(FILE), SPLIT, 16, 128, 128)
"""
TONIC = """
import numpy, tonic
from pathlib import Path
from bkdsnn.events.by_name import read_events
read = read_events(Path(FILE), format="aedat2")
events = numpy.empty(len(read.t), dtype=[(name, "<i8") for name in "xytp"])
for name in "xytp":
    events[name] = getattr(read, name)
transform = tonic.transforms.ToFrame(sensor_size=(128, 128, 2), n_event_bins=16)
def work():
    return transform(events)
"""
TIMER = """
import os, statistics, time, zlib
os.sched_setaffinity(0, {0})
first = work()
times = []
for _ in range(40):
    start = time.perf_counter()
    work()
    times.append(time.perf_counter() - start)
print(statistics.median(times), int(first.sum()), zlib.crc32(first.astype("uint8").tobytes()))
"""


def bench_data() -> None:
    """Prints both tables; needs no prepared data, and tonic only for its own line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _write_files(folder / "events")
        _print_decoding(files[0])
        _print_processes(folder, files)


def _write_files(folder: Path) -> list[Path]:
    folder.mkdir()
    random = np.random.Generator(np.random.Philox(0))
    paths = []
    for number in range(DIFFERENT):
        t = np.cumsum(random.integers(0, 13, EVENTS))
        fields = random.integers(0, 128, (2, EVENTS))
        paths.append(folder / f"{number}.aedat")
        aedat2.write(paths[-1], Events(t, *fields, random.integers(0, 2, EVENTS)))
    return paths


def _print_decoding(path: Path) -> None:
    print(f"decode and integrate {EVENTS:,} AEDAT 2.0 events, T = {STEPS}, 128 x 128, one core: ms (median of 5 x 40)")
    for split in ("number", "time"):
        contenders = {
            "ours": KEEP + OURS,
            "SpikingJelly": SPIKINGJELLY,
            "SpikingJelly, memory kept": KEEP + SPIKINGJELLY,
        }
        if split == "number":
            contenders["tonic, ToFrame alone"] = TONIC
        times: dict[str, list[float]] = {name: [] for name in contenders}
        sums = set()
        for _ in range(5):  # by turns, so that a change of the machine's speed meets all
            for name, code in contenders.items():
                found = _run(code, path, split)
                if found is not None:
                    times[name].append(found[0])
                    sums.add(found[1:])
        ours = statistics.median(times["ours"])
        for name, values in times.items():
            if not values:
                print(f"  {'-':>7}         {name}: not installed (pip install tonic)")
                continue
            median = statistics.median(values)
            print(f"  {1e3 * median:7.2f}  {median / ours:5.1f}x  {name}, split by {split}")
        print(f"  frames {'equal' if len(sums) == 1 else 'DIFFER'}")


def _run(code: str, path: Path, split: str) -> tuple[float, int, int] | None:
    code = code.replace("FILE", repr(str(path))).replace("SPLIT", repr(split))
    done = subprocess.run([sys.executable, "-c", code + TIMER], capture_output=True, text=True)
    if done.returncode and "No module named 'tonic'" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    seconds, total, crc = done.stdout.split()[-3:]
    return float(seconds), int(total), int(crc)


def _print_processes(folder: Path, files: list[Path]) -> None:
    """Names alone differ: a thousand files of the twenty that lie in memory, so that the disk is not measured."""
    samples = []
    for number in range(FILES):
        path = folder / f"{number:04d}.aedat"
        path.symlink_to(files[number % DIFFERENT])
        samples.append(Recorded(path, 0))

    def seconds(count: int, workers: int) -> float:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            start = time.perf_counter()
            write_frames(
                Path(out),
                samples[:count],
                format=aedat2,
                sensor=SENSOR,
                frames=FRAMES,
                skip_corrupt=0,
                root=folder,
                workers=workers,
            )
            return time.perf_counter() - start

    seconds(50, 1)  # compiles
    one, two = (statistics.median(seconds(FILES, workers) for _ in range(3)) for workers in (1, 2))
    print(f"\nprepare {FILES} such files, s (median of 3), start of the processes included")
    print(f"  {one:7.2f}         1 process\n  {two:7.2f}  {one / two:5.2f}x  2 processes")
    frames, events = STEPS * 2 * SENSOR[0] * SENSOR[1], files[0].stat().st_size
    print(f"  frames on disk {frames:,} bytes a file: 1/4 of float32, {frames / events:.2f} of the recording")
    for count in (100, FILES):
        print(f"  {_peak(folder, samples[:count]):7.0f}         MiB, peak of a process that writes {count} files")


def _peak(folder: Path, samples: list[Recorded]) -> float:
    """The peak memory of a worker, MiB: the work of one is done in a fresh process."""
    from multiprocessing import get_context

    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_work_and_peak, (folder, samples))


def _work_and_peak(folder: Path, samples: list[Recorded]) -> float:
    from bkdsnn.data.frame_file import Job, write_file

    with tempfile.TemporaryDirectory(dir=folder) as out:
        inputs = create_inputs(Path(out), (len(samples), STEPS, 2, *SENSOR))
        for row, sample in enumerate(samples):
            write_file(Job(sample.path, Format.of(aedat2), SENSOR, FRAMES, inputs, [(row, sample)]))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    run_stage(bench_data)
