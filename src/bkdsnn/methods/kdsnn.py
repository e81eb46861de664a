"""KDSNN (Xu et al. 2023, arXiv:2304.05627): the student's feature, aligned, imitates the teacher's.

The loss is that of the official BKDSNN code under this name; KDSNN itself was published without code.
"""

from pydantic import Field
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.methods import ce
from bkdsnn.methods._losses import align_layer, feature_loss, paired_shapes, task_loss


class Settings(ce.Settings):
    """Which feature of the student imitates which of the teacher; `feature_weight` depends on the maps' size."""

    features: dict[str, str] = Field(min_length=1, max_length=1, description="the student's feature: the teacher's")
    feature_weight: float = Field(gt=0.0)


class Method(nn.Module):
    """The terms `task` and `feature`; learns `align`, one layer for each pair of features."""

    needs_teacher = True

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.settings = settings
        pairs = paired_shapes(settings.features, student=student, teacher=teacher)
        self.align = nn.ModuleList(align_layer(*pair) for pair in pairs)

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        loss = sum(
            feature_loss(prediction=align(student.features[ours].mean(0)), target=teacher.features[theirs].mean(0))
            for align, (ours, theirs) in zip(self.align, settings.features.items(), strict=True)
        )
        task = task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task, "feature": settings.feature_weight * loss}
