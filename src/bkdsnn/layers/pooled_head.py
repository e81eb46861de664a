"""Whether a model's classifier is linear in the mean of one of its maps: told by what is called between the two."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bkdsnn.errors import InputError
from bkdsnn.layers.taps import WHOLE

_MEANS = ("AdaptiveAvgPool2d", "FastAdaptiveAvgPool")  # torch's, timm's
_DO_NOTHING = ("Identity", "Flatten", "Dropout")  # to a mean, in eval mode


@torch.no_grad()
def classifier_of_mean(
    network: nn.Module, model: nn.Module, *, tap: str, classifier: tuple[str, ...], inputs: Tensor
) -> nn.Linear:
    """The linear layer that sees the mean over space of what `model`'s module `tap` gives, when `network` has inputs.

    Raises `InputError` where it sees something else.
    """
    modules, called, was_training = dict(model.named_modules()), [], network.training
    hooks = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in modules.items()
        if name == tap or not list(module.children())
    ]
    try:
        with _noted(model, tap, called):
            shape = network.eval()(inputs).feature_shapes()["last"]
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    behind = called[len(called) - called[::-1].index(tap) :]
    changes = [name for name in behind if type(modules[name]).__name__ not in _DO_NOTHING]
    if len(shape) == 3 and len(changes) == 2 and type(modules[changes[0]]).__name__ in _MEANS:
        head = modules[changes[1]]
        if isinstance(head, nn.Linear) and changes[1] in classifier:
            return head
    raise InputError(
        "feature 'cam': a class activation map needs a linear classifier of the mean of the map 'last'; "
        f"between '{tap}' (taps.last) and the logits lie {', '.join(behind) or 'no modules'}"
    )


@contextmanager
def _noted(model: nn.Module, tap: str, called: list[str]) -> Iterator[None]:
    """Notes the end of a tap that is no module but a method of the model."""
    if tap != WHOLE:
        yield
        return
    whole = getattr(model, WHOLE)

    def noting(*arguments, **options) -> object:
        output = whole(*arguments, **options)
        called.append(WHOLE)
        return output

    setattr(model, WHOLE, noting)
    try:
        yield
    finally:
        setattr(model, WHOLE, whole)
