"""Damages input of every kind and reads it: `python -m bkdsnn.tools.fuzz SEED MINUTES COUNT ONLY` (`make fuzz`)."""

import itertools
import random
import time
from collections import Counter
from pathlib import Path

from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.tools.fuzz.target import READ, REFUSED, Target
from bkdsnn.tools.fuzz.worker import Worker

KEPT = Path(".fuzz")
_MINUTES = 4.0
_BLOCK = 50  # cases of a target before the next one has its turn


class Tally:
    """What became of a target's cases; the first of every kind of fault is told, and its file kept."""

    def __init__(self, target: Target, *, seed: str) -> None:
        self.target, self.seed = target, seed
        self.verdicts: Counter = Counter()
        self.faults: Counter = Counter()
        self.longest = 0.0

    def run(self, worker: Worker, case: int) -> None:
        """One case more."""
        outcome = worker.run(self.target, case)
        self.longest = max(self.longest, worker.seconds)
        self.verdicts[outcome.verdict if not outcome.found else "fault"] += 1
        if not outcome.found:
            return
        kind = outcome.verdict.partition(": ")[0]
        self.faults[kind] += 1
        if self.faults[kind] == 1:
            kept = KEPT / f"{self.target.name.replace(' ', '-')}-{self.seed}-{case}-{Path(outcome.changed).name}"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(worker.changed(self.target, outcome))
            print(f"{self.target.name}: seed {self.seed}, case {case}: {outcome.verdict}; kept as {kept}", flush=True)

    def line(self) -> str:
        """Its row of the summary."""
        counts = (sum(self.verdicts.values()), *(self.verdicts[name] for name in (READ, REFUSED, "fault")))
        return f"{self.target.name:18}" + "".join(f"{count:9,}" for count in counts) + f"{self.longest:9.1f}"


def fuzz(seed: str, minutes: str, count: str, only: str) -> None:
    """Damages files as the seed says (empty: any), for some minutes or `count` cases of every kind (of `only` one)."""
    seed = seed or str(random.randrange(10**6))
    limit = _number(minutes, "MINUTES") * 60 if minutes or not count else float("inf")
    cases = int(_number(count, "COUNT")) if count else None
    tallies = [Tally(target, seed=seed) for target in _targets(only)]
    print(f"seed {seed}: {', '.join(tally.target.name for tally in tallies)}", flush=True)
    start = time.monotonic()
    with Worker(seed=seed) as worker:
        for first in itertools.count(step=_BLOCK) if cases is None else range(0, cases, _BLOCK):
            for tally, case in itertools.product(tallies, range(first, min(first + _BLOCK, cases or first + _BLOCK))):
                if time.monotonic() < start + limit:
                    tally.run(worker, case)
            if time.monotonic() > start + limit:
                break
    _summary(tallies, seconds=time.monotonic() - start)


def _targets(only: str) -> list[Target]:
    from bkdsnn.tools.fuzz import folders, published, recordings  # late: they import torch

    targets = [*recordings.TARGETS, *published.TARGETS, *folders.TARGETS]
    chosen = [target for target in targets if only in ("", target.name)]
    if not chosen:
        raise InputError(f"ONLY={only}: there are {', '.join(target.name for target in targets)}")
    return chosen


def _number(text: str, name: str) -> float:
    if not text:
        return _MINUTES
    if not text.replace(".", "", 1).isdecimal() or not float(text) > 0:
        raise InputError(f"{name}={text}: a number above 0")
    return float(text)


def _summary(tallies: list[Tally], *, seconds: float) -> None:
    print(f"\n{'':18}{'cases':>9}{'read':>9}{'refused':>9}{'faults':>9}{'s, max':>9}")
    for tally in tallies:
        print(tally.line())
    total = sum(sum(tally.verdicts.values()) for tally in tallies)
    faults = sum(len(tally.faults) for tally in tallies)
    print(f"{total:,} cases in {seconds:.0f} s")
    if faults:
        raise InputError(f"faults of {faults} kind{'s' * (faults > 1)}; one input of each is in {KEPT}/")


if __name__ == "__main__":
    run_stage(fuzz)
