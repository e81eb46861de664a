"""The official implementation's numbers (tests/reference) on the device, and the device's beside the CPU's."""

import json
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bkdsnn.command import run_stage
from bkdsnn.distributed.device import this_device
from bkdsnn.seeding import make_deterministic
from bkdsnn.tools.gpu_check.compared import EXACT, apart, difference, seen
from bkdsnn.tools.gpu_check.luggage import ROOT
from bkdsnn.tools.gpu_check.rows import Row, attempt, tell

CPU = torch.device("cpu")
# By file: what the inputs are called, and how the network is made of the helpers of our tests.
_NETWORKS = {
    "spikingformer_cifar_small": ("x", lambda helpers, content: helpers.make_spikingformer(content, (2, 3))),
    "spikingformer_imagenet_small": ("x", lambda helpers, content: helpers.make_spikingformer(content, (0, 1, 2, 3))),
    "sew_resnet_dvs": ("frames", lambda helpers, content: helpers.make_sew(content, helpers.SIGMOID)),
    "sew_resnet_dvs_ann": ("frames", lambda helpers, content: helpers.make_sew(content, None)),
}


def reference(argument: str) -> None:
    small = json.loads(argument)["small"]
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/helpers")]
    import reference_networks as helpers
    from reference_vectors import cases, load

    make_deterministic(threads=None)
    device = this_device(portable=False)
    for number, case in enumerate(cases("neurons")):
        name = f"{case['kind']} {case['surrogate']} (neurons.npz, {number})"
        with attempt(name):
            tell(_neuron(name, helpers.neuron_of(case), case, device))
    for name in list(_NETWORKS)[:1] if small else _NETWORKS:
        inputs, make = _NETWORKS[name]
        content = load(name)
        for dtype in (torch.float64, torch.float32):
            with attempt(f"{name}, {_called(dtype)}"):
                tell(_network(name, make(helpers, content), content[inputs], content, device, dtype))


def _neuron(name: str, neuron: nn.Module, case: dict, device: torch.device) -> Row:
    """Spikes and the gradient of the current in float64, and the spikes of float32."""
    upstream, official = torch.from_numpy(case["upstream_grad"]), torch.from_numpy(case["spikes"]).bool()
    wrong, gradient = {}, None
    for dtype in (torch.float64, torch.float32):
        current = torch.from_numpy(case["x"]).to(device, dtype).requires_grad_()
        neuron.reset()
        spikes = neuron.to(device, dtype)(current)
        (spikes * upstream.to(device, dtype)).sum().backward()
        wrong[dtype] = int((spikes.detach().cpu().bool() ^ official).sum())
        gradient = current.grad.cpu() if gradient is None else gradient
    off = apart({"x": torch.from_numpy(case["f64.grad_x"])}, {"x": gradient})
    double, single = wrong.values()
    found = f"float64: gradient {off:.1e}, {double} spikes differ; float32: {single} of {official.numel():,} differ"
    numbers = {"gradient": off, "spikes_float64": double, "spikes_float32": single}
    return Row(name, found, off <= EXACT and double == 0, numbers)


def _network(
    name: str, network: nn.Module, inputs: np.ndarray, content: dict, device: torch.device, dtype: torch.dtype
) -> Row:
    """A training pass on the CPU and on the device; in float64 also against the official logits."""

    def work(module: nn.Module, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        logits = module(torch.from_numpy(inputs).to(device, dtype)).logits.mean(0)
        weights = torch.from_numpy(content["upstream_grad_logits"]).to(device, dtype)
        return {"logits": logits, "loss": (logits * weights).sum()}

    network.train()
    here, there = seen(network, work, CPU, dtype), seen(network, work, device, dtype)
    found = difference(here, there)
    numbers: dict[str, Any] = found._asdict()
    if dtype != torch.float64:
        return Row(f"{name}, {_called(dtype)}", found.in_words(), None, numbers)
    official = torch.from_numpy(content["train.f64.logits"])
    numbers["official"] = apart({"logits": official}, {"logits": there.outputs["logits"]})
    said = f"{found.in_words()}; official logits {numbers['official']:.1e}"
    return Row(f"{name}, {_called(dtype)}", said, found.exact and numbers["official"] <= EXACT, numbers)


def _called(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    run_stage(reference)
