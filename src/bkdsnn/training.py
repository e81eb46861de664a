"""THE loop: batch, teacher, student, the method's terms, their sum, backward, step.

Teachers, the baseline and every method go through it.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.data.batches import Batches
from bkdsnn.errors import InputError
from bkdsnn.fabric import backward
from bkdsnn.launch import no_bar
from bkdsnn.optimisation import learning_rate, make_optimiser
from bkdsnn.params import Recipe
from bkdsnn.whole_batch import synchronise_batch_norm, total, whole_means

Teacher = Callable[[Batch], NetOutput | None]


class Learner(nn.Module):
    """A student and its method as one module, so that one optimiser, precision and process group serve both."""

    def __init__(self, student: nn.Module, method: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.method = method

    def forward(self, batch: Batch, teacher_output: NetOutput | None) -> dict[str, Tensor]:
        student_output = self.student(batch.inputs)
        return self.method(student=student_output, teacher=teacher_output, labels=batch.labels, draws=batch.draws)


@dataclass(frozen=True)
class Trained:
    """Weights after the last epoch and after the epoch chosen on the validation split, and one record per epoch.

    Without epochs (a network taken as it is) both are the initial weights, and best_epoch is -1.
    """

    last: dict[str, Tensor]
    best: dict[str, Tensor]
    best_epoch: int
    history: list[dict[str, float]]


def train(
    learner: Learner,
    *,
    fabric: Fabric,
    teacher: Teacher,
    batches: Batches,
    recipe: Recipe,
    seed: int,
    on_epoch: Callable[[dict[str, float], float], None],
) -> Trained:
    """Trains for `recipe.epochs`; calls `on_epoch(record, seconds)` after each.

    Raises `InputError` when a loss term is no finite number.
    """
    synchronise_batch_norm(learner, processes=fabric.world_size, device=fabric.device)
    optimiser = make_optimiser(learner, recipe.optimiser)
    module, optimiser = fabric.setup(learner, optimiser)
    history: list[dict[str, float]] = []
    best: dict[str, Tensor] = {}
    best_epoch = -1
    for epoch in tqdm(range(recipe.epochs), desc="epochs", disable=no_bar()):
        start = time.perf_counter()
        lr = learning_rate(epoch=epoch, recipe=recipe)
        for group in optimiser.param_groups:
            group["lr"] = lr
        train_batches = batches.shuffled(epoch=epoch, seed=seed, augmentation=recipe.augmentation)
        terms = _train_epoch(module, optimiser, fabric=fabric, teacher=teacher, batches=train_batches, epoch=epoch)
        accuracy = top1(learner.student, batches.shared("validation"), fabric=fabric)
        record = {"epoch": epoch, "lr": lr, **terms, "validation_top1": accuracy}
        history.append(record)
        if best_epoch < 0 or accuracy > history[best_epoch]["validation_top1"]:
            best_epoch, best = epoch, _weights(learner.student)
        on_epoch(record, time.perf_counter() - start)
    last = _weights(learner.student)
    return Trained(last=last, best=best or last, best_epoch=best_epoch, history=history)


@torch.no_grad()
def top1(network: nn.Module, batches: Iterable[Batch], *, fabric: Fabric) -> float:
    """Top-1 accuracy in percent over all processes' batches; the logits' mean over time decides."""
    network.eval()
    right = samples = 0
    for batch in batches:
        with fabric.autocast():
            logits = network(batch.inputs).logits.mean(0)  # [B, K]
        right += int((logits.argmax(1) == batch.labels).sum())
        samples += len(batch.labels)
    right, samples = total(torch.tensor([right, samples], device=fabric.device)).tolist()
    return 100.0 * right / samples


def _train_epoch(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    fabric: Fabric,
    teacher: Teacher,
    batches: Iterable[Batch],
    epoch: int,
) -> dict[str, float]:
    """One pass; returns each term's mean over the samples, and `loss`, their sum."""
    module.train()
    sums: dict[str, Tensor] = {}
    samples = 0
    for step, batch in enumerate(batches):
        terms = module(batch, teacher(batch))
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        backward(loss, batch=batch, fabric=fabric)
        optimiser.step()
        samples += batch.size
        for name, term in whole_means({**terms, "loss": loss}, batch).items():
            value = term * batch.size
            sums[name] = sums[name] + value if name in sums else value
            if not math.isfinite(value):
                raise InputError(f"epoch {epoch}, step {step}: the loss term '{name}' is {term.item()}; lower the lr")
    return {name: float(term) / samples for name, term in sums.items()}


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
