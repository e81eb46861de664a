"""Cross-entropy alone: the baseline, and how teachers learn."""

from pydantic import Field
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.methods._losses import task_loss
from bkdsnn.params.recipe import Closed


class Settings(Closed):
    """How the task is learnt."""

    label_smoothing: float = Field(ge=0.0, lt=1.0)


class Method(nn.Module):
    """The term `task`; the teacher is not looked at."""

    needs_teacher = False

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.label_smoothing = settings.label_smoothing

    def forward(
        self, *, student: NetOutput, teacher: NetOutput | None, labels: Tensor, draws: Tensor
    ) -> dict[str, Tensor]:
        return {"task": task_loss(logits=student.logits, labels=labels, label_smoothing=self.label_smoothing)}
