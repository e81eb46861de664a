"""What others call the entries of our networks' state dicts, and weights loaded by their names."""

import re
from collections.abc import Iterable
from operator import eq

import torch
from torch import Tensor, nn

from bkdsnn.errors import InputError
from bkdsnn.layers.weights import checked, unwrapped

OURS = "ours"
# By their name of a module ours, None where they made it and never use it; each * is a number, the same on both sides.
Layout = dict[str, str | None]


def load_by_layout(network: nn.Module, state: dict[str, Tensor], layout: Layout | None, *, source: str) -> None:
    """Loads a state dict whose entries are called as the layout says (None: as ours), all or nothing.

    Axes of length 1 at the end may be more or fewer there (Conv1d for 1 x 1 convolutions, a neuron's w). Raises
    `InputError` with what is missing, unknown, or of another shape, in their names.
    """
    own = network.state_dict()
    names = their_names(own, layout)
    state = known_part(state, names.values(), layout)
    alike = eq if layout is None else _alike
    state = checked(state, {names[name]: tensor for name, tensor in own.items()}, source=source, alike=alike)
    network.load_state_dict({name: state[names[name]].reshape(tensor.shape) for name, tensor in own.items()})


def their_names(own: Iterable[str], layout: Layout | None) -> dict[str, str]:
    """Their name of every entry, by ours; `InputError` for an entry whose module the layout lacks."""
    if layout is None:
        return {name: name for name in own}
    patterns = [(_pattern(ours), theirs) for theirs, ours in layout.items() if ours is not None]
    names = {}
    for name in own:
        module, _, entry = name.rpartition(".")
        found = [(theirs, match.groups()) for pattern, theirs in patterns if (match := pattern.fullmatch(module))]
        if not found:
            raise InputError(f"the layout has no name for '{name}' of this network")
        theirs, numbers = found[0]
        names[name] = f"{theirs.replace('*', '{}').format(*numbers)}.{entry}"
    return names


def known_part(state: dict[str, Tensor], names: Iterable[str], layout: Layout | None) -> dict[str, Tensor]:
    """A state dict without a prefix that all of it has, and without what its makers never used."""
    unused = [_pattern(theirs) for theirs, ours in (layout or {}).items() if ours is None]
    return {
        name: tensor
        for name, tensor in unwrapped(state, names).items()
        if not any(pattern.fullmatch(name.rpartition(".")[0]) for pattern in unused)
    }


def _pattern(modules: str) -> re.Pattern[str]:
    return re.compile(re.escape(modules).replace(r"\*", r"(\d+)"))


def _alike(shape: torch.Size, other: torch.Size) -> bool:
    """Whether two shapes differ by nothing but axes of length 1 at the end."""
    shorter, longer = sorted((shape, other), key=len)
    return longer[: len(shorter)] == shorter and set(longer[len(shorter) :]) <= {1}
