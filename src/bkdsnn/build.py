"""Builds what params.yaml describes: networks, and the methods that train them."""

import torch
from torch import nn

from bkdsnn import plugins
from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import ArrayData
from bkdsnn.params.read import validated
from bkdsnn.params.schema import MethodPart, Student
from bkdsnn.seeding import derive_seed


def make_network(part: Student, *, data: ArrayData, seed: int) -> nn.Module:
    """A network for a data set with the weights that training starts from, drawn from the seed or made by others."""
    network = built(part, data=data, seed=seed)
    if hasattr(network, "load_initial_weights"):
        network.load_initial_weights()
    return network


def make_method(
    part: MethodPart,
    settings: dict,
    *,
    student: dict[str, Shape],
    teacher: dict[str, Shape],
    samples: int,
    classes: int,
    seed: int,
) -> nn.Module:
    """A method for a student and its teacher, whose feature shapes `(C, H, W)` or `(C,)` are given by name.

    samples: of the whole data set, classes: both for a method that has `begin_training`.
    """
    module = plugins.load("method", part.method)
    torch.manual_seed(derive_seed("method", seed))
    parsed = validated(module.Settings, settings, where=f"{part.method}.settings")
    method = module.Method(parsed, student=student, teacher=teacher)
    if hasattr(method, "begin_training"):
        method.begin_training(samples=samples, classes=classes)
    return method


@torch.no_grad()
def feature_shapes(network: nn.Module, *, input_shape: Shape) -> dict[str, Shape]:
    """The shapes of a network's features by name, found with one input of zeros."""
    device = next(network.parameters()).device
    was_training = network.training
    output = network.eval()(torch.zeros(1, *input_shape, device=device))
    network.train(was_training)
    return output.feature_shapes()


def built(part: Student, *, data: ArrayData, seed: int) -> nn.Module:
    """A network for a data set with weights that are drawn from the seed."""
    return built_for(part, input_shape=data.input_shape, classes=len(data.classes), seed=seed)


def built_for(part: Student, *, input_shape: Shape, classes: int, seed: int) -> nn.Module:
    """A network for samples of a shape with weights that are drawn from the seed."""
    module = plugins.load("network", part.network)
    settings = validated(module.Settings, part.settings, where=f"{part.network}.settings")
    torch.manual_seed(derive_seed("network", seed))
    return module.Network(settings, input_shape=input_shape, classes=classes)
