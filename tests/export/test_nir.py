"""Students as NIR: the file, read back by SpikingJelly, fires the very same spikes, or nothing is written."""

import copy
import json
import sys

import nir
import nir_interpreter
import numpy as np
import pytest
import torch
import yaml
from conftest import NEURON, write_data
from spikingjelly.activation_based.neuron import BaseNode

from bkdsnn import plugins
from bkdsnn.build import make_network
from bkdsnn.errors import InputError
from bkdsnn.export.nir import DT, compare, export, read_back
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Student
from bkdsnn.tools import export as tool
from bkdsnn.trained import Trained, save_trained

IMAGE, FRAMES = (2, 12, 12), (3, 2, 12, 12)
T = FRAMES[0]
TWO_STAGES = {"time_steps": T, "widths": [4, 8], "blocks": [2, 1]}
NEURONS = {
    "if": NEURON,
    "lif": {**NEURON, "kind": "lif", "tau": 1.7},
    "lif-undecayed": {**NEURON, "kind": "lif", "decay_input": False, "v_threshold": 0.8},
    "plif": {**NEURON, "kind": "plif", "surrogate": "sigmoid"},
}


def trained(name: str, settings: dict, *, shape=IMAGE, samples: int = 6) -> tuple[torch.nn.Module, torch.Tensor]:
    """A network whose batch norms have seen something, and inputs."""
    module = plugins.load("network", name)
    torch.manual_seed(0)
    network = module.Network(validated(module.Settings, settings, where=""), input_shape=shape, classes=3)
    inputs = torch.randn(samples, *shape)
    for parameter in network.parameters():
        if parameter.dim() == 1:
            parameter.data += torch.rand_like(parameter)
    with torch.no_grad():
        for _ in range(3):
            network.train()(inputs)
    return network.eval(), inputs


@pytest.mark.parametrize("shape", [IMAGE, FRAMES], ids=["image", "frames"])
@pytest.mark.parametrize("kind", NEURONS)
def test_a_sew_resnet_fires_the_same_spikes(tmp_path, kind, shape):
    settings = {**TWO_STAGES, "stem_stride": 2, "neuron": NEURONS[kind]}
    network, inputs = trained("sew_resnet", settings, shape=shape)
    compared = export(network, tmp_path / "a.nir", inputs=inputs, metadata={"run": "a"})
    assert (compared.samples, compared.differing_spikes, compared.differing_predictions) == (6, 0, 0)
    assert compared.spikes > 300
    assert compared.largest_logit_difference < 1e-6


def test_the_file_holds_folded_convolutions_neurons_and_what_nir_cannot_say(tmp_path):
    network, inputs = trained("sew_resnet", {**TWO_STAGES, "stem_stride": 1, "neuron": NEURONS["plif"]})
    network.stem_neuron.w.data.fill_(0.4)
    export(network, tmp_path / "a.nir", inputs=inputs, metadata={"run": "a"})
    graph = nir.read(tmp_path / "a.nir")
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        **{"Input": 1, "Output": 1, "Conv2d": 8, "LIF": 8, "AvgPool2d": 1, "Flatten": 1, "Affine": 1}
    }
    convolution, norm = network.stem
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    np.testing.assert_allclose(
        graph.nodes["stem_0"].weight, (convolution.weight * scale.view(-1, 1, 1, 1)).detach(), 1e-5
    )
    np.testing.assert_allclose(graph.nodes["stem_0"].bias, (norm.bias - norm.running_mean * scale).detach(), 1e-5, 1e-6)
    assert graph.nodes["stem_0"].weight.dtype == np.float32
    tau = 1 / torch.sigmoid(torch.tensor(0.4)).item()  # the learnt one, not the initial 2
    np.testing.assert_allclose(graph.nodes["stem_neuron"].tau, DT * tau, 1e-6)
    assert (graph.metadata["time_steps"], graph.metadata["run"]) == (T, "a")
    assert graph.metadata["input"] == "every step takes the same image"
    assert "mean of the output over the steps" in graph.metadata["readout"]
    assert "at rest before the first step, which means at v_reset" in graph.metadata["readout"]
    assert "fires where v >= v_threshold" in graph.metadata["neurons"]
    assert (tmp_path / "a.nir").read_bytes()[:8] == b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize(
    ("kind", "shape", "pools"),
    [*((kind, (2, 8, 8), 0) for kind in NEURONS), ("lif", (2, 12, 8), 1), ("plif", (3, 2, 8, 8), 0)],
    ids=str,
)
def test_an_interpreter_that_knows_nir_alone_fires_every_spike(tmp_path, kind, shape, pools):
    """Maps of 4 x 4 pixels are averaged in the head, as sixteenths lose no bit; those of 6 x 4 by an AvgPool2d."""
    settings = {**TWO_STAGES, "stem_stride": 1, "neuron": NEURONS[kind]}
    network, inputs = trained("sew_resnet", settings, shape=shape)
    export(network, tmp_path / "a.nir", inputs=inputs, metadata={})
    graph = nir.read(tmp_path / "a.nir")
    pooled = [node for node in graph.nodes.values() if isinstance(node, nir.AvgPool2d)]
    assert [tuple(node.padding) for node in pooled] == [(0, 0)] * pools
    inputs = inputs.double()
    frames = inputs.expand(T, *inputs.shape) if len(shape) == 3 else inputs.transpose(0, 1)
    logits, spikes = nir_interpreter.run(tmp_path / "a.nir", frames.numpy())
    own: dict[str, torch.Tensor] = {}
    for name, module in network.double().named_modules():
        if isinstance(module, BaseNode):
            module.register_forward_hook(lambda _module, _given, fired, name=name: own.update({name: fired}))
    found = network(inputs).logits.mean(0)
    assert set(spikes) == {name.replace(".", "_") for name in own}
    assert all(np.array_equal(spikes[name.replace(".", "_")], fired.detach().numpy()) for name, fired in own.items())
    assert sum(fired.sum() for fired in spikes.values()) > 300
    np.testing.assert_allclose(logits, found.detach().numpy(), atol=1e-6)


def test_the_head_over_the_map_is_that_over_its_mean_to_the_bit(tmp_path):
    network, inputs = trained("sew_resnet", {**TWO_STAGES, "stem_stride": 1, "neuron": NEURON}, shape=(2, 8, 8))
    export(network, tmp_path / "a.nir", inputs=inputs, metadata={})
    head = nir.read(tmp_path / "a.nir").nodes["head"]
    weight = network.head.weight.detach().numpy()
    assert head.weight.shape == (3, 8 * 16)
    assert np.array_equal(head.weight.reshape(3, 8, 16).sum(axis=2), weight)


def test_the_network_itself_stays_as_it_was(tmp_path):
    network, inputs = trained("sew_resnet", {**TWO_STAGES, "stem_stride": 1, "neuron": NEURON})
    before, logits = copy.deepcopy(network.state_dict()), network(inputs).logits
    export(network, tmp_path / "a.nir", inputs=inputs, metadata={})
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(network(inputs).logits, logits)


def test_the_resnet_of_tdbn_fires_the_same_spikes(tmp_path):
    network, inputs = trained("spiking_resnet", {**TWO_STAGES, "neuron": NEURONS["lif"]})
    compared = export(network, tmp_path / "a.nir", inputs=inputs, metadata={})
    assert compared.differing_spikes == 0 < compared.spikes
    sources = {source for source, end in nir.read(tmp_path / "a.nir").edges if end == "stages_0_0_neuron"}
    assert sources == {"stem_neuron", "stages_0_0_body_2_0"}  # a sum: several edges into one node


def test_max_pooling_of_spikes_is_an_average_and_a_neuron(tmp_path):
    settings = {"time_steps": 2, "depth": 18, "neuron": NEURON}
    network, inputs = trained("sew_resnet_imagenet", settings, shape=(3, 32, 32), samples=2)
    compared = export(network, tmp_path / "a.nir", inputs=inputs, metadata={})
    assert compared.differing_spikes == 0 < compared.spikes
    pool = nir.read(tmp_path / "a.nir").nodes["model_maxpool_pool"]
    assert (tuple(pool.kernel_size), tuple(pool.stride), tuple(pool.padding)) == ((3, 3), (2, 2), (1, 1))


SPIKINGFORMER = {
    **{"time_steps": T, "dim": 16, "depth": 1, "heads": 2, "mlp_ratio": 2, "attention_scale": 0.25},
    **{"attention_threshold": 0.5, "neuron": NEURON},
}


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        (
            "spikingformer",
            {**SPIKINGFORMER, "pools": []},
            "blocks.0.attention (flatten, unflatten, matmul, mul, getattr, reshape)",
        ),
        (
            "spikingformer",
            {**SPIKINGFORMER, "pools": [1]},
            "embed.0.3 (MaxPool2d of other than one layer's spikes); "
            "blocks.0.attention (flatten, unflatten, matmul, mul, getattr, reshape)",
        ),
        (
            "sew_resnet_dvs",
            {"time_steps": T, "widths": [4, 4], "neuron": NEURON},
            "layers.2 (MaxPool2d of other than one layer's spikes); "
            "layers.4 (MaxPool2d of other than one layer's spikes)",
        ),
        (
            "sew_resnet_dvs",
            {"time_steps": T, "widths": [4], "neuron": None},
            "layers.1.body.2 (ReLU); layers.1.body.5 (ReLU); layers.2 (MaxPool2d of other than one layer's spikes)",
        ),
    ],
)
def test_a_layer_that_nir_has_not_is_named_and_nothing_is_written(tmp_path, name, settings, told):
    network, inputs = trained(name, settings)
    with pytest.raises(InputError) as error:
        export(network, tmp_path / "a.nir", inputs=inputs, metadata={})
    assert str(error.value) == f"this network cannot be written as NIR, which has nothing for {told}"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_something_else_is_not_left(tmp_path, monkeypatch):
    network, inputs = trained("sew_resnet", {**TWO_STAGES, "stem_stride": 2, "neuron": NEURON})
    (tmp_path / "a.nir").write_text("older")

    def damaged(path):
        again = read_back(path)
        again.stem_0.bias.data += 0.5
        return again

    monkeypatch.setattr("bkdsnn.export.nir.read_back", damaged)
    with pytest.raises(InputError, match=r"a.nir: not written: read back it is another network; 6 samples: [\d,]+ of"):
        export(network, tmp_path / "a.nir", inputs=inputs, metadata={})
    assert [path.name for path in tmp_path.iterdir()] == ["a.nir"]
    assert (tmp_path / "a.nir").read_text() == "older"


def test_without_the_packages_the_message_says_what_to_install(tmp_path, monkeypatch):
    network, inputs = trained("sew_resnet", {**TWO_STAGES, "stem_stride": 2, "neuron": NEURON})
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(InputError, match=r"pip install 'spikingjelly\[nir\]'"):
        export(network, tmp_path / "a.nir", inputs=inputs, metadata={})


def test_a_run_is_exported_and_does_on_real_inputs_what_its_network_does(tmp_path, monkeypatch, capsys, composed):
    monkeypatch.chdir(tmp_path)
    data = write_data(tmp_path / "data/digits", shape=(1, 16, 16))
    content = composed("table=tiny")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    part = Student(**content["students"]["sew-digits"])
    network = make_network(part, data=data, seed=0)
    folder = tmp_path / "models/students/tiny/image-ce-s0"
    folder.mkdir(parents=True)
    weights = network.state_dict()
    save_trained(
        folder, Trained(last=weights, best=weights, best_epoch=-1, history=[]), data=data, teacher=None, made_with={}
    )
    tool.export_run("image-ce-s0")
    path = tmp_path / "models/nir/tiny/image-ce-s0.nir"
    assert (
        f"models/nir/tiny/image-ce-s0.nir: {path.stat().st_size / 1e6:.1f} MB; 10 samples: 0 of"
        in capsys.readouterr().out
    )
    metadata = nir.read(path).metadata
    assert json.loads(metadata["classes"]) == ["0", "1", "2"]
    assert json.loads(metadata["normalise"]) == {"scale": 255.0, "mean": [0.5], "std": [0.25]}
    compared = compare(network.double().eval(), read_back(path), inputs=torch.rand(4, 1, 16, 16).double())
    assert compared.differing_spikes == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "T = 4 frames by number: N // T events of N each, the last one has the rest; channels OFF, ON; counts"),
        (
            {"split_by": "duration", "duration_us": 5000},
            "T = 4 frames by duration: 5000 us each, from the first event on",
        ),
        ({"split_by": "time", "size": (8, 9)}, "counts of events, at most 255; summed into 8 rows x 9 columns"),
    ],
)
def test_the_file_says_how_event_frames_were_made(data, changes, words):
    settings = {"time_steps": 4, "split_by": "number", "duration_us": None, "size": None, **changes}
    assert tool.event_frames(data) == {}
    data.manifest["settings"] = {"frames": settings}
    assert words in tool.event_frames(data)["event_frames"]
