"""What a trained network is worth: accuracy, firing rates, operations and energy."""

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
def firing_rates(network: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """Spikes per neuron and time step of every spiking layer, by the layer's name; empty for an ANN."""
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
    return {name: spikes[name] / places[name] for name in spikes}


@torch.no_grad()
def operations(network: nn.Module, inputs: Tensor) -> Operations:
    """Mean operations per sample of inputs `[B, ...]`, counted by SpikingJelly while the network runs.

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
        _accumulations(args) if _is_spike_count(args[0]) else binary_synaptic(args, kwargs, out)
    )
    macs.rules[convolution] = lambda args, kwargs, out: (
        0 if _is_spike_count(args[0]) else binary_macs(args, kwargs, out)
    )
    with op_counter.DispatchCounterMode([synaptic, macs]):
        network(inputs)
    return Operations(macs=macs.get_total() / len(inputs), synaptic_operations=synaptic.get_total() / len(inputs))


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _is_spike_count(values: Tensor) -> bool:
    return bool(((values >= 0) & (values == values.round())).all())


def _accumulations(args: tuple) -> int:
    """Accumulations of a convolution whose input counts spikes: one for each spike and each weight it meets."""
    inputs, weight, _, stride, padding, dilation, _, _, groups = args[:9]
    ones = torch.ones_like(weight, dtype=torch.float64)
    # The counter must not see this convolution.
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.Python)):
        met = torch.nn.functional.conv2d(inputs.double(), ones, None, stride, padding, dilation, groups)
    return int(met.sum())
