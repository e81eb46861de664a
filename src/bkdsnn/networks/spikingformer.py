"""Spikingformer (Zhou et al. 2023, arXiv:2304.11954) with CML down-sampling (Zhou et al. 2023, arXiv:2305.05954)."""

from typing import Self

import torch
from pydantic import Field, PositiveInt, model_validator
from spikingjelly.activation_based import layer
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.layers.spiking import NeuronSettings, SpikingNetwork, conv_bn, encode, make_neuron
from bkdsnn.params.recipe import Closed, Depth

_STEM = 5  # convolutions before the blocks

LAYOUTS = {
    "official": {  # model.py of cifar10, cifar100, imagenet and cifar10-dvs, in Spikingformer-CML and in BKDSNN
        "patch_embed.proj_conv": "stem.1",
        "patch_embed.proj_bn": "stem.2",
        "patch_embed.proj1_conv": "embed.0.1",
        "patch_embed.proj1_bn": "embed.0.2",
        "patch_embed.proj2_conv": "embed.1.1",
        "patch_embed.proj2_bn": "embed.1.2",
        "patch_embed.proj3_conv": "embed.2.1",
        "patch_embed.proj3_bn": "embed.2.2",
        "patch_embed.proj4_conv": "embed.3.1",
        "patch_embed.proj4_bn": "embed.3.2",
        "block.*.attn.q_conv": "blocks.*.attention.query.0",
        "block.*.attn.q_bn": "blocks.*.attention.query.1",
        "block.*.attn.k_conv": "blocks.*.attention.key.0",
        "block.*.attn.k_bn": "blocks.*.attention.key.1",
        "block.*.attn.v_conv": "blocks.*.attention.value.0",
        "block.*.attn.v_bn": "blocks.*.attention.value.1",
        "block.*.attn.proj_conv": "blocks.*.attention.project.1",
        "block.*.attn.proj_bn": "blocks.*.attention.project.2",
        "block.*.mlp.mlp1_conv": "blocks.*.mlp.1",
        "block.*.mlp.mlp1_bn": "blocks.*.mlp.2",
        "block.*.mlp.mlp2_conv": "blocks.*.mlp.4",
        "block.*.mlp.mlp2_bn": "blocks.*.mlp.5",
        "block.*.norm1": None,
        "block.*.norm2": None,
        "head": "head",
    }
}


class Settings(Closed):
    """A stem of five convolutions, with max-pooling behind those numbered (from 0) in `pools`, then `depth` blocks.

    attention_threshold is the threshold of the neuron behind the attention; neuron null makes the ReLU twin.
    """

    time_steps: PositiveInt = Field(le=64)
    dim: PositiveInt = Field(multiple_of=8)
    depth: Depth
    heads: PositiveInt
    mlp_ratio: PositiveInt
    pools: tuple[int, ...] = Field(max_length=_STEM)
    attention_scale: float = Field(gt=0.0)
    attention_threshold: float = Field(gt=0.0)
    neuron: NeuronSettings | None

    @model_validator(mode="after")
    def _heads_share_the_channels(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} cannot be shared by {self.heads} heads")
        return self


class Network(SpikingNetwork):
    """Maps images `[B, C, H, W]` or event frames `[B, T, C, H, W]` to logits and the map after every block.

    Features: `block1`, `block2`, ... and `last` (the last block), real numbers: the residual stream, not spikes. The
    LayerNorms and DropPaths that the official class creates and never uses are left out.
    """

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        super().__init__()
        self.time_steps = settings.time_steps
        dim, neuron = settings.dim, settings.neuron
        widths = [input_shape[-3], dim // 8, dim // 4, dim // 2, dim, dim]
        layers = [
            nn.Sequential(make_neuron(neuron) if number else nn.Identity(), *conv_bn(*widths[number : number + 2], 3))
            for number in range(_STEM)
        ]
        for number in settings.pools:
            layers[number].append(layer.MaxPool2d(3, 2, 1, step_mode="m"))
        self.stem, self.embed = layers[0], nn.Sequential(*layers[1:])
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.depth))
        self.head = layer.Linear(dim, classes, step_mode="m")
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor) -> NetOutput:
        x = self.embed(encode(self.stem, inputs, time_steps=self.time_steps))  # [T, B, D, H, W]
        features = {}
        for number, block in enumerate(self.blocks, start=1):
            x = features[f"block{number}"] = block(x)
        features["last"] = x
        return NetOutput(logits=self.head(x.mean(dim=(3, 4))), features=features)  # [T, B, K]


class _Block(nn.Module):
    """Attention, then two 1x1 convolutions, each added to the stream; neurons come first."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        dim, hidden = settings.dim, settings.dim * settings.mlp_ratio
        self.attention = _Attention(settings)
        self.mlp = nn.Sequential(
            make_neuron(settings.neuron),
            *conv_bn(dim, hidden, 1, bias=True),
            make_neuron(settings.neuron),
            *conv_bn(hidden, dim, 1, bias=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class _Attention(nn.Module):
    """Self-attention of spikes without softmax (Zhou et al. 2022, arXiv:2209.15425)."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        dim, neuron = settings.dim, settings.neuron
        self.heads, self.scale = settings.heads, settings.attention_scale
        self.neuron = make_neuron(neuron)
        self.query, self.key, self.value = (conv_bn(dim, dim, 1).append(make_neuron(neuron)) for _ in range(3))
        after = neuron and neuron.model_copy(update={"v_threshold": settings.attention_threshold})
        self.project = nn.Sequential(make_neuron(after), *conv_bn(dim, dim, 1, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.neuron(x)
        query, key, value = (  # [T, B, heads, D / heads, H * W]
            part(spikes).flatten(3).unflatten(2, (self.heads, -1)) for part in (self.query, self.key, self.value)
        )
        # (value key^T) query: without softmax the order is free, and a head has fewer channels than a map has places.
        attended = torch.matmul(torch.matmul(value, key.transpose(-2, -1)), query) * self.scale
        return self.project(attended.reshape(x.shape))  # [T, B, D, H, W]
