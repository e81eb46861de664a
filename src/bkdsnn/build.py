"""Builds what params.yaml describes: networks, and the methods that train them."""

import torch
from torch import Tensor, nn

from bkdsnn import plugins
from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import ArrayData
from bkdsnn.errors import InputError
from bkdsnn.layers.layouts import OURS, Layout, known_part, load_by_layout, their_names
from bkdsnn.layers.weights import read_weights
from bkdsnn.params.read import validated
from bkdsnn.params.schema import MethodPart, Normalise, Student
from bkdsnn.paths import raw_data
from bkdsnn.seeding import derive_seed


def make_network(part: Student, *, data: ArrayData, seed: int) -> nn.Module:
    """A network for a data set with the weights that training starts from, drawn from the seed or made by others."""
    network = built(part, data=data, seed=seed)
    if hasattr(network, "load_initial_weights"):
        network.load_initial_weights()
    if part.weights is not None:
        load_part_weights(network, part)
    return network


def layouts_of(name: str) -> dict[str, Layout | None]:
    """Whose names a network's weights may have: ours (None), and what its file says of others."""
    return {OURS: None, **getattr(plugins.load("network", name), "LAYOUTS", {})}


def load_part_weights(network: nn.Module, part: Student) -> None:
    """Loads the file that a part names; `InputError` where it is not there, is another, or does not fit."""
    layouts = layouts_of(part.network)
    if part.layout not in layouts:
        raise InputError(f"layout: '{part.layout}': the network '{part.network}' has {', '.join(layouts)}")
    state = read_weights(raw_data() / part.weights, expected_sha256=part.weights_sha256)
    try:
        load_by_layout(network, state, layouts[part.layout], source=part.weights)
    except InputError as error:
        own = [name for name, layout in layouts.items() if name != part.layout and _names_fit(state, network, layout)]
        raise InputError(f"{error}{f'; its names are those of layout: {own[0]}' if own else ''}") from error


def _names_fit(state: dict[str, Tensor], network: nn.Module, layout: Layout | None) -> bool:
    try:
        names = set(their_names(network.state_dict(), layout).values())
    except InputError:
        return False
    return known_part(state, names, layout).keys() <= names


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
    shape, classes = data.input_shape, len(data.classes)
    return built_for(part, input_shape=shape, classes=classes, normalise=data.normalise, seed=seed)


def built_for(part: Student, *, input_shape: Shape, classes: int, normalise: Normalise, seed: int) -> nn.Module:
    """A network for samples of a shape, normalised so, with weights that are drawn from the seed."""
    module = plugins.load("network", part.network)
    settings = validated(module.Settings, part.settings, where=f"{part.network}.settings")
    torch.manual_seed(derive_seed("network", seed))
    network = module.Network(settings, input_shape=input_shape, classes=classes)
    return network.normalised_by(normalise) if hasattr(network, "normalised_by") else network
