"""The spiking ResNet of tdBN for CIFAR (Zheng et al. 2021, arXiv:2011.05280); ResNet-19 is blocks 3-3-2."""

import math
from typing import Self

from pydantic import Field, PositiveInt, model_validator
from spikingjelly.activation_based import layer
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.layers.spiking import NeuronSettings, SpikingNetwork, encode, make_neuron
from bkdsnn.params.recipe import Closed, Depth


class Settings(Closed):
    """One stage of `blocks[i]` blocks with `widths[i]` channels after another; each but the first halves the map."""

    time_steps: PositiveInt = Field(le=64)
    widths: tuple[PositiveInt, ...] = Field(min_length=1)
    blocks: tuple[Depth, ...] = Field(min_length=1)
    neuron: NeuronSettings

    @model_validator(mode="after")
    def _one_width_per_stage(self) -> Self:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"{len(self.widths)} widths for {len(self.blocks)} stages")
        return self


class Network(SpikingNetwork):
    """Maps images `[B, C, H, W]` or event frames `[B, T, C, H, W]` to logits and the maps after every stage.

    Features: `stage1`, `stage2`, ... and `last` (the last stage), spikes.
    """

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        super().__init__()
        self.time_steps = settings.time_steps
        neuron, width = settings.neuron, settings.widths[0]
        self.stem = _conv_tdbn(input_shape[-3], width, 3, 1, 1.0, neuron)
        self.stem_neuron = make_neuron(neuron)
        self.stages = nn.ModuleList()
        for number, (next_width, blocks) in enumerate(zip(settings.widths, settings.blocks, strict=True)):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(_Block(width, next_width, 2 if number > 0 and block == 0 else 1, neuron))
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


class _Block(nn.Module):
    """conv-tdBN-neuron, conv-tdBN, added to the (if need be projected) input, neuron."""

    def __init__(self, width: int, next_width: int, stride: int, neuron: NeuronSettings) -> None:
        super().__init__()
        half = 1 / math.sqrt(2)  # two branches are summed, so that the sum has the scale of one
        self.body = nn.Sequential(
            _conv_tdbn(width, next_width, 3, stride, 1.0, neuron),
            make_neuron(neuron),
            _conv_tdbn(next_width, next_width, 3, 1, half, neuron),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or width != next_width:
            self.shortcut = _conv_tdbn(width, next_width, 1, stride, half, neuron)
        self.neuron = make_neuron(neuron)

    def forward(self, spikes: Tensor) -> Tensor:
        return self.neuron(self.body(spikes) + self.shortcut(spikes))


def _conv_tdbn(
    width: int, next_width: int, kernel: int, stride: int, alpha: float, neuron: NeuronSettings
) -> nn.Sequential:
    """A convolution and threshold-dependent batch norm, which starts with the scale alpha * v_threshold."""
    convolution = layer.Conv2d(width, next_width, kernel, stride, padding=kernel // 2, bias=False, step_mode="m")
    return nn.Sequential(
        convolution, layer.ThresholdDependentBatchNorm2d(alpha, neuron.v_threshold, num_features=next_width)
    )
