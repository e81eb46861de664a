"""One kind of run to be measured, and what was measured of its step."""

from dataclasses import dataclass

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.params.recipe import Recipe
from bkdsnn.params.schema import MethodPart, Student, Teacher


@dataclass(frozen=True)
class Job:
    """What one kind of run trains; input_shape and teacher_shape are those of the student's and the teacher's samples.

    settings: the method's, as the run has them.
    """

    student: Student
    method: MethodPart
    settings: dict
    teacher: Teacher | None
    recipe: Recipe
    input_shape: Shape
    teacher_shape: Shape
    classes: int

    @property
    def part(self) -> int:
        """The samples that go through the student at once."""
        return self.recipe.batch_size // self.recipe.accumulate


@dataclass(frozen=True)
class Measured:
    """parameters: the student's. Seconds and memory (GiB) by batch; operations (FLOP) and numbers of one sample.

    outputs: how many numbers the teacher puts out for a sample. spread: the slowest repetition of a batch over the
    fastest, which a machine without other work keeps near 1.
    """

    parameters: int
    step_seconds: dict[int, float]
    teacher_seconds: dict[int, float]
    memory: dict[int, float]
    step_flop: float
    teacher_flop: float
    outputs: int
    spread: float


@dataclass(frozen=True)
class Taught:
    """A teacher's outputs and seconds by batch, and its operations (FLOP) for one sample."""

    outputs: dict[int, NetOutput | None]
    seconds: dict[int, float]
    flop: float


def on_the_line(values: dict[int, float], *, batch: int) -> float:
    """What a batch costs by the line through two measured ones; where noise makes it fall, the larger of the two."""
    (small, low), (large, high) = sorted(values.items())
    return max(low, high) + max(high - low, 0.0) * (batch - large) / (large - small)
