"""KDSNN (Xu et al. 2023, arXiv:2304.05627): the student's feature, aligned, imitates the teacher's."""

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.errors import InputError
from bkdsnn.methods import ce


class Settings(ce.Settings):
    """Which feature of the student imitates which of the teacher; `feature_weight` depends on the maps' size."""

    features: dict[str, str] = Field(min_length=1, max_length=1, description="the student's feature: the teacher's")
    feature_weight: float = Field(gt=0.0)


def feature_loss(*, prediction: Tensor, target: Tensor) -> Tensor:
    """The sum of squared differences divided by B, a scalar.

    prediction: a map `[B, C, H, W]`; where the target is a vector `[B, C]` its mean over space is compared.
    """
    if target.dim() == 2:
        prediction = prediction.mean(dim=(2, 3))  # [B, C]
    return F.mse_loss(prediction, target, reduction="sum") / len(target)  # in float32, also under autocast


def paired_shapes(
    features: dict[str, str], *, student: dict[str, Shape], teacher: dict[str, Shape]
) -> list[tuple[Shape, Shape]]:
    """The shapes of each pair (student's, teacher's); `InputError` where one is missing or they cannot be compared."""
    pairs = []
    for ours, theirs in features.items():
        for role, name, shapes in (("student", ours, student), ("teacher", theirs, teacher)):
            if name not in shapes:
                raise InputError(f"feature '{name}': the {role} has {', '.join(shapes) or 'none'}")
        pair = student[ours], teacher[theirs]
        if len(pair[0]) != 3:
            raise InputError(f"feature '{ours}': the student's has shape {pair[0]}, wanted a map (C, H, W)")
        if len(pair[1]) == 3 and pair[0][1:] != pair[1][1:]:
            raise InputError(
                f"feature '{ours}': student {pair[0]}, teacher '{theirs}' {pair[1]} (C, H, W): H and W must agree"
            )
        pairs.append(pair)
    return pairs


def align_layer(source: Shape, target: Shape) -> nn.Module:
    """A 1x1 convolution between the channels of two features, only where they differ."""
    return nn.Identity() if source[0] == target[0] else nn.Conv2d(source[0], target[0], 1)


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
        task = ce.task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task, "feature": settings.feature_weight * loss}
