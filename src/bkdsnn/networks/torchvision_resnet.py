"""torchvision's ResNet-18, -34 and -50 (He et al. 2016, arXiv:1512.03385): the teachers of the SEW-ResNets."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError
from bkdsnn.layers.preprocessing import Preprocessing
from bkdsnn.layers.pretrained import HUB, PretrainedNetwork, PretrainedSettings
from bkdsnn.layers.weights import downloaded

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum


class Settings(PretrainedSettings):
    """Which of the three; `weights: hub:IMAGENET1K_V1` is torchvision's name for its first set."""

    depth: Literal[18, 34, 50]


class Network(PretrainedNetwork):
    """Modules to tap: `layer1` .. `layer4` are the stages' maps `[B, C, H, W]`."""

    head = ("fc",)
    default_taps: ClassVar = {"last": "layer4"}

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        from torchvision.models import get_model

        if input_shape[-3] != 3:
            raise InputError(f"torchvision_resnet takes inputs of 3 channels, the data set has {input_shape[-3]}")
        _published(settings)
        model = get_model(f"resnet{settings.depth}", weights=None, num_classes=classes)
        super().__init__(settings, model, input_shape=input_shape)

    @classmethod
    def preprocessing(cls, settings: Settings) -> Preprocessing | None:
        if (published := _published(settings)) is None:
            return None
        made = published.transforms()
        return Preprocessing(
            weights=str(published),
            mean=tuple(made.mean),
            std=tuple(made.std),
            interpolation=made.interpolation.value,
            crop=made.crop_size[0] / made.resize_size[0],
        )

    def download(self) -> Path:
        return downloaded(_published(self.settings).url)


def _published(settings: Settings) -> "WeightsEnum | None":
    """Torchvision's weights of the tag that is named; None where a file is, or nothing."""
    from torchvision.models import get_model_weights

    if not settings.is_published:
        return None
    known = get_model_weights(f"resnet{settings.depth}").__members__
    if settings.tag not in known:
        raise InputError(f"weights: {settings.weights}: torchvision has {', '.join(HUB + name for name in known)}")
    return known[settings.tag]
