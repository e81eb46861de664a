"""Several methods as one, of those that are told nothing but batches (no `begin_epoch` and the like)."""

from types import ModuleType
from typing import Any

from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape


class Sum(nn.Module):
    """The terms of several methods under one teacher; what two have in common (the task) counts once."""

    needs_teacher = True

    def __init__(
        self, modules: tuple[ModuleType, ...], settings: Any, *, student: dict[str, Shape], teacher: dict[str, Shape]
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(module.Method(settings, student=student, teacher=teacher) for module in modules)

    def forward(self, *, student: NetOutput, teacher: NetOutput, labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
        terms = {}
        for part in self.parts:
            terms |= part(student=student, teacher=teacher, labels=labels, draws=draws)
        return terms
