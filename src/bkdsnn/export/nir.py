"""A trained spiking network as a NIR file (Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9), and back.

NIR describes one step of time: the file says in its metadata how the inputs follow each other and what becomes of the
logits. Weights are stored in float32, arithmetic and comparison are in float64.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn

from bkdsnn.errors import InputError
from bkdsnn.export.nir_graph import copied, flattened
from bkdsnn.files import new_file

DT = 1e-4  # seconds a step; what SpikingJelly and most frameworks that read NIR take
_ALLOWED = 1e-3  # of the spikes may differ: batch norm folded and rounded can move a membrane over its threshold
_MEANING = {
    "readout": "the mean of the output over the steps is the logits; membranes are at rest before the first step, "
    "which means at v_reset",
    "neurons": "a step adds dt / tau * (v_leak - v + r * input) to v (LIF), or dt * r * input (IF); "
    "a neuron fires where v >= v_threshold, and v is v_reset then",
}


@dataclass(frozen=True)
class Comparison:
    """What the network and the file, read back, make of the same samples."""

    samples: int
    spikes: int
    differing_spikes: int
    differing_predictions: int
    largest_logit_difference: float

    def __str__(self) -> str:
        return (
            f"{self.samples} samples: {self.differing_spikes:,} of {self.spikes:,} spikes differ, "
            f"{self.differing_predictions} predictions differ, logits by {self.largest_logit_difference:.1e} at most"
        )


def export(network: nn.Module, target: Path, *, inputs: Tensor, metadata: dict[str, object]) -> Comparison:
    """Writes `target` once the file does what the network does with `inputs` `[B, ...]`.

    Raises `InputError` for a network that NIR cannot hold, and where the file read back makes other spikes.
    """
    nir, nir_exchange = _packages()
    network, inputs = copied(network).cpu().double(), inputs.cpu().double()
    steps = _over_time(inputs, network.time_steps)
    graph = nir_exchange.export_to_nir(flattened(network, inputs).float(), steps[:, :1].float(), dt=DT)
    how = "every step takes the same image" if inputs.dim() == 4 else "step t takes frame t"
    graph.metadata = {"time_steps": network.time_steps, "dt": DT, "input": how, **_MEANING, **metadata}
    content = io.BytesIO()  # HDF5 crashes where the disk is full
    nir.write(content, graph)
    with new_file(target) as written:
        written.write_bytes(content.getvalue())
        compared = compare(network, read_back(written), inputs=inputs)
        if compared.differing_spikes > _ALLOWED * compared.spikes:
            raise InputError(f"{target}: not written: read back it is another network; {compared}")
    return compared


def read_back(path: Path) -> nn.Module:
    """A NIR file as SpikingJelly reads it, in float64: maps `[T, B, C, H, W]` to (logits `[T, B, K]`, states)."""
    _, nir_exchange = _packages()
    return nir_exchange.import_from_nir(path, dt=DT, dtype=torch.float64, step_mode="m")


@torch.no_grad()
def compare(network: nn.Module, again: nn.Module, *, inputs: Tensor) -> Comparison:
    """Runs both on `inputs` `[B, ...]`; the neurons are told apart by name."""
    own, other = {}, {}
    _listen(network, own)
    _listen(again, other)
    logits = network(inputs).logits
    logits_again, _ = again(_over_time(inputs, network.time_steps))
    return Comparison(
        samples=len(inputs),
        spikes=int(sum(spikes.sum() for spikes in own.values())),
        differing_spikes=sum(int((spikes != other[name]).sum()) for name, spikes in own.items()),
        differing_predictions=int((logits.mean(0).argmax(1) != logits_again.mean(0).argmax(1)).sum()),
        largest_logit_difference=float((logits - logits_again).abs().max()),
    )


def _over_time(inputs: Tensor, time_steps: int) -> Tensor:
    """Images `[B, C, H, W]` once a step, or event frames `[B, T, C, H, W]` in order: `[T, B, C, H, W]`."""
    return inputs.expand(time_steps, *inputs.shape) if inputs.dim() == 4 else inputs.transpose(0, 1)


def _listen(network: nn.Module, spikes: dict[str, Tensor]) -> None:
    """Keeps what every neuron puts out, under its name in NIR (without dots)."""

    def keeper(name: str):
        def keep(_module: nn.Module, _inputs: tuple, output: Tensor | tuple) -> None:
            spikes[name] = output[0] if isinstance(output, tuple) else output

        return keep

    for name, module in network.named_modules():
        if isinstance(module, BaseNode) or isinstance(getattr(module, "module", None), BaseNode):
            module.register_forward_hook(keeper(name.replace(".", "_")))


def _packages() -> tuple:
    try:
        import nir
        from spikingjelly.activation_based import nir_exchange
    except ImportError as error:
        raise InputError("NIR needs two packages more: pip install 'spikingjelly[nir]'") from error
    return nir, nir_exchange
