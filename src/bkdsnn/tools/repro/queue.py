"""Stages handed to several DVC processes at once, each as soon as what it needs is there."""

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bkdsnn.tools.repro.graph import Graph
from bkdsnn.tools.repro.processes import DVC, PAUSE, end

_BUSY = re.compile("is busy")  # DVC's words: another of its processes reads or writes what this one would
_BUSY_AGAIN, _BUSY_PAUSE = 100, 0.5  # so often a stage is tried again, so many seconds later
_FAILED = re.compile("failed to reproduce '([^']+)'")
_FOLLOWERS = {"train_student": "evaluate"}  # a run is evaluated by the process that has trained it: one start less


@dataclass
class Job:
    """Stages that one DVC process runs, one after another, and where its output goes."""

    stages: list[str]
    log: Path
    process: subprocess.Popen | None = None
    started: float = 0.0
    not_before: float = 0.0
    tries: int = 0

    def start(self, environment: dict[str, str]) -> None:
        """Starts `dvc repro --single-item`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*DVC, "--single-item", *self.stages],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
            )

    @property
    def was_busy(self) -> bool:
        """Whether DVC did not begin because another of its processes was just there."""
        return self.tries < _BUSY_AGAIN and bool(_BUSY.search(self.log.read_text(errors="replace")))

    def failed_stage(self) -> str:
        """The one of its stages that failed."""
        found = _FAILED.search(self.log.read_text(errors="replace"))
        return found[1] if found and found[1] in self.stages else self.stages[0]

    def reason(self, stage: str) -> str:
        """The line that says why a stage failed: its own, as far as there is one."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        own = [line for line in lines if line.startswith(f"{stage.split('@')[0]}: ")]
        return (own or lines or ["it said nothing"])[-1]


@dataclass
class Queue:
    """What is to be run, what runs, and how it went."""

    graph: Graph
    todo: list[str]
    logs: Path
    workers: int
    environment: dict[str, str]
    say: Callable[[str], None] = lambda line: print(line, flush=True)
    running: list[Job] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting = [Job(stages, self.logs / f"{stages[0]}.log") for stages in _jobs(self.todo)]
        self._waiting.sort(key=lambda job: -len(self.graph.dependants(job.stages[0])))

    def run(self, stopped: Sequence[int] = ()) -> None:
        """Runs all that can be run, until `stopped` has an entry; a stage that fails stops only what depends on it."""
        try:
            while (self.running or self._unblocked()) and not stopped:
                self._start(stopped)
                self._finish_ended()
                time.sleep(PAUSE)
        finally:
            end([job.process for job in self.running])
            self._finish_ended(failures=False)

    def _start(self, stopped: Sequence[int]) -> None:
        startable = [job for job in self._unblocked() if time.monotonic() >= job.not_before]
        for job in startable[: self.workers - len(self.running)]:
            if not stopped:
                self._waiting.remove(job)
                job.start(self.environment)
                self.running.append(job)

    def _finish_ended(self, *, failures: bool = True) -> None:
        for job in [job for job in self.running if job.process.poll() is not None]:
            self.running.remove(job)
            self._finish(job, failures=failures)

    def left(self) -> list[str]:
        """The stages that are neither done nor failed, in order."""
        return [stage for stage in self.todo if stage not in self.done and stage not in self.failed]

    def _unblocked(self) -> list[Job]:
        """The jobs that wait for nothing but a free process."""
        blocked = {*self.left(), *self.failed}
        return [job for job in self._waiting if not (self._needs(job.stages) - set(job.stages)) & blocked]

    def _needs(self, stages: Iterable[str]) -> set[str]:
        return set().union(*(self.graph.needs[stage] for stage in stages))

    def _finish(self, job: Job, *, failures: bool) -> None:
        if job.process.returncode != 0 and job.was_busy:
            job.tries += 1
            job.not_before = time.monotonic() + _BUSY_PAUSE
            self._waiting.insert(0, job)
            return
        failed = job.failed_stage() if job.process.returncode != 0 else None
        whole = job.stages[: job.stages.index(failed)] if failed else job.stages
        self.done.update(whole)
        if whole:
            seconds = time.monotonic() - job.started
            self.say(f"{len(self.done):4} of {len(self.todo)}  {', '.join(whole)}  {seconds:.0f} s")
        if failed and failures:
            self.failed[failed] = job.reason(failed)
            self.say(f"FAILED {failed}: {self.failed[failed]} (all that it said: {job.log})")


def _jobs(stages: list[str]) -> list[list[str]]:
    """Stages by the process that runs them: a run's evaluation follows its training."""
    known, jobs = set(stages), []
    followers = {}
    for stage in stages:
        name, _, key = stage.partition("@")
        if (follower := f"{_FOLLOWERS.get(name)}@{key}") in known:
            followers[stage] = follower
    for stage in stages:
        if stage not in followers.values():
            jobs.append([stage, followers[stage]] if stage in followers else [stage])
    return jobs
