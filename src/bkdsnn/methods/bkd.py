"""Blurred knowledge distillation (Xu et al. 2024, arXiv:2407.09083): align, blur, restore, compare."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.distributed.batch_statistics import maximum
from bkdsnn.errors import InputError
from bkdsnn.methods import kdsnn
from bkdsnn.methods._losses import align_layer, feature_loss, paired_shapes, task_loss
from bkdsnn.seeding import uniform


class Settings(kdsnn.Settings):
    """What is blurred and how much it counts; several features make it layer-wise, each with layers of its own.

    restore false leaves the restoration block out. blurred teacher is the direction of the official CIFAR10-DVS
    scripts, which pass their arguments in the wrong order: the teacher's map is blurred and restored towards the
    student's.
    """

    features: dict[str, str] = Field(min_length=1, description="the student's feature: the teacher's")
    blur_ratio: float = Field(ge=0.0, lt=1.0)
    rescale_teacher: bool
    restore: bool
    blurred: Literal["student", "teacher"]


def blur_mask(*, draws: Tensor, channels: int, blur_ratio: float) -> Tensor:
    """A 0/1 mask `[B, channels, 1, 1]`: whole channels go with probability `blur_ratio`; no rescaling of the rest."""
    kept = uniform(keys=draws, count=channels) >= blur_ratio
    return kept[:, :, None, None]


def rescaled(*, target: Tensor, aligned: Tensor) -> Tensor:
    """The target with the maximum of `aligned` (official `use_clip`), whose gradient is kept; over the whole batch."""
    return target / maximum(target) * maximum(aligned)


class Method(nn.Module):
    """The terms `task` and `feature`; learns `align` (only where channels differ) and `restore`, for each pair."""

    needs_teacher = True

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.settings = settings
        self.whole_batch = settings.rescale_teacher
        pairs = paired_shapes(settings.features, student=student, teacher=teacher)
        if settings.blurred == "teacher":
            if any(len(shape) != 3 for _, shape in pairs):
                raise InputError("blurred: teacher: its feature is a vector, only a map can be blurred and restored")
            pairs = [pair[::-1] for pair in pairs]
        self.align = nn.ModuleList(align_layer(*pair) for pair in pairs)
        self.restore = nn.ModuleList(_restore(target[0]) if settings.restore else nn.Identity() for _, target in pairs)
        self.channels = [target[0] for _, target in pairs]

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        mask = blur_mask(draws=draws, channels=sum(self.channels), blur_ratio=settings.blur_ratio)
        layers = zip(self.align, self.restore, mask.split(self.channels, dim=1), settings.features.items(), strict=True)
        loss = 0.0
        for align, restore, kept, (ours, theirs) in layers:
            source, target = student.features[ours].mean(0), teacher.features[theirs].mean(0)  # [B, C, H, W]
            if settings.blurred == "teacher":
                source, target = target, source
            aligned = align(source)
            if settings.rescale_teacher:
                target = rescaled(target=target, aligned=aligned)
            loss = loss + feature_loss(prediction=restore(aligned * kept), target=target)
        task = task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task, "feature": settings.feature_weight * loss}


def _restore(channels: int) -> nn.Module:
    """The block that rebuilds the dropped channels, thrown away after training."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
    )
