"""Any model that `timm.create_model` knows; ViT-Small/16 and ViT-Base/16 teach the Spikingformers."""

import difflib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator
from torch import Tensor

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError
from bkdsnn.layers.pretrained import PretrainedNetwork, PretrainedSettings
from bkdsnn.layers.weights import downloaded
from bkdsnn.params.recipe import spelt

# With these timm itself reads weights, unverified and unpickled; the last two are the data set's.
_NOT_ASKED_FOR = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
_NOT_ASKED_FOR += ("num_classes", "in_chans")


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    if taken := [name for name in _NOT_ASKED_FOR if name in options]:
        raise ValueError(f"not {taken[0]}: weights come from the setting weights, classes and channels from the data")
    return options


class Settings(PretrainedSettings):
    """model: timm's name without the tag, options: what else goes to `timm.create_model`.

    `weights: hub:augreg_in21k_ft_in1k` downloads the weights of that tag.
    """

    model: Annotated[str, spelt("[a-z0-9_]+", "wanted timm's name without the tag, which goes to weights: hub:TAG")]
    options: Annotated[dict[str, Any], AfterValidator(_plain)]


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
        except (TypeError, ValueError, AssertionError, RuntimeError, LookupError) as error:
            raise InputError(f"options: timm cannot make '{settings.model}': {' '.join(str(error).split())}") from error
        classifier = model.pretrained_cfg.get("classifier") or ()
        self.head = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        super().__init__(settings, model, input_shape=input_shape)

    def download(self, tag: str) -> Path:
        import timm
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{self.settings.model}.*")]
        if tag not in tags:
            raise InputError(f"weights: hub:{tag}: timm's '{self.settings.model}' has {', '.join(tags) or 'none'}")
        source = timm.get_pretrained_cfg(f"{self.settings.model}.{tag}")
        if not source.hf_hub_id:
            return downloaded(source.url)
        repository, _, revision = source.hf_hub_id.partition("@")
        where = {"repo_id": repository, "revision": revision or None}
        if source.hf_hub_filename:
            return Path(hf_hub_download(filename=source.hf_hub_filename, **where))
        try:
            return Path(hf_hub_download(filename="model.safetensors", **where))
        except EntryNotFoundError:
            return Path(hf_hub_download(filename="pytorch_model.bin", **where))

    def adapted(self, tag: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """As timm brings its own weights to the options of a model: position embeddings of another size, new names."""
        import timm

        name, overlay = f"{self.settings.model}.{tag}", {"state_dict": state, "custom_load": False}
        options = {"pretrained": True, "in_chans": 3, "pretrained_cfg_overlay": overlay, **self.settings.options}
        return timm.create_model(name, **options).state_dict()
