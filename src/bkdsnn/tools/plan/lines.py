"""The lines of a plan: what was measured, carried over to the true batch and all epochs, and printed."""

from dataclasses import dataclass

import torch

from bkdsnn.data.files import Expected
from bkdsnn.data.views import view_count
from bkdsnn.params.schema import Params
from bkdsnn.tools.plan.job import Job, Measured, on_the_line

HEAD = f"  {'rows':38} {'runs':>4} {'epochs':>6} {'batch':>5} {'GiB':>6} {'s/step':>7} {'teacher':>7} "
HEAD += f"{'GFLOP':>6} {'hours here':>10} {'GPU hours':>9}"


@dataclass
class Line:
    """Rows (or teachers) that cost the same: what they train, how many samples an epoch has, the seeds of each."""

    job: Job
    samples: int
    seeds: int
    rows: list[str]
    measured: Measured | None = None

    @property
    def title(self) -> str:
        return f"{self.rows[0]} +{len(self.rows) - 1}" if len(self.rows) > 1 else self.rows[0]

    @property
    def live(self) -> bool:
        """Whether the teacher runs in every step."""
        return self.job.teacher is not None and not self.job.recipe.cache.enabled

    def step_seconds(self) -> tuple[float, float]:
        """Seconds of a step, or of a part of it, at its true size: student and method, and a live teacher."""
        batch, found = self.job.part, self.measured
        teacher = on_the_line(found.teacher_seconds, batch=batch) if self.live else 0.0
        return on_the_line(found.step_seconds, batch=batch), teacher

    def hours(self) -> float:
        """Hours of all runs on this machine, training steps alone."""
        steps = self._samples() / self.job.part
        return steps * sum(self.step_seconds()) / 3600

    def flop(self) -> float:
        """Operations of all runs."""
        return self._samples() * self.flop_of_sample()

    def flop_of_sample(self) -> float:
        """Operations of one sample, with those of a live teacher."""
        return self.measured.step_flop + (self.measured.teacher_flop if self.live else 0.0)

    def _samples(self) -> int:
        return len(self.rows) * self.seeds * self.job.recipe.epochs * self.samples


def print_students(lines: list[Line], params: Params, *, flops: float) -> tuple[float, float]:
    """Prints the students' lines below each network's parameters; gives their hours here and on the GPU."""
    total, shown = (0.0, 0.0), None
    for line in lines:
        row = params.rows[line.rows[0]]
        if row.student != shown:
            shown = row.student
            same = [other.published for other in params.rows.values() if other.student == shown and other.published]
            printed = next((f"{entry.parameters_m} M" for entry in same if entry.parameters_m), "not found")
            ours = f"{line.measured.parameters:,}" if line.measured else "?"
            print(f"{shown}: {ours} parameters, published: {printed}")
        total = add(total, print_line(line, flops=flops))
    return total


def print_line(line: Line, *, flops: float) -> tuple[float, float]:
    """Prints a line of a table; gives its hours here and on the GPU."""
    recipe, found = line.job.recipe, line.measured
    head = f"  {line.title:38} {len(line.rows) * line.seeds:4} {recipe.epochs:6} {line.job.part:5}"
    if found is None:
        print(f"{head}  not measured: the system killed it, for want of memory as a rule")
        return 0.0, 0.0
    seconds, teacher = line.step_seconds()
    memory = on_the_line(found.memory, batch=line.job.part)
    hours, gpu = line.hours(), line.flop() / flops / 3600
    live = f"{teacher:7.2f}" if teacher else f"{'cached' if line.job.teacher else '-':>7}"
    counted = f"{found.step_flop / 1e9:6.1f} {in_hours(hours):>10} {in_hours(gpu):>9}"
    print(f"{head} {memory:6.1f} {seconds:7.2f} {live} {counted}")
    return hours, gpu


def print_caches(
    params: Params, shapes: dict[str, Expected], lines: list[Line], *, flops: float
) -> list[tuple[float, float]]:
    """Prints every (teacher, recipe) pair's cache; gives the hours of those that are written."""
    costs = []
    pairs = {(row.teacher, row.recipe): line for line in lines for row in map(params.rows.get, line.rows)}
    print("Caches of teacher outputs")
    for (teacher, name), line in pairs.items():
        if teacher is None or line.measured is None:
            continue
        recipe, found = params.recipes[name], line.measured
        views = view_count(recipe.augmentation)
        samples = views * shapes[params.teachers[teacher].dataset].train
        gib = samples * found.outputs * getattr(torch, recipe.cache.dtype).itemsize / 2**30
        what = f"{views} views x {found.outputs:,} numbers, {recipe.cache.dtype}: {gib:,.1f} GiB"
        if not recipe.cache.enabled:
            print(f"  {teacher}-{name}: off, the teacher runs live (would be {what})")
            continue
        hours = samples * on_the_line(found.teacher_seconds, batch=line.job.part) / line.job.part / 3600
        costs.append((hours, samples * found.teacher_flop / flops / 3600))
        print(f"  {teacher}-{name}: {what}; {in_hours(hours)} hours here, {in_hours(costs[-1][1])} GPU hours")
    return costs


def in_hours(hours: float) -> str:
    """Hours as they are printed."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}" if hours >= 0.01 else "<0.01"


def add(*costs: tuple[float, float]) -> tuple[float, float]:
    """The sum of (hours here, hours on the GPU)."""
    return sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)
