"""The baseline of `make bench`: two students as others write them, from SpikingJelly's stock multi-step layers.

Every image is repeated T times before the first convolution and every neuron is SpikingJelly's own, as in the official
code. Sizes and values are those of our students.
"""

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput


class _Student(nn.Module):
    """Maps images `[B, 3, 32, 32]` to logits and the last map, `[T, B, ...]`."""

    def __init__(self, *, width: int, time_steps: int) -> None:
        super().__init__()
        self.time_steps = time_steps
        self.head = layer.Linear(width, 10, step_mode="m")

    def forward(self, images: Tensor) -> NetOutput:
        functional.reset_net(self)
        x = self.body(images.unsqueeze(0).repeat(self.time_steps, 1, 1, 1, 1))  # [T, B, C, H, W]
        return NetOutput(logits=self.head(x.flatten(3).mean(3)), features={"last": x})


class Spikingformer(_Student):
    """Spikingformer-4-384 for CIFAR."""

    def __init__(self, *, time_steps: int, dim: int = 384, depth: int = 4) -> None:
        super().__init__(width=dim, time_steps=time_steps)
        self.body = nn.Sequential(
            *_conv(3, dim // 8, 3),
            *(_lif(), *_conv(dim // 8, dim // 4, 3)),
            *(_lif(), *_conv(dim // 4, dim // 2, 3), layer.MaxPool2d(3, 2, 1, step_mode="m")),
            *(_lif(), *_conv(dim // 2, dim, 3), layer.MaxPool2d(3, 2, 1, step_mode="m")),
            *(_lif(), *_conv(dim, dim, 3)),
            *(nn.Sequential(_Residual(_Attention(dim)), _Residual(_mlp(dim))) for _ in range(depth)),
        )


class SewResNet(_Student):
    """`sew-small-cifar`: three stages of one SEW block each, PLIF neurons."""

    def __init__(self, *, time_steps: int, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__(width=widths[-1], time_steps=time_steps)
        blocks, width = [], widths[0]
        for next_width in widths:
            stride = 1 if next_width == width else 2
            body = nn.Sequential(
                *_conv(width, next_width, 3, stride), _plif(), *_conv(next_width, next_width, 3), _plif()
            )
            shortcut = nn.Sequential(*_conv(width, next_width, 1, stride), _plif()) if stride > 1 else nn.Identity()
            blocks.append(_Residual(body, shortcut))
            width = next_width
        self.body = nn.Sequential(*_conv(3, widths[0], 3), _plif(), *blocks)


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int = 12) -> None:
        super().__init__()
        self.heads = heads
        self.neuron = _lif()
        self.query, self.key, self.value = (nn.Sequential(*_conv(dim, dim, 1), _lif()) for _ in range(3))
        self.project = nn.Sequential(_lif(v_threshold=0.5), *_conv(dim, dim, 1, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.neuron(x)
        query, key, value = (  # [T, B, heads, H * W, D / heads]
            part(spikes).flatten(3).unflatten(2, (self.heads, -1)).transpose(-2, -1)
            for part in (self.query, self.key, self.value)
        )
        attended = torch.matmul(torch.matmul(query, key.transpose(-2, -1)) * 0.125, value)
        return self.project(attended.transpose(-2, -1).reshape(x.shape))


def _mlp(dim: int) -> nn.Module:
    return nn.Sequential(_lif(), *_conv(dim, 4 * dim, 1, bias=True), _lif(), *_conv(4 * dim, dim, 1, bias=True))


def _conv(
    width: int, next_width: int, kernel: int, stride: int = 1, *, bias: bool = False
) -> tuple[nn.Module, nn.Module]:
    convolution = layer.Conv2d(width, next_width, kernel, stride, padding=kernel // 2, bias=bias, step_mode="m")
    return convolution, layer.BatchNorm2d(next_width, step_mode="m")


def _lif(v_threshold: float = 1.0) -> nn.Module:
    gradient = surrogate.Sigmoid(alpha=4.0)
    return neuron.LIFNode(2.0, True, v_threshold, 0.0, gradient, detach_reset=True, step_mode="m")


def _plif() -> nn.Module:
    gradient = surrogate.ATan(alpha=2.0)
    return neuron.ParametricLIFNode(2.0, True, 1.0, 0.0, gradient, detach_reset=True, step_mode="m")
