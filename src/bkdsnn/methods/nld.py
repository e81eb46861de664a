"""Noise-smoothed logits distillation, a part of CKDSNN (2026, arXiv:2511.06902)."""

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput
from bkdsnn.methods import logits_kd
from bkdsnn.methods._losses import task_loss
from bkdsnn.seeding import keys_for, normal


class Settings(logits_kd.Settings):
    """noise: the share of the noise in what the student says (official 1 - w).

    The official code scales the noise by each sample's variance and mixes probabilities; the paper says deviation, and
    adds the noise to the logits.
    """

    noise: float = Field(ge=0.0, lt=1.0)
    noise_scale: Literal["variance", "deviation"]
    noise_joins: Literal["probabilities", "logits"]


def noisy_probabilities(logits: Tensor, *, normal_draws: Tensor, settings: Settings) -> Tensor:
    """What the student says, softened and mixed with noise; all `[B, K]`.

    The noise's logits are each sample's mean plus its variance (or deviation) times a normal draw; the gradient flows
    through both.
    """
    mean, scale = logits.mean(1, keepdim=True), logits.var(1, keepdim=True)
    if settings.noise_scale == "deviation":
        scale = scale.sqrt()
    noise = mean + normal_draws * scale
    if settings.noise_joins == "logits":
        return F.softmax((logits + settings.noise * noise) / settings.temperature, dim=1)
    own, drawn = (F.softmax(part / settings.temperature, dim=1) for part in (logits, noise))
    return (1 - settings.noise) * own + settings.noise * drawn


def noisy_loss(*, student_logits: Tensor, teacher_logits: Tensor, normal_draws: Tensor, settings: Settings) -> Tensor:
    """temperature^2 * KL(teacher, student mixed with noise), mean over samples: a scalar. All `[B, K]`."""
    mixed = noisy_probabilities(student_logits, normal_draws=normal_draws, settings=settings)
    teacher = F.log_softmax(teacher_logits / settings.temperature, dim=1)
    return settings.temperature**2 * F.kl_div(mixed.log(), teacher, reduction="batchmean", log_target=True)


class Method(logits_kd.Method):
    """The terms `task` and `logits`."""

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings, logits = self.settings, student.logits.mean(0)  # [B, K]
        loss = noisy_loss(
            student_logits=logits,
            teacher_logits=teacher.logits.mean(0),
            normal_draws=normal(keys=keys_for("nld", keys=draws), count=logits.shape[1]),
            settings=settings,
        )
        task = task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task, "logits": settings.logits_weight * loss}
