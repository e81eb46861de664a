"""Saliency-scaled activation map distillation, a part of CKDSNN (2026, arXiv:2511.06902): to look where it does."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.distributed.batch_statistics import maximum
from bkdsnn.errors import InputError
from bkdsnn.methods import ce
from bkdsnn.methods._losses import paired_shapes, task_loss

_NEVER_ZERO, _SMALLEST_RANGE = 1e-10, 1e-3  # the official code's


class Settings(ce.Settings):
    """Which maps are compared, how much that counts, and how a map becomes a distribution over its positions.

    normalise batch is the official code's: 0 and 1 are the least and the most of all maps of the batch; sample: of each
    map. map_temperature_squared is the paper's factor of the loss, which its code does not have.
    """

    features: dict[str, str] = Field(min_length=1, max_length=1, description="the student's feature: the teacher's")
    map_weight: float = Field(gt=0.0)
    map_temperature: float = Field(gt=0.0)
    map_temperature_squared: bool
    normalise: Literal["batch", "sample"]


def shares(maps: Tensor, *, temperature: float, normalise: str) -> Tensor:
    """Maps `[B, H, W]`, scaled to 0 .. 1, as distributions over positions `[B, H * W]`."""
    if normalise == "batch":
        low, high = -maximum(-maps), maximum(maps)
    else:
        low, high = (bound(maps, dim=(1, 2), keepdim=True) for bound in (torch.amin, torch.amax))
    scaled = (maps - low) / (high - low + _SMALLEST_RANGE)
    return (scaled.flatten(1) / temperature).softmax(1)


def map_loss(*, student_map: Tensor, teacher_map: Tensor, temperature: float, normalise: str) -> Tensor:
    """KL(teacher, student) of maps `[B, H, W]` as distributions over positions, mean over samples: a scalar."""
    ours, theirs = (
        shares(maps, temperature=temperature, normalise=normalise) + _NEVER_ZERO for maps in (student_map, teacher_map)
    )
    return F.kl_div(ours.log(), theirs, reduction="batchmean")


class Method(nn.Module):
    """The terms `task` and `map`: the student's spikes, summed over time and channels, and the teacher's `cam`."""

    needs_teacher = True

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__()
        self.settings = settings
        self.whole_batch = settings.normalise == "batch"
        ((_, theirs),) = paired_shapes(settings.features, student=student, teacher=teacher)
        if len(theirs) != 3:
            (name,) = settings.features.values()
            raise InputError(f"feature '{name}': the teacher's is a vector, not a map")

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        ((ours, theirs),) = settings.features.items()
        loss = map_loss(
            student_map=student.features[ours].sum((0, 2), dtype=torch.float32),  # [B, H, W]
            teacher_map=teacher.features[theirs].sum((0, 2)),
            temperature=settings.map_temperature,
            normalise=settings.normalise,
        )
        weight = settings.map_weight * (settings.map_temperature**2 if settings.map_temperature_squared else 1.0)
        task = task_loss(logits=student.logits, labels=labels, label_smoothing=settings.label_smoothing)
        return {"task": task, "map": weight * loss}
