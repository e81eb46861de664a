"""The SEW-ResNet of CIFAR10-DVS (Fang et al. 2021, arXiv:2102.04159; connection ADD), and its ReLU twin."""

from pydantic import Field, PositiveInt
from spikingjelly.activation_based import layer
from torch import Tensor, nn

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.errors import InputError
from bkdsnn.layers.spiking import NeuronSettings, SpikingNetwork, conv_bn, encode, make_neuron
from bkdsnn.params.recipe import Closed

LAYOUTS = {
    "official": {  # cifar10dvs/smodels.py of Spike-Element-Wise-ResNet and of BKDSNN; its numbers are those of `layers`
        "conv.0.0.0": "stem.0",
        "conv.0.0.1": "stem.1",
        "conv.0.1": "layers.0",
        "conv.*.0.0": "layers.*.0",
        "conv.*.0.1": "layers.*.1",
        "conv.*.1": "layers.*.2",
        "conv.*.conv.0.0.0": "layers.*.body.0",
        "conv.*.conv.0.0.1": "layers.*.body.1",
        "conv.*.conv.0.1": "layers.*.body.2",
        "conv.*.conv.1.0.0": "layers.*.body.3",
        "conv.*.conv.1.0.1": "layers.*.body.4",
        "conv.*.conv.1.1": "layers.*.body.5",
        "out": "head",
    }
}


class Settings(Closed):
    """A 1x1 stem, then for each width a SEW block and 2x2 max-pooling; a 1x1 convolution where the width changes.

    neuron null makes the ReLU twin, whose 1x1 convolutions have no activation (as the official one's have none).
    """

    time_steps: PositiveInt = Field(le=64)
    widths: tuple[PositiveInt, ...] = Field(min_length=1)
    neuron: NeuronSettings | None


class Network(SpikingNetwork):
    """Maps event frames `[B, T, C, H, W]` or images `[B, C, H, W]` to logits and features.

    Features: `layer0`, `layer1`, ... are numbered as the official code's (stem, block, pooling, ...); `last` is the
    last block's map, before its pooling. Values are spikes, behind a block counts of spikes.
    """

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        super().__init__()
        halvings = len(settings.widths)
        if min(input_shape[-2:]) < 2**halvings:
            height, width = input_shape[-2:]
            raise InputError(f"inputs of {height} x {width} are halved {halvings} times: {2**halvings} is the least")
        self.time_steps = settings.time_steps
        width = settings.widths[0]
        self.stem = conv_bn(input_shape[-3], width, 1)
        self.layers = nn.ModuleList([_point_activation(settings.neuron)])
        for next_width in settings.widths:
            if next_width != width:
                point = conv_bn(width, next_width, 1).append(_point_activation(settings.neuron))
                self.layers.append(point)
                width = next_width
            self.layers.append(_SewBlock(width, settings.neuron))
            self.layers.append(layer.MaxPool2d(2, 2, step_mode="m"))
        self.head = layer.Linear(width, classes, step_mode="m")

    def forward(self, inputs: Tensor) -> NetOutput:
        x = encode(self.stem, inputs, time_steps=self.time_steps)  # [T, B, C, H, W]
        features = {}
        for number, module in enumerate(self.layers):
            x = features[f"layer{number}"] = module(x)
        features["last"] = features[f"layer{len(self.layers) - 2}"]
        return NetOutput(logits=self.head(x.mean(dim=(3, 4))), features=features)  # [T, B, K]


class _SewBlock(nn.Module):
    """conv-bn-neuron twice, added to the input."""

    def __init__(self, width: int, neuron: NeuronSettings | None) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_bn(width, width, 3), make_neuron(neuron), *conv_bn(width, width, 3), make_neuron(neuron)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _point_activation(neuron: NeuronSettings | None) -> nn.Module:
    return nn.Identity() if neuron is None else make_neuron(neuron)
