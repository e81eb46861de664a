"""A small SEW-ResNet for images and event frames (Fang et al. 2021, arXiv:2102.04159; connection ADD)."""

from typing import Self

from pydantic import Field, PositiveInt, model_validator
from spikingjelly.activation_based import layer
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.errors import InputError
from bkdsnn.params import Closed
from bkdsnn.spiking import NeuronSettings, SpikingNetwork, make_neuron


class Settings(Closed):
    """One stage of `blocks[i]` blocks with `widths[i]` channels after another; each but the first halves the map."""

    time_steps: PositiveInt = Field(le=64)
    widths: tuple[PositiveInt, ...] = Field(min_length=1)
    blocks: tuple[PositiveInt, ...] = Field(min_length=1)
    stem_stride: PositiveInt = Field(le=4)
    neuron: NeuronSettings

    @model_validator(mode="after")
    def _one_width_per_stage(self) -> Self:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"{len(self.widths)} widths for {len(self.blocks)} stages")
        return self


class Network(SpikingNetwork):
    """Maps images `[B, C, H, W]` or event frames `[B, T, C, H, W]` to logits and the maps after every stage.

    Images are encoded directly: the first convolution and batch norm run once, their current feeds every step.
    Features: `stage1`, `stage2`, ... and `last` (the last stage), values are counts of spikes.
    """

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        super().__init__()
        self.time_steps = settings.time_steps
        width = settings.widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[-3], width, 3, settings.stem_stride, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.stem_neuron = make_neuron(settings.neuron)
        self.stages = nn.ModuleList()
        for number, (next_width, blocks) in enumerate(zip(settings.widths, settings.blocks, strict=True)):
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if number > 0 and block == 0 else 1
                stage.append(_SewBlock(width, next_width, stride, settings.neuron))
                width = next_width
            self.stages.append(stage)
        self.head = layer.Linear(width, classes, step_mode="m")

    def forward(self, inputs: Tensor) -> NetOutput:
        x = self.stem_neuron(self._currents(inputs))  # [T, B, C, H, W]
        features = {}
        for number, stage in enumerate(self.stages, start=1):
            x = features[f"stage{number}"] = stage(x)
        features["last"] = x
        return NetOutput(logits=self.head(x.mean(dim=(3, 4))), features=features)  # [T, B, K]

    def _currents(self, inputs: Tensor) -> Tensor:
        """The stem's currents `[T, B, C, H, W]`."""
        if inputs.dim() == 4:
            current = self.stem(inputs)  # [B, C, H, W], once for all steps
            return current.unsqueeze(0).expand(self.time_steps, -1, -1, -1, -1)
        if inputs.shape[1] != self.time_steps:
            raise InputError(f"time_steps is {self.time_steps}, the data set has {inputs.shape[1]} frames per sample")
        current = self.stem(inputs.transpose(0, 1).flatten(0, 1))  # [T*B, C, H, W]
        return current.unflatten(0, (self.time_steps, -1))


class _SewBlock(nn.Module):
    """conv-bn-neuron twice, added to the (if need be projected) input spikes."""

    def __init__(self, width: int, next_width: int, stride: int, neuron: NeuronSettings) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_bn_neuron(width, next_width, 3, stride, neuron),
            *_conv_bn_neuron(next_width, next_width, 3, 1, neuron),
        )
        changes = stride > 1 or width != next_width
        self.shortcut = (
            nn.Sequential(*_conv_bn_neuron(width, next_width, 1, stride, neuron)) if changes else nn.Identity()
        )

    def forward(self, spikes: Tensor) -> Tensor:
        return self.body(spikes) + self.shortcut(spikes)


def _conv_bn_neuron(width: int, next_width: int, kernel: int, stride: int, neuron: NeuronSettings) -> tuple:
    convolution = layer.Conv2d(width, next_width, kernel, stride, padding=kernel // 2, bias=False, step_mode="m")
    return convolution, layer.BatchNorm2d(next_width, step_mode="m"), make_neuron(neuron)
