"""What `tools.bench.step` lets take turns: distillation steps of SpikingJelly's stock layers and of ours."""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bkdsnn.build import feature_shapes, make_method
from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.layers.fused.switch import apply_speed
from bkdsnn.params.recipe import Optimiser, Speed
from bkdsnn.params.schema import MethodPart
from bkdsnn.seeding import draw_keys, make_deterministic
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.tools.bench.stock import SewResNet, Spikingformer
from bkdsnn.tools.parts import build, main_method
from bkdsnn.training.loop import Learner
from bkdsnn.training.optimiser import make_optimiser

STOCK = {"spikingformer-4-384-cifar": Spikingformer, "sew-small-cifar": SewResNet}
VIT, RESNET = "vit-small-cifar", "resnet-small-cifar"  # the official recipe's teacher, and a SEW-ResNet's twin
PAIRS = (("spikingformer-4-384-cifar", VIT), ("sew-small-cifar", VIT), ("sew-small-cifar", RESNET))


@dataclass(frozen=True)
class Setup:
    """One contender: the official recipe's step, or ours with its switches; method null is the main one."""

    student: str = "spikingformer-4-384-cifar"
    teacher: str = VIT
    stock: bool = False
    live: bool = False
    teacher_precision: str = "32-true"
    precision: str = "bf16"
    channels_last: bool = True
    fused_neurons: bool = True
    compile: bool = False
    tf32: bool = False
    batch_size: int = 32
    time_steps: int = 4
    method: str | None = None


OURS = Setup()
BASELINE = replace(OURS, stock=True, live=True, precision="fp32")
RATIOS = {
    "baseline: stock layers, fp32, live teacher": BASELINE,
    "ours, fp32, live teacher": replace(OURS, live=True, precision="fp32"),
    "ours, bf16, live teacher": replace(OURS, live=True),
    "ours, bf16, cached teacher": OURS,
}
SWITCHES = {
    "all: bf16, cache, channels_last, fused neurons": OURS,
    "with torch.compile": replace(OURS, compile=True),
    "SpikingJelly's neurons": replace(OURS, fused_neurons=False),
    "channels first": replace(OURS, channels_last=False),
    "fp32": replace(OURS, precision="fp32"),
    "live teacher": replace(OURS, live=True),
}


@dataclass(frozen=True)
class Contender:
    """`step` is one whole step: teacher, student, method, backward, optimiser; it changes what `learner` holds."""

    step: Callable[[], None]
    learner: Learner
    optimiser: torch.optim.Optimizer


class _Held:
    """A teacher's outputs, read from memory-mapped arrays as a cache's are."""

    def __init__(self, teacher: LiveTeacher, batch: Batch) -> None:
        output = teacher(batch)
        self._folder = tempfile.TemporaryDirectory()
        self._arrays = {}
        for name, tensor in {"logits": output.logits, **output.features}.items():
            path = Path(self._folder.name) / f"{name}.npy"
            np.save(path, tensor.transpose(0, 1).cpu().numpy())  # [B, T, ...]
            self._arrays[name] = np.load(path, mmap_mode="r")

    def __call__(self, batch: Batch) -> NetOutput:
        rows, device = batch.index.numpy(), batch.inputs.device
        outputs = {
            name: torch.from_numpy(array[rows]).to(device).transpose(0, 1) for name, array in self._arrays.items()
        }
        return NetOutput(logits=outputs.pop("logits"), features=outputs)


def contender_of(setup: Setup, *, device: torch.device, parts: dict, constant_teacher: bool = False) -> Contender:
    """What the setup says, on a device; `parts` are those of `composed_parts`.

    constant_teacher: its outputs are computed once and lie on the device, as a captured graph of the step needs.
    """
    make_deterministic(threads=None, tf32=setup.tf32)
    shape = (3, 32, 32)
    student = _student(setup, parts, shape, device)
    network = build(parts["teachers"][setup.teacher], input_shape=shape, classes=10)
    part = MethodPart(**(parts["methods"][setup.method] if setup.method else main_method(parts["methods"])))
    features = list(dict.fromkeys(part.settings.get("features", {}).values()))
    teacher = LiveTeacher(network.to(device), features=features, precision=setup.teacher_precision)
    batch = _batch(setup.batch_size, shape, device)
    if not setup.live:
        teacher = _Held(teacher, batch)
    first = teacher(batch)
    shapes = {"student": feature_shapes(student, input_shape=shape), "teacher": first.feature_shapes()}
    method = make_method(part, part.settings, **shapes, samples=setup.batch_size, classes=10, seed=0).to(device)
    learner = Learner(student, method)
    optimiser = make_optimiser(learner, Optimiser(name="adamw", lr=5e-4, weight_decay=0.06, momentum=0.9))

    def step() -> None:
        taught = first if constant_teacher else teacher(batch)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=setup.precision == "bf16"):
            loss: Tensor = sum(learner(batch, taught).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    learner.train()
    return Contender(step, learner, optimiser)


def _student(setup: Setup, parts: dict, shape: tuple[int, ...], device: torch.device) -> nn.Module:
    if setup.stock:
        torch.manual_seed(0)
        return STOCK[setup.student](time_steps=setup.time_steps).to(device)
    part = copy.deepcopy(parts["students"][setup.student])
    part["settings"]["time_steps"] = setup.time_steps
    student = build(part, input_shape=shape, classes=10).to(device)
    apply_speed(student, Speed(**{name: getattr(setup, name) for name in Speed.model_fields}))
    return student


def _batch(size: int, shape: tuple[int, ...], device: torch.device) -> Batch:
    torch.manual_seed(0)
    index = torch.arange(size)
    draws = draw_keys("method", seed=0, epoch=0, index=index)
    inputs, labels = torch.randn(size, *shape), index % 10
    return Batch(inputs=inputs.to(device), labels=labels.to(device), index=index, draws=draws.to(device), view=0)
