"""Knowledge distillation as Hinton, Vinyals and Dean put it (2015, arXiv:1503.02531), on the student's mean logits."""

from torch import Tensor

from bkdsnn.contracts import NetOutput
from bkdsnn.methods import logits_kd
from bkdsnn.methods._losses import soft_loss, task_loss


class Settings(logits_kd.Settings):
    """The weight and temperature of the soft labels."""


class Method(logits_kd.Method):
    """The terms `task` and `logits`: temperature^2 * KL(teacher, student)."""

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        loss = soft_loss(
            student_logits=student.logits.mean(0),  # [B, K]
            teacher_logits=teacher.logits.mean(0),
            temperature=settings.temperature,
        )
        task = task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task, "logits": settings.logits_weight * loss}
