"""Noise-smoothed logits distillation, a part of CKDSNN (2026, arXiv:2511.06902)."""

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput
from bkdsnn.methods import logits_kd
from bkdsnn.methods._losses import task_loss
from bkdsnn.seeding import keys_for, normal


class Settings(logits_kd.Settings):
    """noise: the share of the noise's distribution in the student's (official 1 - w)."""

    noise: float = Field(ge=0.0, lt=1.0)


def noisy_loss(
    *, student_logits: Tensor, teacher_logits: Tensor, normal_draws: Tensor, temperature: float, noise: float
) -> Tensor:
    """temperature^2 * KL(teacher, student mixed with noise), mean over samples: a scalar. All `[B, K]`.

    The noise's logits are each sample's mean plus its variance times a normal draw, as in the official code (the paper
    says deviation); the gradient flows through both.
    """
    mean, variance = student_logits.mean(1, keepdim=True), student_logits.var(1, keepdim=True)
    own, drawn = (F.softmax(logits / temperature, dim=1) for logits in (student_logits, mean + normal_draws * variance))
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    mixed = (1 - noise) * own + noise * drawn
    return temperature**2 * F.kl_div(mixed.log(), teacher, reduction="batchmean", log_target=True)


class Method(logits_kd.Method):
    """The terms `task` and `logits`."""

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings, logits = self.settings, student.logits.mean(0)  # [B, K]
        loss = noisy_loss(
            student_logits=logits,
            teacher_logits=teacher.logits.mean(0),
            normal_draws=normal(keys=keys_for("nld", keys=draws), count=logits.shape[1]),
            temperature=settings.temperature,
            noise=settings.noise,
        )
        task = task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task, "logits": settings.logits_weight * loss}
