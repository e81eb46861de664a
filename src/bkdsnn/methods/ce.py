"""Cross-entropy alone: the baseline, and how teachers learn."""

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.params import Closed


class Settings(Closed):
    """How the task is learnt."""

    label_smoothing: float = Field(ge=0.0, lt=1.0)


def task_loss(*, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of the logits' mean over time, `[T, B, K]`, with labels `[B]` or `[B, K]`: a scalar."""
    return F.cross_entropy(logits.mean(0), labels, label_smoothing=label_smoothing)  # [B, K]


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
