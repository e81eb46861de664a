"""When a training run's state is saved, what belongs to it, and how a run goes on from it."""

import logging
import signal
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, Self

import torch
from lightning_fabric import Fabric
from torch import nn

from bkdsnn import environment
from bkdsnn.contracts import Batch
from bkdsnn.distributed.agreement import largest
from bkdsnn.distributed.batch_statistics import several
from bkdsnn.distributed.launcher import endings
from bkdsnn.provenance.versions import processor_of
from bkdsnn.training.checkpoint.files import read_state, states, write_state
from bkdsnn.training.checkpoint.state import capture, differences, put_back
from bkdsnn.training.progress import Progress

log = logging.getLogger(__name__)

_SAVING = 0.02  # of the time, at most, where epochs are short


class Keeper:
    """Saves a run's whole state at epoch ends and every `BKDSNN_CHECKPOINT_MINUTES`, and goes on from the newest.

    Inside `with`, SIGTERM, SIGHUP and Ctrl-C save after the step in progress and end the process, and all others of the
    run after the same step. A state that something else has made (`made_by`) is told by what differs and not used. A
    failing save is told and ends nothing.
    """

    def __init__(self, folder: Path, *, made_by: dict[str, Any], fabric: Fabric) -> None:
        self.folder = folder
        self.newest: Path | None = None
        self.tracking_id = uuid.uuid4().hex  # what the run is found by in MLflow when it goes on
        self._made_by = made_by
        self._fabric = fabric
        self._processor = processor_of(fabric.device)
        self._every = 60 * _minutes()
        self._stopping: signal.Signals | None = None
        self._state = read_state(folder)
        if self._state and (differs := differences(self._state[1]["made_by"], made_by)):
            log.warning("%s: was made by other %s: not used, training starts anew", folder, differs)
            self._state = None
        if self._state:
            self.newest = states(folder)[-1]
            self.tracking_id = self._state[1]["tracking_id"]
            if (made_on := self._state[1].get("processor", self._processor)) != self._processor:
                log.warning("%s: made on %s, goes on on %s: the bytes are neither's", folder, made_on, self._processor)

    def start(self, learner: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
        """The progress so far: that of the state, whose parameters, optimiser and generators are put in place."""
        self._learner, self._optimiser = learner, optimiser
        self._progress = Progress()
        self._saved, self._cost = time.monotonic(), 0.0
        if self._state:
            self._progress = put_back(*self._state, learner=learner, optimiser=optimiser, fabric=self._fabric)
            log.info("goes on at epoch %d, step %d (%s)", self._progress.epoch, self._progress.step, self.newest)
            self._state = None
        else:
            self._save()
        self._fabric.barrier()  # every process has read before one of them writes again
        return self._progress

    def watch(self, batches: Iterable[Batch], *, alone: bool = False) -> Iterator[Batch]:
        """The batches; between two of them the state is saved where it is time.

        alone: other processes may have more or fewer of them, so that nothing can be agreed on in between.
        """
        try:
            for batch in batches:
                yield batch
                if not (alone and several()):
                    self._pause(self._every)
        except (RuntimeError, OSError, EOFError):  # the loader's: where its workers end by the same signal
            if not self._stopping:
                raise
            self._save()
            self._end(self._stopping)

    def epoch_done(self) -> None:
        """The state is saved, but for epochs so short that this would take a noticeable part of the time."""
        self._pause(min(self._cost / _SAVING, self._every))

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._on_signal) for number in endings()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGINT and self._stopping == number:  # Ctrl-C once more: at once
            raise KeyboardInterrupt
        self._stopping = self._stopping or signal.Signals(number)

    def _pause(self, every: float) -> None:
        """Between two steps: saves after so many seconds, and ends all processes where one was told to."""
        stopping = largest(self._stopping or 0)
        if stopping or time.monotonic() >= self._saved + every:
            self._save()
        if stopping:
            largest(0)  # nobody ends before the first has saved
            self._end(signal.Signals(stopping))

    def _end(self, number: signal.Signals) -> NoReturn:
        start = self.newest or "the start"
        log.warning("%s: stopped; the same command goes on from %s", number.name, start)
        raise SystemExit(128 + number)  # the exit code that shells give a process which a signal ended

    def _save(self) -> None:
        start = time.monotonic()
        if self._fabric.is_global_zero:
            self._progress.check()
            tensors, facts = capture(self._progress, self._learner, self._optimiser, fabric=self._fabric)
            facts |= {"made_by": self._made_by, "processor": self._processor, "tracking_id": self.tracking_id}
            try:
                self.newest = write_state(self.folder, tensors, facts)
            except OSError as error:
                log.warning("%s: no state was saved (%s); training goes on", self.folder, error)
        self._saved = time.monotonic()
        self._cost = self._saved - start


class NoKeeper:
    """Takes the loop's calls and keeps nothing."""

    def start(self, learner: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
        return Progress()

    def watch(self, batches: Iterable[Batch], *, alone: bool = False) -> Iterable[Batch]:
        return batches

    def epoch_done(self) -> None: ...


AnyKeeper = Keeper | NoKeeper


def _minutes() -> float:
    minutes = environment.read("BKDSNN_CHECKPOINT_MINUTES")
    return 10.0 if minutes is None else minutes
