"""SEW-ResNet-18, -34 and -50 for ImageNet (Fang et al. 2021, arXiv:2102.04159; connection ADD): SpikingJelly's."""

from typing import Literal

from pydantic import Field, PositiveInt
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.model import sew_resnet
from torch import Tensor

from bkdsnn.contracts import NetOutput, Shape
from bkdsnn.errors import InputError
from bkdsnn.layers.spiking import NeuronSettings, SpikingNetwork, encode, make_neuron
from bkdsnn.params.recipe import Closed

LAYOUTS = {
    "official": {  # imagenet/sew_resnet.py of Spike-Element-Wise-ResNet and of BKDSNN
        "conv1": "model.conv1",
        "bn1": "model.bn1",
        "layer*.*.conv*.0": "model.layer*.*.conv*",
        "layer*.*.conv*.1": "model.layer*.*.bn*",
        "layer*.0.downsample.0.0": "model.layer*.0.downsample.0",
        "layer*.0.downsample.0.1": "model.layer*.0.downsample.1",
        "fc": "model.fc",
    }
}
_MODELS = {18: sew_resnet.sew_resnet18, 34: sew_resnet.sew_resnet34, 50: sew_resnet.sew_resnet50}


class Settings(Closed):
    """Which of the three, and its neurons."""

    time_steps: PositiveInt = Field(le=64)
    depth: Literal[18, 34, 50]
    neuron: NeuronSettings


class Network(SpikingNetwork):
    """Maps images `[B, 3, H, W]` to logits and the maps after every stage.

    Features: `stage1` .. `stage4` and `last` (the fourth), counts of spikes.
    """

    def __init__(self, settings: Settings, *, input_shape: Shape, classes: int) -> None:
        super().__init__()
        if input_shape[-3] != 3:
            raise InputError(f"sew_resnet_imagenet takes inputs of 3 channels, the data set has {input_shape[-3]}")
        self.time_steps = settings.time_steps
        self.model = _MODELS[settings.depth](
            cnf="ADD", num_classes=classes, spiking_neuron=lambda: make_neuron(settings.neuron)
        )
        functional.set_step_mode(self.model, "m")

    def forward(self, inputs: Tensor) -> NetOutput:
        model = self.model
        x = encode(lambda x: model.bn1(model.conv1(x)), inputs, time_steps=self.time_steps)  # [T, B, C, H, W]
        x = model.maxpool(model.sn1(x))
        features = {}
        for number, stage in enumerate((model.layer1, model.layer2, model.layer3, model.layer4), start=1):
            x = features[f"stage{number}"] = stage(x)
        features["last"] = x
        return NetOutput(logits=model.fc(x.mean(dim=(3, 4))), features=features)  # [T, B, K]
