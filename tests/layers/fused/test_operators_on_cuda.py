"""What a forward on CUDA asks of the device, counted without one: operators, waits, copies.

Fake tensors have shapes and a device, and no values: what looks at one (`item`, `nonzero`) would wait, and raises.
"""

import importlib.util
from collections import Counter

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bkdsnn import plugins
from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.layers.fused.switch import apply_speed
from bkdsnn.params.recipe import Speed
from bkdsnn.tools.parts import build, composed_parts, main_method
from bkdsnn.training.loop import Learner

STUDENT = "spikingformer-4-384-cifar"
LAUNCH_NOTHING = ("aten::empty", "aten::_unsafe_view", "prim::")


class Count(TorchDispatchMode):
    """Operators that launch kernels, by name, and those whose tensors lie on several devices."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.copies: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, found)) if isinstance(leaf, torch.Tensor)]
        if len({tensor.device.type for tensor in tensors}) > 1:
            self.copies.append(func.name())
        if not func.is_view and not func.name().startswith(LAUNCH_NOTHING):
            self.operators[func._schema.name] += 1
        return found


def on_cuda(network: nn.Module) -> nn.Module:
    """The network with fake tensors in place of its own."""
    for module in network.modules():
        for name, value in module.named_parameters(recurse=False):
            module._parameters[name] = nn.Parameter(torch.empty(value.shape, dtype=value.dtype, device="cuda"))
        for name, value in module.named_buffers(recurse=False):
            module._buffers[name] = torch.empty(value.shape, dtype=value.dtype, device="cuda")
    return network


def counted(*, channels_last: bool) -> Count:
    """A mixed forward, student and method under bf16, of two samples; the first one makes what later ones have."""
    parts = composed_parts()
    student = build(parts["students"][STUDENT], input_shape=(3, 32, 32), classes=10)
    part = main_method(parts["methods"])
    module = plugins.load("method", part["method"])
    shapes = {"student": {"last": (384, 8, 8)}, "teacher": {"last": (384,)}}
    method = module.Method(module.Settings(**part["settings"]), **shapes)
    with FakeTensorMode():
        learner = Learner(on_cuda(student), on_cuda(method)).train()
        apply_speed(learner.student, Speed(channels_last=channels_last, fused_neurons=True, compile=False))
        with torch.device("cuda"):
            index = torch.zeros(2, dtype=torch.int64)
            batch = Batch(torch.zeros(2, 3, 32, 32), index, index, index, view=0)
            taught = NetOutput(torch.zeros(1, 2, 10), {"last": torch.zeros(1, 2, 384)})
        for _ in range(2):
            with Count() as count, torch.autocast("cuda", torch.bfloat16):
                learner(batch, taught)
    return count


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="SpikingJelly has no kernels without Triton")
def test_a_spikingformers_forward_takes_no_more_operators_than_were_counted_no_wait_and_no_copy(monkeypatch):
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    first, last = counted(channels_last=False), counted(channels_last=True)
    assert first.copies == last.copies == []
    neurons = {name: number for name, number in first.operators.items() if name.startswith("sj_")}
    assert neurons == {"sj_lif::forward": 32}  # one kernel each, with all time steps
    assert first.operators.total() <= 286
    assert last.operators.total() <= 286 + 29  # each convolution's input: the kernels of neurons are channels first
