"""Every network of the catalogue, and what is special to each."""

import numpy as np
import pytest
import torch
from conftest import NEURON, ROOT
from spikingjelly.activation_based.neuron import BaseNode, IFNode, LIFNode, ParametricLIFNode

from bkdsnn import catalogue
from bkdsnn.errors import InputError
from bkdsnn.spiking import NeuronSettings, make_neuron

IMAGE, FRAMES = (1, 8, 8), (4, 2, 8, 8)
SMALL = {
    "sew_resnet": {"time_steps": 4, "widths": [4, 8], "blocks": [1, 2], "stem_stride": 1, "neuron": NEURON},
    "resnet": {"widths": [4, 8], "blocks": [1, 2], "stem_stride": 1},
}


def make(name: str, input_shape: tuple[int, ...], **changes) -> torch.nn.Module:
    module = catalogue.load("network", name)
    torch.manual_seed(0)
    return module.Network(module.Settings(**{**SMALL[name], **changes}), input_shape=input_shape, classes=3)


def listed(composed) -> list:
    """Every network part that a table of the catalogue lists, with the shape of its inputs."""
    found = {}
    for path in sorted((ROOT / "src/bkdsnn/conf/table").glob("*.yaml")):
        content = composed(f"table={path.stem}")
        for row in content["rows"].values():
            data = content["datasets"][row["dataset"]]["settings"]
            frames = data.get("frames")
            side = data["camera"]["sensor"] // frames["down_scale"] if frames else data["size"]
            shape = (frames["time_steps"], 2, side, side) if frames else (1, side, side)
            for group in ("student", "teacher"):
                if row[group]:
                    found[row[group]] = (content[f"{group}s"][row[group]], shape)
    return list(found.items())


def test_every_listed_network_learns_at_its_true_size(composed):
    names = set()
    for key, (part, shape) in listed(composed):
        module = catalogue.load("network", part["network"])
        torch.manual_seed(0)
        network = module.Network(module.Settings(**part["settings"]), input_shape=shape, classes=10)
        network(2 * torch.randn(8, *shape)).logits.square().sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters()), key
        names.add(part["network"])
    assert names == set(catalogue.names("network")), "a network that no table lists is not tried"


@pytest.mark.parametrize("input_shape", [IMAGE, FRAMES], ids=["image", "frames"])
@pytest.mark.parametrize("name", SMALL)
def test_outputs_gradients_and_no_leak_from_batch_to_batch(name, input_shape):
    network = make(name, input_shape)
    inputs = 2 * torch.randn(5, *input_shape)
    output = network(inputs)
    steps = 4 if name == "sew_resnet" else 1
    assert output.logits.shape == (steps, 5, 3)
    assert output.feature_shapes() == {"stage1": (4, 8, 8), "stage2": (8, 4, 4), "last": (8, 4, 4)}
    output.logits.square().sum().backward()
    silent = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert silent == []
    network.eval()
    with torch.no_grad():
        first, other, again = network(inputs), network(-inputs), network(inputs)
    assert torch.equal(first.logits, again.logits)
    assert not torch.equal(first.logits, other.logits)
    with torch.no_grad():
        assert torch.allclose(network(inputs[:2]).logits, first.logits[:, :2], atol=1e-5)


def test_direct_encoding_runs_the_first_convolution_once():
    network = make("sew_resnet", IMAGE)
    sizes = []
    network.stem[0].register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    network(torch.randn(5, *IMAGE))
    assert sizes == [5]
    network = make("sew_resnet", FRAMES)
    network.stem[0].register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    network(torch.randn(5, *FRAMES))
    assert sizes == [5, 20]


def test_a_sew_block_adds_spikes():
    features = make("sew_resnet", IMAGE, widths=[4], blocks=[3])(3 * torch.randn(20, *IMAGE)).features["last"]
    assert torch.equal(features, features.round())
    assert features.max() > 1, "sums of spikes, not spikes"


def test_frames_of_another_number_than_time_steps_are_refused():
    with pytest.raises(InputError, match="time_steps is 4, the data set has 3 frames"):
        make("sew_resnet", (3, 2, 8, 8))(torch.zeros(1, 3, 2, 8, 8))


def test_the_ann_sees_the_order_of_frames():
    network = make("resnet", FRAMES).eval()
    inputs = torch.randn(2, *FRAMES)
    with torch.no_grad():
        assert not torch.allclose(network(inputs).logits, network(inputs.flip(1)).logits)


@pytest.mark.parametrize(("kind", "node"), [("if", IFNode), ("lif", LIFNode), ("plif", ParametricLIFNode)])
def test_neurons_say_every_parameter(kind, node):
    neuron = make_neuron(NeuronSettings(**{**NEURON, "kind": kind, "v_threshold": 0.7, "surrogate": "sigmoid"}))
    assert type(neuron) is node
    assert (neuron.step_mode, neuron.v_threshold, neuron.v_reset, neuron.detach_reset) == ("m", 0.7, 0.0, True)
    assert type(neuron.surrogate_function).__name__ == "Sigmoid"
    assert neuron.surrogate_function.alpha == 2.0


def test_a_lif_neuron_by_hand():
    neuron = make_neuron(NeuronSettings(**{**NEURON, "kind": "lif"}))
    current = torch.tensor([[1.0], [1.6], [2.0], [0.0]])  # h: 0.5; 0.5 + 0.55 = 1.05; reset: 1.0 fires; 0
    assert neuron(current).flatten().tolist() == [0, 1, 1, 0]


def test_neurons_equal_the_official_ones():
    archive = np.load(ROOT / "tests/reference/neurons.npz", allow_pickle=False)
    checked = 0
    for case in (f"c{number:02d}." for number in range(int(archive["num_cases"]))):
        kind = str(archive[case + "kind"]).lower()
        settings = NeuronSettings(
            kind=kind,
            tau=float(archive[case + "tau"]) or 2.0,
            v_threshold=float(archive[case + "v_threshold"]),
            v_reset=float(archive[case + "v_reset"]),
            decay_input=True,
            detach_reset=bool(archive[case + "detach_reset"]),
            surrogate=str(archive[case + "surrogate"]).lower(),
            surrogate_alpha=float(archive[case + "surrogate_alpha"]),
        )
        neuron = make_neuron(settings).double()
        if kind == "plif":
            neuron.w.data = torch.tensor(float(archive[case + "f64.w"]), dtype=torch.float64)
        current = torch.from_numpy(archive[case + "x"]).double().requires_grad_()
        spikes = neuron(current)
        assert np.array_equal(spikes.detach().numpy(), archive[case + "spikes"])
        (spikes * torch.from_numpy(archive[case + "upstream_grad"]).double()).sum().backward()
        reference = archive[case + "f64.grad_x"]
        assert np.linalg.norm(current.grad.numpy() - reference) <= 1e-9 * np.linalg.norm(reference)
        checked += 1
    assert checked == int(archive["num_cases"]) > 0


def test_membranes_are_at_rest_at_every_forward():
    network = make("sew_resnet", IMAGE)
    network(torch.randn(2, *IMAGE))
    nodes = [module for module in network.modules() if isinstance(module, BaseNode)]
    assert any(torch.is_tensor(node.v) and node.v.abs().sum() > 0 for node in nodes), "the state is there to leak"
    network(torch.randn(3, *IMAGE))  # another batch size would fail on the old state
