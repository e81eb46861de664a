"""What a trained network is worth: accuracy, firing rates, operations and energy."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from spikingjelly.activation_based import layer, op_counter
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn

from bkdsnn.contracts import Batch

# Horowitz 2014, doi:10.1109/ISSCC.2014.6757323: 45 nm, 32-bit floating point; 4.6 pJ a MAC, 0.9 pJ an accumulation.
COST = op_counter.SimpleEnergyCostConfig.fp32()


@dataclass(frozen=True)
class FiringRates:
    """Spikes per neuron and time step: of each spiking layer by name, and of all neurons together (nan for an ANN)."""

    per_layer: dict[str, float]
    overall: float


@dataclass(frozen=True)
class Operations:
    """Operations of one sample's inference, all time steps: MACs, accumulations that spikes cause, energy in uJ."""

    macs: float
    synaptic_operations: float

    @property
    def energy_uj(self) -> float:
        return (self.macs * COST.e_mac_pj + self.synaptic_operations * COST.e_ac_pj) * 1e-6


@torch.no_grad()
def predictions(network: nn.Module, batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes `[N]` in the order of the batches; the logits' mean over time decides."""
    network.eval()
    pairs = [(batch.labels, network(batch.inputs).logits.mean(0).argmax(1)) for batch in batches]
    actual, predicted = (torch.cat(column).cpu().numpy() for column in zip(*pairs, strict=True))
    return actual, predicted


@torch.no_grad()
def firing_rates(network: nn.Module, batches: Iterable[Batch]) -> FiringRates:
    """How often the neurons of a network fire, as SpikingJelly's neuron layers put it out."""
    network.eval()
    spikes: dict[str, float] = {}
    places: dict[str, int] = {}

    def counter(name: str):
        def count(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            spikes[name] = spikes.get(name, 0.0) + float(output.sum(dtype=torch.float64))
            places[name] = places.get(name, 0) + output.numel()

        return count

    neurons = {name: module for name, module in network.named_modules() if isinstance(module, BaseNode)}
    hooks = [module.register_forward_hook(counter(name)) for name, module in neurons.items()]
    try:
        for batch in batches:
            network(batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    overall = sum(spikes.values()) / sum(places.values()) if places else math.nan
    return FiringRates(per_layer={name: spikes[name] / places[name] for name in spikes}, overall=overall)


@torch.no_grad()
def operations(network: nn.Module, batches: Iterable[Batch]) -> Operations:
    """Mean operations per sample, counted by SpikingJelly while the network runs.

    Convolutions and matrix products count; batch norm does not (it is folded into them for inference), nor do the
    neurons. An integer input k is k spikes and so k accumulations; SpikingJelly's own rule knows 0 and 1 alone and
    would call the sums of spikes in a SEW block, and event counts, MACs.
    """
    network.eval()
    ignored = [nn.BatchNorm2d, layer.BatchNorm2d, BaseNode]
    convolution = torch.ops.aten.convolution.default
    synaptic = op_counter.SynOpCounter(extra_ignore_modules=ignored)
    macs = op_counter.MACCounter(extra_ignore_modules=ignored)
    binary_synaptic, binary_macs = synaptic.rules[convolution], macs.rules[convolution]
    synaptic.rules[convolution] = lambda args, kwargs, out: (
        _accumulations(args, out) if _is_spike_count(args[0]) else binary_synaptic(args, kwargs, out)
    )
    macs.rules[convolution] = lambda args, kwargs, out: (
        0 if _is_spike_count(args[0]) else binary_macs(args, kwargs, out)
    )
    samples = 0
    with op_counter.DispatchCounterMode([synaptic, macs]):
        for batch in batches:
            network(batch.inputs)
            samples += len(batch.inputs)
    return Operations(macs=macs.get_total() / samples, synaptic_operations=synaptic.get_total() / samples)


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _is_spike_count(values: Tensor) -> bool:
    return bool(((values >= 0) & (values == values.round())).all())


def _accumulations(args: tuple, out: Tensor) -> int:
    """Accumulations of a convolution whose input counts spikes: one for each spike and each weight it meets."""
    inputs, weight, _, stride, padding, dilation, _, _, groups = args[:9]
    kernel, size, out_size = weight.shape[2:], inputs.shape[2:], out.shape[2:]
    spare = [
        n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, m, s, p, d, k in zip(size, out_size, stride, padding, dilation, kernel, strict=True)
    ]
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.Python)):  # not to be counted
        ones = {"device": out.device, "dtype": torch.float64}
        # How many of one output channel's weights a spike meets at each place of the input: [1, 1, H, W].
        met = torch.nn.functional.conv_transpose2d(
            torch.ones(1, 1, *out_size, **ones),
            torch.ones(1, 1, *kernel, **ones),
            stride=stride,
            padding=padding,
            output_padding=spare,
            dilation=dilation,
        )
        spikes = inputs.sum(dim=(0, 1), dtype=torch.float64)  # [H, W]
        return int((spikes * met[0, 0]).sum()) * (weight.shape[0] // groups)
