"""Blurred knowledge distillation (Xu et al. 2024, arXiv:2407.09083): align, blur, restore, compare."""

from pydantic import Field
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.errors import InputError
from bkdsnn.methods import ce
from bkdsnn.seeding import uniform


class Settings(ce.Settings):
    """What is blurred and how much it counts; `feature_weight` does not carry over between map sizes."""

    feature: str = Field(min_length=1)
    blur_ratio: float = Field(ge=0.0, lt=1.0)
    feature_weight: float = Field(gt=0.0)
    rescale_teacher: bool


def blur_mask(*, draws: Tensor, channels: int, blur_ratio: float) -> Tensor:
    """A 0/1 mask `[B, channels, 1, 1]`: whole channels go with probability `blur_ratio`; no rescaling of the rest."""
    kept = uniform(keys=draws, count=channels) >= blur_ratio
    return kept[:, :, None, None]


def feature_loss(*, restored: Tensor, teacher_feature: Tensor) -> Tensor:
    """The sum of squared differences of two maps `[B, C, H, W]`, divided by B: a scalar."""
    return (restored - teacher_feature).square().sum() / restored.shape[0]


def rescaled_teacher(*, teacher_feature: Tensor, aligned: Tensor) -> Tensor:
    """The teacher's map with the student's maximum (official `use_clip`); the student's maximum keeps its gradient."""
    return teacher_feature / teacher_feature.max() * aligned.max()


class Method(nn.Module):
    """The terms `task` and `feature`; learns `align` (only where channels differ) and `restore`."""

    needs_teacher = True

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.settings = settings
        for role, shapes in (("student", student), ("teacher", teacher)):
            if settings.feature not in shapes:
                raise InputError(f"feature '{settings.feature}': the {role} has {', '.join(shapes) or 'none'}")
        student_shape, teacher_shape = student[settings.feature], teacher[settings.feature]
        if student_shape[1:] != teacher_shape[1:]:
            raise InputError(
                f"feature '{settings.feature}': student {student_shape}, teacher {teacher_shape} (C, H, W): "
                "H and W must agree"
            )
        channels = teacher_shape[0]
        self.align = nn.Identity() if student_shape[0] == channels else nn.Conv2d(student_shape[0], channels, 1)
        self.restore = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        aligned = self.align(student.features[settings.feature].mean(0))  # [B, C_t, H, W]
        teacher_feature = teacher.features[settings.feature].mean(0)
        if settings.rescale_teacher:
            teacher_feature = rescaled_teacher(teacher_feature=teacher_feature, aligned=aligned)
        mask = blur_mask(draws=draws, channels=aligned.shape[1], blur_ratio=settings.blur_ratio)
        loss = feature_loss(restored=self.restore(aligned * mask), teacher_feature=teacher_feature)
        task = ce.task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task, "feature": settings.feature_weight * loss}
