"""Temporal-wise logits distillation (TWSNN, 2025, arXiv:2501.15925): each step has labels, teacher and ensemble."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from bkdsnn.contracts import NetOutput
from bkdsnn.methods import logits_kd
from bkdsnn.methods._losses import correct_steps, soft_loss, step_task_loss


class Settings(logits_kd.Settings):
    """The weights of the teacher and of the student's own ensemble, and which of its steps make that.

    ensemble correct is the official code's: the mean over the steps that are right, and of none an even distribution;
    all is the paper's: the mean over all steps.
    """

    self_weight: float = Field(ge=0.0)
    ensemble: Literal["correct", "all"]


def ensemble_logits(*, logits: Tensor, labels: Tensor, ensemble: str) -> Tensor:
    """The mean over time of the logits `[T, B, K]`, of all steps or of those that are right (0 where none is)."""
    if ensemble == "all":
        return logits.detach().mean(0)
    right = correct_steps(logits=logits, labels=labels)[:, :, None]  # [T, B, 1]
    return (logits.detach() * right).sum(0) / right.sum(0).clamp(min=1)


class Method(logits_kd.Method):
    """The terms `task` (of each step), `logits` (its pull to the teacher) and `self` (to the ensemble)."""

    task_of_each_step = True
    whole_labels = True

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings, logits = self.settings, student.logits  # [T, B, K]
        targets = {
            "logits": (settings.logits_weight, teacher.logits.mean(0)),
            "self": (settings.self_weight, ensemble_logits(logits=logits, labels=labels, ensemble=settings.ensemble)),
        }
        task = step_task_loss(logits=logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task} | {
            name: weight * soft_loss(student_logits=logits, teacher_logits=target, temperature=settings.temperature)
            for name, (weight, target) in targets.items()
        }
