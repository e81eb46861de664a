"""What makes a step faster changes it by no more than rounding does; without a compiler one line says so."""

import logging

import pytest
import torch
from conftest import NEURON
from operators import JOINED, graph

from bkdsnn.layers.fused.memory import gradient_channels_last
from bkdsnn.layers.fused.neurons import Fused
from bkdsnn.layers.fused.switch import apply_speed
from bkdsnn.layers.spiking import NeuronSettings
from bkdsnn.networks import sew_resnet, spikingformer
from bkdsnn.params.recipe import Speed

PLAIN = {"channels_last": False, "fused_neurons": False, "compile": False}
SWITCHES = [{"channels_last": True}, {"fused_neurons": True}, {"channels_last": True, "fused_neurons": True}]


def make(name: str, shape: tuple[int, ...], **switches) -> torch.nn.Module:
    neuron = NeuronSettings(**{**NEURON, "kind": "plif"})
    torch.manual_seed(0)
    if name == "sew_resnet":
        settings = sew_resnet.Settings(time_steps=3, widths=[8, 12], blocks=[1, 1], stem_stride=1, neuron=neuron)
        network = sew_resnet.Network(settings, input_shape=shape, classes=5)
    else:
        settings = spikingformer.Settings(
            time_steps=3,
            dim=24,
            depth=1,
            heads=3,
            mlp_ratio=2,
            pools=(2,),
            attention_scale=0.125,
            attention_threshold=0.5,
            neuron=neuron,
        )
        network = spikingformer.Network(settings, input_shape=shape, classes=5)
    apply_speed(network, Speed(**{**PLAIN, **switches}))
    return network


def step(network: torch.nn.Module, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    output = network.train()(inputs)
    (output.logits.square().sum() + output.features["last"].square().mean()).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    outputs = {"logits": output.logits.detach(), "last": output.features["last"].detach()}
    return {**outputs, **gradients, **dict(network.named_buffers())}


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 2, 8, 8)], ids=["image", "frames"])
@pytest.mark.parametrize("switches", SWITCHES, ids=lambda switches: "+".join(switches))
@pytest.mark.parametrize("name", ["sew_resnet", "spikingformer"])
def test_a_switch_changes_nothing_but_rounding(name, switches, shape):
    torch.manual_seed(1)
    inputs = torch.randn(4, *shape, dtype=torch.float64)
    plain, ours = make(name, shape).double(), make(name, shape, **switches).double()
    assert list(plain.state_dict()) == list(ours.state_dict())
    expected, found = step(plain, inputs), step(ours, inputs)
    for key, value in expected.items():
        assert (found[key] - value).abs().max() <= 1e-10 * max(1.0, value.abs().max()), key
    assert all(parameter.is_contiguous() for parameter in ours.parameters()), "as safetensors wants them"


def test_maps_and_their_gradients_are_channels_last_from_end_to_end():
    network = make("spikingformer", (3, 8, 8), channels_last=True, fused_neurons=True)
    layouts = {}

    def note(name: str, x: torch.Tensor) -> None:
        layouts[name] = x.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)

    def watch(name: str, output: torch.Tensor) -> None:
        note(name, output)
        output.register_hook(lambda gradient: note(f"gradient of {name}", gradient))

    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):  # a norm that is watched would run alone
            module.register_forward_hook(lambda _m, _i, output, name=name: watch(name, output))
    inputs = torch.randn(4, 3, 8, 8)
    assert sum(name in JOINED for name in graph(network.train()(inputs).logits)) == 7
    step(network, inputs)
    assert len(layouts) == 22
    assert [name for name, right in layouts.items() if not right] == []


@pytest.mark.parametrize(
    ("name", "neuron", "pool", "alone"),
    [("sew_resnet", 5, 0, 1), ("spikingformer", 6, 1, 4)],
)
def test_norms_are_one_operator_with_the_neuron_or_pooling_behind_them(name, neuron, pool, alone):
    """All but those of a stem whose current every step gets, and those before a sum."""
    network = make(name, (3, 8, 8), channels_last=True, fused_neurons=True)
    names = graph(network.train()(torch.randn(4, 3, 8, 8)).logits)
    kinds = (*JOINED, "NormBackward")
    assert [names.count(kind) for kind in kinds] == [neuron, pool, alone]


@pytest.mark.parametrize(("device", "used"), [("cpu", True), ("meta", False)])
def test_what_only_kernels_of_the_cpu_need_costs_no_time_elsewhere(device, used):
    network = make("sew_resnet", (3, 8, 8)).to(device)
    apply_speed(network, Speed(**{**PLAIN, "channels_last": True, "fused_neurons": True}))
    hooked = [gradient_channels_last in module._forward_hooks.values() for module in network.modules()]
    joined = [type(module).__name__ == "_Joined" for module in network.modules()]
    assert (any(hooked), any(joined)) == (used, used)


def test_no_membranes_stay_behind():
    network = make("sew_resnet", (3, 8, 8), fused_neurons=True)
    step(network, torch.randn(4, 3, 8, 8))
    neurons = [module for module in network.modules() if isinstance(module, Fused)]
    assert len(neurons) == 6
    assert all(neuron.v == 0.0 for neuron in neurons)


def test_without_a_compiler_one_line_says_so_and_eager_runs(monkeypatch, caplog):
    def broken(*_arguments, **_options):
        raise RuntimeError("no C++\ncompiler")

    monkeypatch.setattr(torch, "compile", broken)
    with caplog.at_level(logging.WARNING):
        network = make("sew_resnet", (3, 8, 8), compile=True)
    assert caplog.messages == [
        "compile: no compiler works here, the student runs eagerly (RuntimeError: no C++ compiler)"
    ]
    inputs = torch.randn(4, 3, 8, 8)
    assert torch.equal(step(network, inputs)["logits"], step(make("sew_resnet", (3, 8, 8)), inputs)["logits"])


@pytest.mark.slow
def test_a_compiled_network_agrees_and_other_shapes_run_eagerly():
    torch.manual_seed(1)
    inputs = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    switches = {"channels_last": True, "fused_neurons": True}
    plain, ours = (make("sew_resnet", (3, 8, 8), compile=c, **switches).double() for c in (False, True))
    expected, found = step(plain, inputs), step(ours, inputs)
    for key, value in expected.items():
        assert (found[key] - value).abs().max() <= 1e-10 * max(1.0, value.abs().max()), key
    assert torch.equal(ours(inputs[:2]).logits, plain(inputs[:2]).logits)
    assert torch.equal(ours.eval()(inputs).logits, plain.eval()(inputs).logits)
