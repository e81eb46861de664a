"""Temporal efficient training (Deng et al. 2022, arXiv:2202.11946): every time step learns the task by itself."""

from pydantic import Field
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.methods import ce
from bkdsnn.methods._losses import step_task_loss


class Settings(ce.Settings):
    """The weight of the pull of all logits towards a constant, which keeps outliers away (official lamb, means)."""

    regulariser_weight: float = Field(ge=0.0, lt=1.0)
    regulariser_target: float


class Method(nn.Module):
    """The terms `task`, the mean over time of each step's cross-entropy, and `regulariser`; no teacher."""

    needs_teacher = False
    task_of_each_step = True

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.settings = settings

    def forward(
        self, *, student: NetOutput, teacher: NetOutput | None, labels: Tensor, draws: Tensor
    ) -> dict[str, Tensor]:
        settings = self.settings
        task = step_task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        pull = (student.logits - settings.regulariser_target).square().mean()
        share = settings.regulariser_weight
        return {"task": (1 - share) * task, "regulariser": share * pull}
