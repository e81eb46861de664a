"""Any model that `timm.create_model` knows; ViT-Small/16 and ViT-Base/16 teach the Spikingformers."""

import difflib
from typing import Any

from pydantic import Field
from torch import Tensor

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError
from bkdsnn.layers.pretrained import PretrainedNetwork, PretrainedSettings


class Settings(PretrainedSettings):
    """model: timm's name without the tag, options: what else goes to `timm.create_model`.

    `weights: hub:augreg_in21k_ft_in1k` downloads the weights of that tag.
    """

    model: str = Field(pattern=r"^[a-z0-9_]+$")
    options: dict[str, Any]


class Network(PretrainedNetwork):
    """Modules to tap: a ViT's `norm` gives its tokens before the head; other models call theirs otherwise."""

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        import timm

        if not timm.is_model(settings.model):
            near = difflib.get_close_matches(settings.model, timm.list_models(), n=5)
            raise InputError(f"timm has no model '{settings.model}'; the nearest are {', '.join(near) or '(none)'}")
        if settings.options.get("features_only"):
            raise InputError("options.features_only: such a model has no logits; taps name the features")
        try:
            model = timm.create_model(settings.model, num_classes=classes, in_chans=input_shape[-3], **settings.options)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise InputError(f"options: timm cannot make '{settings.model}': {' '.join(str(error).split())}") from error
        classifier = model.pretrained_cfg.get("classifier") or ()
        self.head = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        super().__init__(settings, model, input_shape=input_shape)

    def download(self, tag: str) -> dict[str, Tensor]:
        import timm

        name = f"{self.settings.model}.{tag}"
        return timm.create_model(name, pretrained=True, in_chans=3, **self.settings.options).state_dict()
