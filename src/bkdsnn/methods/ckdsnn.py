"""CKDSNN (2026, arXiv:2511.06902): cross-entropy, activation map and noise-smoothed logits distillation together."""

from bkdsnn.contracts import Shape
from bkdsnn.methods import nld, samd
from bkdsnn.methods._sum import Sum


class Settings(nld.Settings, samd.Settings):
    """The settings of both."""


class Method(Sum):
    """The terms `task`, `logits` and `map`."""

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__((nld, samd), settings, student=student, teacher=teacher)
