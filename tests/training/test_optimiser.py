"""Learning rates: every epoch of the paper's recipes as the libraries of the official code have it."""

import pytest
import torch

from bkdsnn.params.recipe import Recipe
from bkdsnn.tools.parts import composed
from bkdsnn.training.optimiser import learning_rate

TIMM = [
    ("cifar100", "cifar-spikingformer", 400, 20, 1e-5),
    ("cifar10", "cifar10-teacher", 50, 20, 1e-5),
    ("imagenet", "imagenet-spikingformer", 300, 20, 1e-6),
    ("imagenet", "imagenet-spikingformer-512", 300, 20, 1e-6),
    ("imagenet", "imagenet-spikingformer-768", 300, 20, 1e-6),
    ("cifar10-dvs", "cifar10-dvs-spikingformer", 96, 10, 1e-5),
]
TORCH = [("imagenet", "imagenet-sew-resnet", 320), ("cifar10-dvs", "cifar10-dvs-sew", 64)]


def recipe_of(table: str, name: str) -> Recipe:
    return Recipe(**composed(f"table={table}")["recipes"][name])


def optimiser(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


@pytest.mark.parametrize(("table", "name", "epochs", "warmup", "start"), TIMM)
def test_with_cooldown_it_is_timms(table, name, epochs, warmup, start):
    from timm.scheduler import CosineLRScheduler

    recipe = recipe_of(table, name)
    assert recipe.epochs == epochs + 10
    theirs = CosineLRScheduler(
        optimiser(recipe.optimiser.lr), t_initial=epochs, lr_min=1e-5, warmup_t=warmup, warmup_lr_init=start
    )
    for epoch in range(recipe.epochs):
        (wanted,) = theirs._get_lr(epoch)
        assert learning_rate(epoch=epoch, recipe=recipe) == pytest.approx(wanted, rel=1e-12), epoch
    assert learning_rate(epoch=0, recipe=recipe) == start
    assert learning_rate(epoch=recipe.epochs - 1, recipe=recipe) == 1e-5


@pytest.mark.parametrize(("table", "name", "epochs"), TORCH)
def test_to_zero_it_is_torchs(table, name, epochs):
    recipe = recipe_of(table, name)
    assert recipe.epochs == epochs
    steps = optimiser(recipe.optimiser.lr)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(steps, T_max=epochs)
    for epoch in range(epochs):
        ours = learning_rate(epoch=epoch, recipe=recipe)
        assert ours == pytest.approx(steps.param_groups[0]["lr"], rel=1e-9), epoch
        steps.step()
        theirs.step()


def test_by_hand_the_official_rate_at_epoch_20():
    assert learning_rate(epoch=20, recipe=recipe_of("cifar100", "cifar-spikingformer")) == pytest.approx(4.97e-4, 1e-3)
