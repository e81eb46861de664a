"""A network of another library as one of ours: inputs resized, features tapped by module name, weights loaded."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import AfterValidator, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.errors import InputError
from bkdsnn.layers import pooled_head
from bkdsnn.layers.preprocessing import Preprocessing, rescaling
from bkdsnn.layers.taps import Taps
from bkdsnn.layers.weights import check_name, load_weights, read_weights
from bkdsnn.params.recipe import Closed, Key, Sha256
from bkdsnn.params.schema import Normalise
from bkdsnn.paths import raw_data

HUB = "hub:"
PRETRAINED = "pretrained"


def _has_last(taps: dict[str, str] | None) -> dict[str, str] | None:
    if taps is not None and ("last" not in taps or {"index", "logits"} & set(taps)):
        raise ValueError("one feature is called last, none index or logits")
    return taps


class PretrainedSettings(Closed):
    """taps: features by name, each the output of a module as the library calls it; `last` is one of them (null: it
    alone, what the network's head sees).

    tokens: what is taken of a transformer's tokens `[B, N, C]`: the class token or the mean of the others (null: the
    class token where the model pools by it, else the mean).
    input_size: height and width that inputs are resized to (null: they stay as they are).
    normalise: the data set's inputs stay as they are, or become what the weights were made with (`own`).
    weights: null starts at random; `hub:TAG` downloads what the library calls so, `pretrained` takes those that the
    model's name means; anything else is a file below `BKDSNN_DATA`. The SHA-256 of their file may be given. new_head
    leaves the classifier of the weights out.
    """

    taps: Annotated[dict[Key, str] | None, AfterValidator(_has_last)] = None
    tokens: Literal["class", "mean"] | None = None
    input_size: PositiveInt | None
    interpolation: Literal["bilinear", "bicubic"]
    normalise: Literal["dataset", "own"] = "dataset"
    weights: str | None
    weights_sha256: Sha256 | None
    new_head: bool

    @property
    def tag(self) -> str | None:
        """Which of the library's weights of this model are meant, if so."""
        return self.weights.removeprefix(HUB) if self.weights and self.weights.startswith(HUB) else None

    @property
    def is_published(self) -> bool:
        """Whether the library knows the weights."""
        return self.tag is not None or self.weights == PRETRAINED


class PretrainedNetwork(nn.Module):
    """Maps images `[B, C, H, W]` to logits and tapped features: maps `[1, B, C, H, W]` or vectors `[1, B, C]`."""

    head: tuple[str, ...]  # the modules of the classifier
    default_taps: ClassVar[dict[str, str]]

    def __init__(self, settings: PretrainedSettings, model: nn.Module, *, input_shape: Shape) -> None:
        super().__init__()
        if len(input_shape) != 3:
            raise InputError(f"this network takes images (C, H, W), the data set has recordings {input_shape}")
        self.settings = settings
        self.model = model
        self.input_shape = input_shape
        self.taps = Taps(model, settings.taps or self.default_taps, tokens=settings.tokens)
        for name in ("factor", "summand"):
            self.register_buffer(name, None, persistent=False)

    @classmethod
    def preprocessing(cls, settings: PretrainedSettings) -> Preprocessing | None:
        """What the weights that are named were made with; None where nothing says it."""
        raise NotImplementedError

    def normalised_by(self, normalise: Normalise) -> Self:
        """The network, told how its inputs were normalised; `InputError` where its own way is asked for and unknown."""
        if self.settings.normalise == "own":
            own = self.preprocessing(self.settings)
            if own is None:
                named = self.settings.weights or "null"
                raise InputError(f"normalise: own: weights: {named}: nothing says what theirs is")
            self.factor, self.summand = rescaling(own, normalise)
        return self

    def load_initial_weights(self) -> None:
        """Loads the weights that training starts from; `InputError` where they do not fit."""
        settings = self.settings
        if settings.weights is None:
            return
        if settings.is_published:
            state = self._published()
        else:
            state = read_weights(raw_data() / settings.weights, expected_sha256=settings.weights_sha256)
        load_weights(self.model, state, source=settings.weights, head=self.head, new_head=settings.new_head)

    def classifier_of_mean(self) -> nn.Linear:
        """The linear layer that sees the mean of `last` over space; `InputError` where something lies between."""
        inputs = torch.zeros(1, *self.input_shape, device=next(self.parameters()).device)
        return pooled_head.classifier_of_mean(
            self, self.model, tap=self.taps.names["last"], classifier=self.head, inputs=inputs
        )

    def download(self) -> Path:
        """The file of the library's own weights; it is not opened."""
        raise NotImplementedError

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of that file as the library's model takes them."""
        return state

    def _published(self) -> dict[str, Tensor]:
        where = f"weights: {self.settings.weights}"
        try:
            path = self.download()
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{where} could not be downloaded ({type(error).__name__}: {reason}); "
                f"a file below {raw_data()} can be named instead"
            ) from error
        check_name(path)
        state = read_weights(path, expected_sha256=self.settings.weights_sha256)
        try:
            return self.adapted(state)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{where} do not fit: {' '.join(str(error).split())[:200]}") from error

    def forward(self, inputs: Tensor) -> NetOutput:
        if self.settings.normalise == "own":
            if self.factor is None:
                raise InputError("normalise: own: the network was not told how its inputs are normalised")
            inputs = inputs * self.factor + self.summand
        size = self.settings.input_size
        if size is not None and inputs.shape[-2:] != (size, size):
            inputs = F.interpolate(inputs, (size, size), mode=self.settings.interpolation, align_corners=False)
        self.taps.clear()
        try:
            logits = self.model(inputs)
        except AssertionError as error:  # how timm's models refuse a size
            raise InputError(f"input_size: {size or 'null'}: {' '.join(str(error).split())}") from error
        if not isinstance(logits, Tensor):
            raise InputError(f"the model gives a {type(logits).__name__}, wanted logits: no option may change that")
        features = {name: feature.unsqueeze(0) for name, feature in self.taps.take(inputs).items()}
        return NetOutput(logits=logits.unsqueeze(0), features=features)
