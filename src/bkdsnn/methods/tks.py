"""Temporal knowledge sharing (TKS, 2024, arXiv:2304.06540): the steps that are right teach all steps; no teacher."""

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.methods import ce
from bkdsnn.methods._losses import correct_steps, task_loss


class Settings(ce.Settings):
    """The temperature of the shared target, and the share of it in the loss (official alpha) that it grows towards.

    grows: from 0 in the first of n epochs to (n - 1) / n of it in the last; if false (official staticalpha) it is
    1 - alpha throughout.
    """

    sharing_weight: float = Field(ge=0.0, le=1.0)
    temperature: float = Field(gt=0.0)
    grows: bool


def sharing_loss(*, logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """temperature^2 * CE(softened sum of the right steps' logits, each step), mean over steps and samples: a scalar.

    Logits `[T, B, K]`, labels `[B]`. The gradient flows through the target too; where no step is right it is even.
    """
    right = correct_steps(logits=logits, labels=labels)[:, :, None]  # [T, B, 1]
    target = F.softmax((logits * right).sum(0) / temperature, dim=-1)  # [B, K]
    return temperature**2 * -(target * F.log_softmax(logits, dim=-1)).sum(-1).mean()


class Method(nn.Module):
    """The terms `task` and `sharing`, whose weights sum to 1."""

    needs_teacher = False
    whole_labels = True

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.settings = settings
        self.begin_epoch(0, epochs=1)

    def begin_epoch(self, epoch: int, *, epochs: int) -> None:
        """Sets the weights of an epoch (from 0) of so many; later ones keep the last weights."""
        settings = self.settings
        share = settings.sharing_weight
        self.share = share * min(epoch / epochs, 1.0) if settings.grows else 1 - share

    def forward(
        self, *, student: NetOutput, teacher: NetOutput | None, labels: Tensor, draws: Tensor
    ) -> dict[str, Tensor]:
        settings = self.settings
        task = task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        sharing = sharing_loss(logits=student.logits, labels=labels, temperature=settings.temperature)
        return {"task": (1 - self.share) * task, "sharing": self.share * sharing}
