"""The features of another library's network: what its modules give, tapped by their names."""

import difflib
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from bkdsnn.errors import InputError

WHOLE = "forward_features"  # no module, but the method by which timm's models make what their head sees


class Taps:
    """Maps `[B, C, H, W]` and vectors `[B, C]` by name, each of a module's last output.

    tokens: what is taken of a transformer's `[B, N, C]`, see `PretrainedSettings`. Raises `InputError` where the
    network has no such module.
    """

    def __init__(self, model: nn.Module, names: dict[str, str], *, tokens: str | None) -> None:
        self.names = names
        self._model, self._tokens = model, tokens
        self._outputs: dict[str, object] = {}
        modules = dict(model.named_modules())
        for feature, name in names.items():
            if name == WHOLE and hasattr(model, WHOLE):
                self._keep_whole(feature)
            elif name in modules:
                modules[name].register_forward_hook(partial(self._keep, feature))
            else:
                raise InputError(f"taps.{feature}: the network has no module '{name}': {self._nearest(name)}")

    def clear(self) -> None:
        """Forgets what an earlier forward gave."""
        self._outputs.clear()

    def take(self, inputs: Tensor) -> dict[str, Tensor]:
        """What the model's forward of these inputs `[B, C, H, W]` gave; `InputError` where it is no feature."""
        features = {}
        for feature, name in self.names.items():
            if feature not in self._outputs:
                raise InputError(f"taps.{feature}: '{name}' is never called{self._instead(name, inputs)}")
            output = self._outputs.pop(feature)
            if not _fits(output):
                found = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
                raise InputError(
                    f"taps.{feature}: '{name}' gives {found}, wanted a map (B, C, H, W), tokens (B, N, C) or a vector "
                    f"(B, C){self._instead(name, inputs)}"
                )
            features[feature] = self._feature(name, output, inputs)
        return features

    # Methods, not closures, as copies of a model have to keep in their own place.
    def _keep(self, feature: str, _module: nn.Module, _inputs: tuple, output: object) -> None:
        self._outputs[feature] = output

    def _keep_whole(self, feature: str) -> None:
        whole = getattr(self._model, WHOLE).__func__
        setattr(self._model, WHOLE, partial(self._whole, feature, whole))

    def _whole(self, feature: str, whole: Callable, *arguments, **options) -> object:
        output = self._outputs[feature] = whole(self._model, *arguments, **options)
        return output

    def _feature(self, name: str, output: Tensor, inputs: Tensor) -> Tensor:
        if output.dim() == 4:
            return output.permute(0, 3, 1, 2) if self._channels_last(output, inputs) else output
        if output.dim() == 2:
            return output
        prefix = self._prefix_tokens(output)
        has_class_token = prefix > 0 and getattr(self._model, "cls_token", None) is not None
        if self._tokens == "class" and not has_class_token:
            raise InputError(f"tokens: class: '{name}' has no class token, use mean")
        of_head = has_class_token and getattr(self._model, "global_pool", None) == "token"
        if self._tokens == "class" or (self._tokens is None and of_head):
            return output[:, 0]
        return output[:, prefix:].mean(1)  # [B, C]

    def _channels_last(self, output: Tensor, inputs: Tensor) -> bool:
        """Whether a map is `[B, H, W, C]`: by which of its sides are in proportion to the inputs', else by the model's
        own word, as within one model some modules' are (Swin's blocks, ConvNeXt's) and others' are not."""
        (height, width), (first, second, third) = inputs.shape[-2:], output.shape[1:]

        def are_sides(rows: int, columns: int) -> bool:
            return abs(rows * width - columns * height) < max(height, width)  # either is rounded to whole pixels

        last, leading = are_sides(first, second), are_sides(second, third)
        if last == leading:
            return getattr(self._model, "output_fmt", "NCHW") == "NHWC"
        return last

    def _prefix_tokens(self, tokens: Tensor) -> int:
        """How many of the tokens `[B, N, C]` come before those of the patches."""
        patches = getattr(getattr(self._model, "patch_embed", None), "num_patches", None)
        if patches == tokens.shape[1]:
            return 0  # before the others are put there, as in CaiT
        has_class_token = getattr(self._model, "cls_token", None) is not None
        return getattr(self._model, "num_prefix_tokens", int(has_class_token))

    def _instead(self, name: str, inputs: Tensor) -> str:
        """The modules whose outputs fit: those within the named one, else near ones and stages, or the last."""
        suitable: list[str] = []

        def note(_module: nn.Module, _inputs: tuple, output: object, *, known: str) -> None:
            if known and _fits(output):
                suitable.append(known)

        hooks = [
            module.register_forward_hook(partial(note, known=known)) for known, module in self._model.named_modules()
        ]
        self._model(inputs)
        for hook in hooks:
            hook.remove()
        own = [known for known in suitable if known.startswith(f"{name}.")]
        outer = min((known.count(".") for known in own), default=0)
        near = [known for known in own if known.count(".") == outer][-5:]
        near = near or difflib.get_close_matches(name, suitable, n=3) + [s for s in self._stages() if s in suitable]
        near = near or suitable[-5:]  # what the head sees is among the last
        return f", try {', '.join(dict.fromkeys(near))}" if near else ""

    def _stages(self) -> list[str]:
        """What timm names as a model's own steps, last ones last."""
        return [step["module"] for step in getattr(self._model, "feature_info", None) or []][-5:]

    def _nearest(self, name: str) -> str:
        """The names that there are; of a long list the nearest, the outermost, and the stages."""
        names = [known for known, _ in self._model.named_modules() if known]
        if len(names) <= 40:
            return f"it has {', '.join(names)}"
        near = difflib.get_close_matches(name, names, n=5)
        outer = [known for known in names if "." not in known]
        stages = f", its stages {', '.join(self._stages())}" if self._stages() else ""
        return (
            f"of its {len(names)} modules the nearest are {', '.join(near) or '(none)'}, the outermost "
            f"{', '.join(outer)}{stages}"
        )


def _fits(output: object) -> bool:
    return isinstance(output, Tensor) and output.dim() in (2, 3, 4) and output.is_floating_point()
