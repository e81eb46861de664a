"""What a network's inference costs: operations, and the energy they are reckoned to take."""

from dataclasses import dataclass
from typing import Self

import torch
from spikingjelly.activation_based import layer, op_counter
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn

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


class _Counting(op_counter.DispatchCounterMode):
    """SpikingJelly's mode, without the import of torch's compiler (two seconds) that torch gives to every mode."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, *args: object, **kwargs: object) -> object:
        inherited = op_counter.DispatchCounterMode.__torch_dispatch__
        return getattr(inherited, "__wrapped__", inherited)(self, *args, **kwargs)


class OperationCounter:
    """Inside `with`, SpikingJelly counts the operations of what runs.

    Convolutions and matrix products count; batch norm does not (it is folded into them for inference), nor do the
    neurons. An integer input k is k spikes and so k accumulations; SpikingJelly's own rule knows 0 and 1 alone and
    would call the sums of spikes in a SEW block, and event counts, MACs.
    """

    def __init__(self) -> None:
        ignored = [nn.BatchNorm2d, layer.BatchNorm2d, BaseNode]
        convolution = torch.ops.aten.convolution.default
        self._synaptic = op_counter.SynOpCounter(extra_ignore_modules=ignored)
        self._macs = op_counter.MACCounter(extra_ignore_modules=ignored)
        binary_synaptic, binary_macs = self._synaptic.rules[convolution], self._macs.rules[convolution]
        self._synaptic.rules[convolution] = lambda args, kwargs, out: (
            _accumulations(args, out) if _is_spike_count(args[0]) else binary_synaptic(args, kwargs, out)
        )
        self._macs.rules[convolution] = lambda args, kwargs, out: (
            0 if _is_spike_count(args[0]) else binary_macs(args, kwargs, out)
        )
        self._mode = _Counting([self._synaptic, self._macs])

    def __enter__(self) -> Self:
        self._mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._mode.__exit__(*error)

    def per_sample(self, samples: int) -> Operations:
        """The mean over so many samples that ran inside."""
        synaptic, macs = self._synaptic.get_total() / samples, self._macs.get_total() / samples
        return Operations(macs=macs, synaptic_operations=synaptic)


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
