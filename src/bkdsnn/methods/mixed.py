"""Cross-entropy, blurred knowledge distillation and logits distillation together: the paper's best."""

from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.methods import bkd, logits_kd


class Settings(bkd.Settings, logits_kd.Settings):
    """The settings of both."""


class Method(nn.Module):
    """The terms `task`, `feature` and `logits`."""

    needs_teacher = True

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(part.Method(settings, student=student, teacher=teacher) for part in (bkd, logits_kd))

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        terms = {}
        for part in self.parts:
            terms |= part(student=student, teacher=teacher, labels=labels, draws=draws)  # the same task twice: one key
        return terms
