"""A network of another library as one of ours: inputs resized, features tapped by module name, weights loaded."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.errors import InputError
from bkdsnn.layers import pooled_head
from bkdsnn.layers.weights import check_name, load_weights, read_weights
from bkdsnn.params.recipe import Closed, Key, spelt
from bkdsnn.paths import raw_data

HUB = "hub:"


def _has_last(taps: dict[str, str]) -> dict[str, str]:
    if "last" not in taps or {"index", "logits"} & set(taps):
        raise ValueError("one feature is called last, none index or logits")
    return taps


class PretrainedSettings(Closed):
    """taps: features by name, each the output of a module as the library calls it; `last` is one of them.

    tokens: what is taken of a transformer's tokens `[B, N, C]`: the class token or the mean of the others.
    input_size: height and width that inputs are resized to (null: they stay as they are).
    weights: null starts at random; `hub:TAG` downloads what the library calls so; anything else is a file below
    `BKDSNN_DATA`. The SHA-256 of either's file may be given. new_head leaves the classifier of the weights out.
    """

    taps: Annotated[dict[Key, str], AfterValidator(_has_last)]
    tokens: Literal["class", "mean"]
    input_size: PositiveInt | None
    interpolation: Literal["bilinear", "bicubic"]
    weights: str | None
    weights_sha256: Annotated[str, spelt("[0-9a-f]{64}", "a SHA-256 has 64 digits, 0-9 and a-f")] | None
    new_head: bool


class PretrainedNetwork(nn.Module):
    """Maps images `[B, C, H, W]` to logits and tapped features: maps `[1, B, C, H, W]` or vectors `[1, B, C]`."""

    head: tuple[str, ...]  # the modules of the classifier

    def __init__(self, settings: PretrainedSettings, model: nn.Module, *, input_shape: Shape) -> None:
        super().__init__()
        if len(input_shape) != 3:
            raise InputError(f"this network takes images (C, H, W), the data set has recordings {input_shape}")
        self.settings = settings
        self.model = model
        self.input_shape = input_shape
        self._tapped: dict[str, Tensor] = {}
        modules = dict(model.named_modules())
        for feature, name in settings.taps.items():
            if name not in modules:
                raise InputError(f"taps.{feature}: the network has no module '{name}': {_nearest(name, list(modules))}")
            modules[name].register_forward_hook(self._keeper(feature))

    def load_initial_weights(self) -> None:
        """Loads the weights that training starts from; `InputError` where they do not fit."""
        settings = self.settings
        if settings.weights is None:
            return
        if settings.weights.startswith(HUB):
            state = self._published(settings.weights.removeprefix(HUB))
        else:
            state = read_weights(raw_data() / settings.weights, expected_sha256=settings.weights_sha256)
        load_weights(self.model, state, source=settings.weights, head=self.head, new_head=settings.new_head)

    def classifier_of_mean(self) -> nn.Linear:
        """The linear layer that sees the mean of `last` over space; `InputError` where something lies between."""
        inputs = torch.zeros(1, *self.input_shape, device=next(self.parameters()).device)
        return pooled_head.classifier_of_mean(
            self, self.model, tap=self.settings.taps["last"], classifier=self.head, inputs=inputs
        )

    def download(self, tag: str) -> Path:
        """The file of the library's own weights of that name; it is not opened."""
        raise NotImplementedError

    def adapted(self, tag: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of that file as the library's model takes them."""
        return state

    def _published(self, tag: str) -> dict[str, Tensor]:
        try:
            path = self.download(tag)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"weights: {HUB}{tag} could not be downloaded ({type(error).__name__}: {reason}); "
                f"a file below {raw_data()} can be named instead"
            ) from error
        check_name(path)
        state = read_weights(path, expected_sha256=self.settings.weights_sha256)
        try:
            return self.adapted(tag, state)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"weights: {HUB}{tag} do not fit: {' '.join(str(error).split())[:200]}") from error

    def forward(self, inputs: Tensor) -> NetOutput:
        size = self.settings.input_size
        if size is not None and inputs.shape[-2:] != (size, size):
            inputs = F.interpolate(inputs, (size, size), mode=self.settings.interpolation, align_corners=False)
        self._tapped.clear()
        try:
            logits = self.model(inputs)
        except AssertionError as error:  # how timm's models refuse a size
            raise InputError(f"input_size: {size or 'null'}: {' '.join(str(error).split())}") from error
        if not isinstance(logits, Tensor):
            raise InputError(f"the model gives a {type(logits).__name__}, wanted logits: no option may change that")
        features = {}
        for feature, name in self.settings.taps.items():
            if feature not in self._tapped:
                raise InputError(f"taps.{feature}: '{name}' is never called{self._called_instead(name, inputs)}")
            features[feature] = self._feature(feature, self._tapped.pop(feature)).unsqueeze(0)
        return NetOutput(logits=logits.unsqueeze(0), features=features)

    def _keeper(self, feature: str):
        def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            self._tapped[feature] = output

        return keep

    def _feature(self, feature: str, output: Tensor) -> Tensor:
        """A module's output as map `[B, C, H, W]` or vector `[B, C]`."""
        if not isinstance(output, Tensor) or output.dim() not in (2, 3, 4):
            found = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise InputError(
                f"taps.{feature}: '{self.settings.taps[feature]}' gives {found}, wanted a map (B, C, H, W), tokens "
                "(B, N, C) or a vector (B, C)"
            )
        if output.dim() == 4 and getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            return output.permute(0, 3, 1, 2)  # [B, C, H, W]
        if output.dim() != 3:
            return output
        if self.settings.tokens == "mean":
            return output[:, self._prefix_tokens(output) :].mean(1)  # [B, C]
        if self._prefix_tokens(output) == 0 or getattr(self.model, "cls_token", None) is None:
            raise InputError(f"tokens: class: '{self.settings.taps[feature]}' has no class token, use mean")
        return output[:, 0]

    def _prefix_tokens(self, tokens: Tensor) -> int:
        """How many of the tokens `[B, N, C]` come before those of the patches."""
        patches = getattr(getattr(self.model, "patch_embed", None), "num_patches", None)
        if patches == tokens.shape[1]:
            return 0  # before the others are put there, as in CaiT
        has_class_token = getattr(self.model, "cls_token", None) is not None
        return getattr(self.model, "num_prefix_tokens", int(has_class_token))

    def _called_instead(self, name: str, inputs: Tensor) -> str:
        """Which modules are called, those of the name's own first."""
        called: list[str] = []
        hooks = [
            module.register_forward_hook(lambda *_, known=known: called.append(known))
            for known, module in self.model.named_modules()
        ]
        self.model(inputs)
        for hook in hooks:
            hook.remove()
        own = [known for known in called if known.startswith(f"{name}.")]
        outer = min((known.count(".") for known in own), default=0)
        near = [known for known in own if known.count(".") == outer] or difflib.get_close_matches(name, called, n=5)
        return f", try {', '.join(near[-5:])}" if near else ""


def _nearest(name: str, names: list[str]) -> str:
    """The names that there are; of a long list the nearest, and the outermost."""
    names = [known for known in names if known]
    if len(names) <= 40:
        return f"it has {', '.join(names)}"
    near = difflib.get_close_matches(name, names, n=5)
    outer = [known for known in names if "." not in known]
    return (
        f"of its {len(names)} modules the nearest are {', '.join(near) or '(none)'}, the outermost {', '.join(outer)}"
    )
