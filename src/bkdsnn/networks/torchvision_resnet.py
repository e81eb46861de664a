"""torchvision's ResNet-18, -34 and -50 (He et al. 2016, arXiv:1512.03385): the teachers of the SEW-ResNets."""

from pathlib import Path
from typing import Literal

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError
from bkdsnn.layers.pretrained import PretrainedNetwork, PretrainedSettings
from bkdsnn.layers.weights import downloaded


class Settings(PretrainedSettings):
    """Which of the three; `weights: hub:IMAGENET1K_V1` is torchvision's name for its first set."""

    depth: Literal[18, 34, 50]


class Network(PretrainedNetwork):
    """Modules to tap: `layer1` .. `layer4` are the stages' maps `[B, C, H, W]`."""

    head = ("fc",)

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        from torchvision.models import get_model

        if input_shape[-3] != 3:
            raise InputError(f"torchvision_resnet takes inputs of 3 channels, the data set has {input_shape[-3]}")
        model = get_model(f"resnet{settings.depth}", weights=None, num_classes=classes)
        super().__init__(settings, model, input_shape=input_shape)

    def download(self, tag: str) -> Path:
        from torchvision.models import get_model_weights

        known = get_model_weights(f"resnet{self.settings.depth}").__members__
        if tag not in known:
            raise InputError(f"weights: hub:{tag}: torchvision has {', '.join(known)}")
        return downloaded(known[tag].url)
