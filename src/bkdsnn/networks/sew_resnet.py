"""A small SEW-ResNet for images and event frames (Fang et al. 2021, arXiv:2102.04159; connection ADD)."""

from typing import Self

from pydantic import Field, PositiveInt, model_validator
from spikingjelly.activation_based import layer
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.layers.spiking import NeuronSettings, SpikingNetwork, conv_bn, encode, make_neuron
from bkdsnn.params.recipe import Closed, Depth


class Settings(Closed):
    """One stage of `blocks[i]` blocks with `widths[i]` channels after another; each but the first halves the map."""

    time_steps: PositiveInt = Field(le=64)
    widths: tuple[PositiveInt, ...] = Field(min_length=1)
    blocks: tuple[Depth, ...] = Field(min_length=1)
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
        self.stem = conv_bn(input_shape[-3], width, 3, stride=settings.stem_stride)
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
        x = self.stem_neuron(encode(self.stem, inputs, time_steps=self.time_steps))  # [T, B, C, H, W]
        features = {}
        for number, stage in enumerate(self.stages, start=1):
            x = features[f"stage{number}"] = stage(x)
        features["last"] = x
        return NetOutput(logits=self.head(x.mean(dim=(3, 4))), features=features)  # [T, B, K]


class _SewBlock(nn.Module):
    """conv-bn-neuron twice, added to the (if need be projected) input spikes."""

    def __init__(self, width: int, next_width: int, stride: int, neuron: NeuronSettings) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_bn(width, next_width, 3, stride=stride),
            make_neuron(neuron),
            *conv_bn(next_width, next_width, 3),
            make_neuron(neuron),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or width != next_width:
            self.shortcut = conv_bn(width, next_width, 1, stride=stride).append(make_neuron(neuron))

    def forward(self, spikes: Tensor) -> Tensor:
        return self.body(spikes) + self.shortcut(spikes)
