"""Any model that `timm.create_model` knows; ViT-Small/16 and ViT-Base/16 teach the Spikingformers."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator
from torch import Tensor

from bkdsnn.contracts import Shape
from bkdsnn.errors import InputError
from bkdsnn.layers.preprocessing import Preprocessing
from bkdsnn.layers.pretrained import PRETRAINED, PretrainedNetwork, PretrainedSettings
from bkdsnn.layers.taps import WHOLE
from bkdsnn.networks._timm_names import arguments_of, file_of
from bkdsnn.params.recipe import spelt

_READS = ("pretrained", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")  # with these timm itself, unverified
_NOT_ASKED_FOR = (*_READS, "pretrained_cfg", "model_name", "num_classes", "in_chans")
_FAILURES = (TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError)
_NAME = r"[a-z0-9_]+(\.[a-z0-9_]+)?|(hf-hub|local-dir):.+"
_WANTED = "wanted timm's ARCHITECTURE or ARCHITECTURE.TAG, hf-hub:USER/NAME or local-dir:FOLDER"


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    if taken := [name for name in _NOT_ASKED_FOR if name in options]:
        raise ValueError(f"not {taken[0]}: weights come from the setting weights, classes and channels from the data")
    return options


class Settings(PretrainedSettings):
    """model: a name as timm's users type it, `ARCHITECTURE`, `ARCHITECTURE.TAG`, `hf-hub:USER/NAME` or
    `local-dir:FOLDER`; options: what else goes to `timm.create_model`.

    The weights of an architecture are `hub:TAG`, those that any other name means `pretrained`.
    """

    model: Annotated[str, spelt(_NAME, _WANTED)]
    options: Annotated[dict[str, Any], AfterValidator(_plain)]


class Network(PretrainedNetwork):
    """Modules to tap: a ViT's `norm` gives its tokens before the head, other models call theirs otherwise; of all
    `forward_features` is what the head sees."""

    default_taps: ClassVar = {"last": WHOLE}

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        import timm

        if settings.options.get("features_only"):
            raise InputError("options.features_only: such a model has no logits; taps name the features")
        self._arguments = {**_arguments(settings), **settings.options}
        own = {"num_classes": classes, "in_chans": input_shape[-3]}
        try:
            model = timm.create_model(**{**self._arguments, **own})
        except _FAILURES as error:
            reason = " ".join(str(error).split())
            raise InputError(f"options: timm cannot make '{settings.model}': {reason}") from error
        classifier = model.pretrained_cfg.get("classifier") or ()
        self.head = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        super().__init__(settings, model, input_shape=input_shape)

    @classmethod
    def preprocessing(cls, settings: Settings) -> Preprocessing | None:
        called = f"{settings.model}.{settings.tag}" if settings.tag and "." not in settings.model else settings.model
        if settings.weights is None or not {".", ":"} & set(called):
            return None  # of a file alone nothing is known
        source = _arguments(settings)["pretrained_cfg"]
        names = {"mean": "mean", "std": "std", "interpolation": "interpolation", "crop": "crop_pct"}
        try:
            return Preprocessing(weights=called, **{ours: source[theirs] for ours, theirs in names.items()})
        except (ValueError, LookupError) as error:
            raise InputError(f"model: '{called}': its config.json says no {', '.join(names.values())}") from error

    def download(self) -> Path:
        return file_of(self._arguments["pretrained_cfg"])

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """As timm brings its own weights to the options of a model: position embeddings of another size, new names."""
        import timm

        channels = (self._arguments["pretrained_cfg"].get("input_size") or (3,))[0]
        source = {"state_dict": state, "custom_load": False, "source": ""}  # "": what is given here, read nothing
        options = {"pretrained": True, "in_chans": channels, "pretrained_cfg_overlay": source}
        return timm.create_model(**{**self._arguments, **options}).state_dict()


def _arguments(settings: Settings) -> dict[str, Any]:
    """What timm takes for the model's name."""
    arguments = arguments_of(settings.model, tag=settings.tag, pretrained=settings.weights == PRETRAINED)
    if taken := [name for name in _READS if name in arguments]:
        raise InputError(f"model: '{settings.model}': its config.json asks for {taken[0]}, which is not for it to say")
    return arguments
