"""What the images were like that a network's weights were made with, and how a data set's inputs become such."""

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from bkdsnn.errors import InputError
from bkdsnn.params.recipe import Closed
from bkdsnn.params.schema import Normalise

_PIXEL = 255  # mean and std are of pixels from 0 to 1


class Preprocessing(Closed):
    """Pixels from 0 to 1 became `(pixel - mean) / std`, per channel, of images that were resized and cropped.

    weights: what they are called. interpolation: of the resizing. crop: the central square's side, as a share of the
    resized image's shorter side.
    """

    weights: str
    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[PositiveFloat, ...] = Field(min_length=1)
    interpolation: str
    crop: PositiveFloat


def rescaling(own: Preprocessing, data: Normalise) -> tuple[Tensor, Tensor]:
    """What a data set's normalised inputs are multiplied by, and what is then added, each `[C, 1, 1]`, for the weights'
    own normalisation; `InputError` for other numbers of channels."""
    if {len(own.mean), len(own.std)} != {len(data.mean)}:
        raise InputError(
            f"normalise: own: {own.weights} has {len(own.mean)} means and {len(own.std)} stds, the data set "
            f"{len(data.mean)} channels"
        )
    channels = list(zip(data.mean, data.std, own.mean, own.std, strict=True))
    factor = [std * (data.scale / _PIXEL) / own_std for _, std, _, own_std in channels]
    summand = [(mean * (data.scale / _PIXEL) - own_mean) / own_std for mean, _, own_mean, own_std in channels]
    return torch.tensor(factor).view(-1, 1, 1), torch.tensor(summand).view(-1, 1, 1)
