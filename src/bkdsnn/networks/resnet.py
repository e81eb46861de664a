"""A small ANN ResNet (He et al. 2016, arXiv:1512.03385), the teacher of the embedded data sets."""

from typing import Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.params.recipe import Closed, Depth


class Settings(Closed):
    """One stage of `blocks[i]` basic blocks with `widths[i]` channels after another; each but the first halves."""

    widths: tuple[PositiveInt, ...] = Field(min_length=1)
    blocks: tuple[Depth, ...] = Field(min_length=1)
    stem_stride: PositiveInt = Field(le=4)

    @model_validator(mode="after")
    def _one_width_per_stage(self) -> Self:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"{len(self.widths)} widths for {len(self.blocks)} stages")
        return self


class Network(nn.Module):
    """Maps images `[B, C, H, W]` or event frames `[B, T, C, H, W]` to logits and the maps after every stage, T = 1.

    Event frames are stacked along the channels (`T * C` of them), so the network sees their order.
    """

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        super().__init__()
        channels = input_shape[0] if len(input_shape) == 3 else input_shape[0] * input_shape[1]
        width = settings.widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, settings.stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList()
        for number, (next_width, blocks) in enumerate(zip(settings.widths, settings.blocks, strict=True)):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(_Block(width, next_width, 2 if number > 0 and block == 0 else 1))
                width = next_width
            self.stages.append(stage)
        self.head = nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> NetOutput:
        x = self.stem(inputs.flatten(1, -3))  # [B, T*C, H, W]
        features = {}
        for number, stage in enumerate(self.stages, start=1):
            x = stage(x)
            features[f"stage{number}"] = x.unsqueeze(0)  # [1, B, C, H, W]
        features["last"] = x.unsqueeze(0)
        return NetOutput(logits=self.head(x.mean(dim=(2, 3))).unsqueeze(0), features=features)

    def classifier_of_mean(self) -> nn.Linear:
        """The linear layer that sees the mean of `last` over space."""
        return self.head


class _Block(nn.Module):
    """conv-bn-ReLU, conv-bn, added to the (if need be projected) input, ReLU."""

    def __init__(self, width: int, next_width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, next_width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(next_width),
            nn.ReLU(inplace=True),
            nn.Conv2d(next_width, next_width, 3, padding=1, bias=False),
            nn.BatchNorm2d(next_width),
        )
        changes = stride > 1 or width != next_width
        projection = (nn.Conv2d(width, next_width, 1, stride, bias=False), nn.BatchNorm2d(next_width))
        self.shortcut = nn.Sequential(*projection) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))
