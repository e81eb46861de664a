"""A teacher's class activation map (Zhou et al. 2016, arXiv:1512.04150): where it sees the class that it predicts."""

import torch
from torch import nn

from bkdsnn.contracts import NetOutput
from bkdsnn.errors import InputError

CAM = "cam"


def classifier_behind(network: nn.Module, *, features: list[str]) -> nn.Linear | None:
    """What the map is made with, where it is asked for; `InputError` where logits are not linear in a map's mean."""
    if CAM not in features:
        return None
    if not hasattr(network, "classifier_of_mean"):
        raise InputError(
            f"feature '{CAM}': a class activation map is had of a network whose classifier sees the mean of its last "
            f"map, and {type(network).__module__.rpartition('.')[2]} does not say that it is one"
        )
    return network.classifier_of_mean()


@torch.no_grad()
def with_activation_map(output: NetOutput, *, classifier: nn.Linear | None) -> NetOutput:
    """The output with one more feature, `cam` `[T, B, 1, H, W]`: the predicted class's share of `last`, if positive."""
    if classifier is None:
        return output
    weight = classifier.weight[output.logits.mean(0).argmax(1)]  # [B, C]
    activation = torch.einsum("bc,tbchw->tbhw", weight, output.features["last"]).relu()
    return output._replace(features={**output.features, CAM: activation.unsqueeze(2)})
