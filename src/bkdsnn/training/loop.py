"""THE loop: batch, teacher, student, the method's terms, their sum, backward, step.

Teachers, the baseline and every method go through it.
"""

import time
from collections.abc import Callable, Iterable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.data.batches import Batches
from bkdsnn.data.parts import in_parts
from bkdsnn.distributed.batch_statistics import synchronise_batch_norm, total, whole_means
from bkdsnn.distributed.fabric import backward
from bkdsnn.distributed.launcher import no_bar
from bkdsnn.params.recipe import Recipe
from bkdsnn.tracking.step_timer import Meter
from bkdsnn.trained import Trained
from bkdsnn.training.checkpoint.checkpointer import AnyKeeper, NoKeeper
from bkdsnn.training.optimiser import learning_rate, make_optimiser
from bkdsnn.training.progress import weights

Teacher = Callable[[Batch], NetOutput | None]


class Learner(nn.Module):
    """A student and its method as one module, so that one optimiser, precision and process group serve both."""

    def __init__(self, student: nn.Module, method: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.method = method

    def forward(self, batch: Batch, teacher_output: NetOutput | None) -> dict[str, Tensor]:
        student_output = self.student(batch.inputs)
        if hasattr(self.method, "begin_step"):  # a method that remembers something of each sample
            self.method.begin_step(index=batch.index.to(batch.inputs.device))
        return self.method(student=student_output, teacher=teacher_output, labels=batch.labels, draws=batch.draws)


def train(
    learner: Learner,
    *,
    fabric: Fabric,
    teacher: Teacher,
    batches: Batches,
    recipe: Recipe,
    seed: int,
    on_epoch: Callable[[dict[str, float], dict[str, float]], None],
    keeper: AnyKeeper = NoKeeper(),  # noqa: B008 (holds nothing)
) -> Trained:
    """Trains for `recipe.epochs`, from where the keeper says; calls `on_epoch(record, measured)` after each.

    Raises `NotFinite` when a loss term is no finite number.
    """
    synchronise_batch_norm(learner, processes=fabric.world_size, device=fabric.device)
    optimiser = make_optimiser(learner, recipe.optimiser)
    module, stepper = fabric.setup(learner, optimiser)
    progress = keeper.start(learner, optimiser)
    meter = Meter(fabric)
    epochs = range(progress.epoch, recipe.epochs)
    for epoch in tqdm(epochs, desc="epochs", initial=progress.epoch, total=recipe.epochs, disable=no_bar()):
        start = time.perf_counter()
        lr = learning_rate(epoch=epoch, recipe=recipe)
        if hasattr(learner.method, "begin_epoch"):  # a method whose weights depend on how far the training is
            learner.method.begin_epoch(epoch, epochs=recipe.epochs - recipe.schedule.cooldown_epochs)
        for group in optimiser.param_groups:
            group["lr"] = lr
        rest = batches.shuffled(epoch=epoch, seed=seed, augmentation=recipe.augmentation, start=progress.step)
        watched = keeper.watch(meter.batches(rest))
        module.train()
        for batch in watched:
            means = _step(module, stepper, batch, fabric=fabric, teacher=teacher, part=batches.part, meter=meter)
            progress.add(means, samples=batch.size)
        accuracy = top1(learner.student, keeper.watch(batches.of_process("validation"), alone=True), fabric=fabric)
        record = {"epoch": epoch, "lr": lr, **progress.means(), "validation_top1": accuracy}
        progress.close_epoch(record, network=learner.student)
        on_epoch(record, {"epoch_seconds": time.perf_counter() - start, **meter.report()})
        keeper.epoch_done()
    last = weights(learner.student)
    return Trained(last=last, best=progress.best or last, best_epoch=progress.best_epoch, history=progress.history)


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


def _step(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    *,
    fabric: Fabric,
    teacher: Teacher,
    part: int,
    meter: Meter,
) -> dict[str, Tensor]:
    """One step on a batch, in parts of so many samples; the means of its terms and of `loss`, their sum."""
    parts = in_parts(batch, teacher(batch), part=part)
    meter.lap("teacher")
    optimiser.zero_grad()
    means: dict[str, Tensor] = {}
    for number, (piece, taught) in enumerate(parts, start=1):
        with fabric.no_backward_sync(module, enabled=number < len(parts)):
            terms = module(piece, taught)
            meter.lap("student")
            loss = torch.stack(list(terms.values())).sum()
            backward(loss, batch=piece, fabric=fabric)
            meter.lap("backward")
        found = whole_means({**terms, "loss": loss}, piece)
        means = {name: means[name] + value for name, value in found.items()} if means else found
    optimiser.step()
    meter.lap("backward")
    return means
