"""Logits distillation with weighted soft labels (Zhou et al. 2021, arXiv:2102.00650), as BKDSNN uses it."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.methods import ce
from bkdsnn.methods._losses import task_loss


class Settings(ce.Settings):
    """The weight and temperature of the soft labels."""

    logits_weight: float = Field(gt=0.0)
    temperature: float = Field(gt=0.0)


def weighted_soft_label_loss(
    *, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float, label_smoothing: float
) -> Tensor:
    """temperature^2 * mean over samples of w * CE(teacher's soft labels, student): a scalar.

    Logits `[B, K]`, labels `[B]` or `[B, K]`, smoothed as the task's. The weight w = 1 - exp(-CE(y, student) /
    (CE(y, teacher) + 1e-7)), which has no gradient, is small where the student already knows the sample better than the
    teacher.
    """
    soft_labels = F.softmax(teacher_logits / temperature, dim=1)
    per_sample = F.cross_entropy(student_logits / temperature, soft_labels, reduction="none")  # [B]
    student_task, teacher_task = (
        F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
        for logits in (student_logits.detach(), teacher_logits)
    )
    ratio = (student_task / (teacher_task + 1e-7)).clamp(min=0)  # a rounded CE can be just under 0
    weight = 1 - torch.exp(-ratio)
    return temperature**2 * (weight * per_sample).mean()


class Method(nn.Module):
    """The terms `task` and `logits`."""

    needs_teacher = True

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        task = task_loss(logits=student.logits, labels=labels, label_smoothing=self.settings.label_smoothing)
        loss = weighted_soft_label_loss(
            student_logits=student.logits.mean(0),  # [B, K]
            teacher_logits=teacher.logits.mean(0),
            labels=labels,
            temperature=self.settings.temperature,
            label_smoothing=self.settings.label_smoothing,
        )
        return {"task": task, "logits": self.settings.logits_weight * loss}
