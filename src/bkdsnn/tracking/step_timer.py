"""Where an epoch's time and memory go; for MLflow alone, no number of it is hashed."""

import resource
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch
from lightning_fabric import Fabric

from bkdsnn.contracts import Batch

_WATCH_EVERY = 50  # steps; on an accelerator, whose queue is drained around each part of the steps that are timed


class Meter:
    """Times the parts of a training step: all steps on a CPU, a sample of them on an accelerator.

    A step that is timed there waits for the queue, so its wait for data is shorter than that of the others.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._on_cpu = fabric.device.type == "cpu"
        self._every = 1 if self._on_cpu else _WATCH_EVERY

    def batches(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """An epoch's batches; the time they are waited for is the part `data`."""
        self._seconds: dict[str, float] = defaultdict(float)
        self._timed = samples = 0
        self._watching = self._on_cpu
        self._last = start = self._now()
        for number, batch in enumerate(batches, start=1):
            self.lap("data")
            self._timed += self._watching
            samples += batch.size
            yield batch
            self._watching = number % self._every == 9 % self._every  # the first steps of an epoch are not typical
            if self._watching:
                self._last = self._now()
        self._samples_per_second = samples / (self._now() - start)

    def lap(self, part: str) -> None:
        """The time since the last lap was spent on `part`."""
        if self._watching:
            now = self._now()
            self._seconds[part] += now - self._last
            self._last = now

    def report(self) -> dict[str, float]:
        """Samples per second and milliseconds of a step by part in the last epoch, and the process's peak memory."""
        values = {"samples_per_second": self._samples_per_second}
        for part, seconds in self._seconds.items():
            values[f"step_ms.{part}"] = 1e3 * seconds / max(self._timed, 1)
        values["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in KiB
        if not self._on_cpu:
            values["peak_device_memory_mib"] = torch.accelerator.max_memory_allocated(self._fabric.device) / 2**20
        return values

    def _now(self) -> float:
        if not self._on_cpu:
            torch.accelerator.synchronize(self._fabric.device)
        return time.perf_counter()
