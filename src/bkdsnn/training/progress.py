"""Where a training run stands: what the loop knows beside parameters and optimiser."""

import math
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from bkdsnn.errors import InputError

_LOOK_EVERY = 20  # steps; to look at a loss waits for the accelerator, and a term that is no number does not run away


class NotFinite(InputError):
    """A loss term is no finite number."""


@dataclass
class Progress:
    """`step` steps of `epoch` are done; their loss terms are summed over samples, in the order of `names`."""

    epoch: int = 0
    step: int = 0
    samples: int = 0
    names: list[str] = field(default_factory=list)
    sums: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = -1
    _unseen: list[Tensor] = field(default_factory=list)

    def add(self, terms: dict[str, Tensor], *, samples: int) -> None:
        """Takes a step's scalar terms; raises `NotFinite`, at the latest some steps later."""
        values = torch.stack(list(terms.values())).detach()
        total = values * samples
        self.names = list(terms)
        self.sums = total if self.sums is None else self.sums + total
        self.samples += samples
        self.step += 1
        self._unseen.append(values)
        if len(self._unseen) == _LOOK_EVERY:
            self.check()

    def check(self) -> None:
        """Raises `NotFinite` where a term of any step so far is no finite number."""
        unseen, self._unseen = self._unseen, []
        rows = torch.stack(unseen).tolist() if unseen else []
        for step, row in enumerate(rows, start=self.step - len(rows)):
            for name, value in zip(self.names, row, strict=True):
                if not math.isfinite(value):
                    raise NotFinite(f"epoch {self.epoch}, step {step}: the loss term '{name}' is {value}; lower the lr")

    def means(self) -> dict[str, float]:
        """Each term's mean over the epoch's samples."""
        self.check()
        return {name: total / self.samples for name, total in zip(self.names, self.sums.tolist(), strict=True)}

    def close_epoch(self, record: dict[str, float], *, network: nn.Module) -> None:
        """Keeps the epoch's record, and the network's weights if its validation accuracy is the highest so far."""
        self.history.append(record)
        if self.best_epoch < 0 or record["validation_top1"] > self.history[self.best_epoch]["validation_top1"]:
            self.best_epoch, self.best = self.epoch, weights(network)
        self.epoch += 1
        self.step = self.samples = 0
        self.sums = None

    def tensors(self) -> dict[str, Tensor]:
        """What `of` needs, the tensors."""
        sums = {} if self.sums is None else {"sums": self.sums}
        return {**sums, **{f"best/{name}": tensor for name, tensor in self.best.items()}}

    def facts(self) -> dict[str, Any]:
        """What `of` needs, as JSON."""
        return {name: getattr(self, name) for name in ("epoch", "step", "samples", "names", "history", "best_epoch")}

    @classmethod
    def of(cls, tensors: dict[str, Tensor], facts: dict[str, Any], *, device: torch.device) -> Self:
        """The progress that `tensors` and `facts` were taken of."""
        best = {name.removeprefix("best/"): tensor for name, tensor in tensors.items() if name.startswith("best/")}
        return cls(sums=tensors["sums"].to(device) if "sums" in tensors else None, best=best, **facts)


def weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's parameters and buffers on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
