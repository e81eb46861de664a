"""A recipe's optimiser and its learning rate."""

import math

import torch
from torch import nn

from bkdsnn.params.recipe import Optimiser, Recipe


def make_optimiser(module: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """One optimiser for all of the module's parameters."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.momentum, 0.999), fused=True)


def learning_rate(*, epoch: int, recipe: Recipe) -> float:
    """The learning rate of an epoch, counted from 0; the cosine runs through the warm-up as timm's does."""
    schedule, high = recipe.schedule, recipe.optimiser.lr
    if epoch < schedule.warmup_epochs:
        return schedule.warmup_lr + (high - schedule.warmup_lr) * epoch / schedule.warmup_epochs
    end = recipe.epochs - schedule.cooldown_epochs
    return schedule.min_lr + (high - schedule.min_lr) * (1 + math.cos(math.pi * min(epoch, end) / end)) / 2
