"""What is kept of a trained network's feature `last` for the figures: maps, Grad-CAM, and how its values spread."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bkdsnn.contracts import Batch

SPREAD_SAMPLES = 256  # the first so many test samples make the distribution of the feature's values
SPREAD_VALUES = 512  # which is kept as so many quantiles


@dataclass(frozen=True)
class FeatureMaps:
    """samples `[N]`: positions in the data set. maps, grad_cam: float32 `[N, H, W]`, N = 0 where `last` is a vector.

    spread: float32 `[SPREAD_VALUES]`, ascending: equally likely values of the feature, averaged over time.
    """

    samples: np.ndarray
    maps: np.ndarray
    grad_cam: np.ndarray
    spread: np.ndarray


def feature_maps(network: nn.Module, batches: Iterable[Batch], *, classes: list[int]) -> FeatureMaps:
    """Maps of the first sample of each of these classes, the spread of the first samples, whatever class they are."""
    network.eval()
    first, shown = [], {}
    for batch in batches:
        first.append(batch.inputs[: SPREAD_SAMPLES - sum(map(len, first))])
        for label, position, one in zip(batch.labels.tolist(), batch.index.tolist(), batch.inputs, strict=True):
            if label in classes:
                shown.setdefault(label, (position, one))
        if len(shown) == len(classes) and sum(map(len, first)) == SPREAD_SAMPLES:
            break
    labels = sorted(shown)
    chosen = torch.stack([shown[label][1] for label in labels])
    maps, grad_cam = _maps(network, chosen, torch.tensor(labels, device=chosen.device))
    return FeatureMaps(
        samples=np.array([shown[label][0] for label in labels]),
        maps=maps,
        grad_cam=grad_cam,
        spread=_spread(network, torch.cat(first)),
    )


def grad_cam(*, feature: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) of maps `[T, B, C, H, W]` and a logit's gradient there, mean over time.

    Each channel counts with the mean of its gradient over space; what speaks against the class is cut off: `[B, H, W]`.
    """
    weights = gradient.mean(dim=(3, 4), keepdim=True)  # [T, B, C, 1, 1]
    return (weights * feature).sum(2).relu().mean(0)


def _maps(network: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    with torch.enable_grad():
        output = network(inputs)
        feature = output.features["last"]
        if feature.dim() == 3:
            return np.zeros((0, 1, 1), np.float32), np.zeros((0, 1, 1), np.float32)
        own = output.logits.mean(0).gather(1, labels[:, None]).sum()
        gradient = _gradient(own, feature)
    cam = grad_cam(feature=feature.detach(), gradient=gradient)
    return feature.detach().mean(dim=(0, 2)).cpu().numpy(), cam.cpu().numpy()


def _gradient(scalar: Tensor, feature: Tensor) -> Tensor:
    """The gradient at a feature, also where the feature is a view of what the network goes on with."""
    (gradient,) = torch.autograd.grad(scalar, feature, allow_unused=True, retain_graph=True)
    if gradient is not None:
        return gradient
    source = feature._base
    (gradient,) = torch.autograd.grad(scalar, source)
    laid_out = torch.empty_strided(source.size(), source.stride(), dtype=gradient.dtype, device=gradient.device)
    return laid_out.copy_(gradient).as_strided(feature.size(), feature.stride(), feature.storage_offset())


@torch.no_grad()
def _spread(network: nn.Module, inputs: Tensor) -> np.ndarray:
    values = network(inputs).features["last"].mean(0).flatten().sort().values
    places = (torch.arange(SPREAD_VALUES, dtype=torch.float64) + 0.5) / SPREAD_VALUES * len(values)
    return values[places.long().to(values.device)].cpu().numpy()
