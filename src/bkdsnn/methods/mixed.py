"""Cross-entropy, blurred knowledge distillation and logits distillation together: the paper's best."""

from bkdsnn.contracts import Shape
from bkdsnn.methods import bkd, logits_kd
from bkdsnn.methods._sum import Sum


class Settings(bkd.Settings, logits_kd.Settings):
    """The settings of both."""


class Method(Sum):
    """The terms `task`, `feature` and `logits`."""

    def __init__(self, settings: Settings, *, student: dict[str, Shape], teacher: dict[str, Shape]) -> None:
        super().__init__((bkd, logits_kd), settings, student=student, teacher=teacher)
