"""Every network of the catalogue, and what is special to each."""

import pytest
import torch
from conftest import NEURON
from reference_vectors import load
from spikingjelly.activation_based.neuron import BaseNode, IFNode, LIFNode, ParametricLIFNode

from bkdsnn import plugins
from bkdsnn.contracts import Batch
from bkdsnn.errors import InputError
from bkdsnn.evaluation.activity import parameter_count
from bkdsnn.layers.spiking import NeuronSettings, make_neuron
from bkdsnn.methods import ce
from bkdsnn.params.recipe import Optimiser
from bkdsnn.tools.parts import NAMES, build, composed_parts, looks_at
from bkdsnn.training.loop import Learner
from bkdsnn.training.optimiser import make_optimiser

IMAGE, FRAMES = (1, 8, 8), (4, 2, 8, 8)
SMALL = {
    "sew_resnet": {"time_steps": 4, "widths": [4, 8], "blocks": [1, 2], "stem_stride": 1, "neuron": NEURON},
    "resnet": {"widths": [4, 8], "blocks": [1, 2], "stem_stride": 1},
}
SLOW = {"spikingformer-8-512-imagenet", "spikingformer-8-768-imagenet", "sew-resnet-50-imagenet"}
SLOW |= {"sew-resnet-cifar10-dvs-16", "vit-base-orig-imagenet"}  # the second: vit-base-imagenet once more


def make(name: str, input_shape: tuple[int, ...], **changes) -> torch.nn.Module:
    module = plugins.load("network", name)
    torch.manual_seed(0)
    return module.Network(module.Settings(**{**SMALL[name], **changes}), input_shape=input_shape, classes=3)


@pytest.fixture(scope="module")
def parts():
    found = composed_parts()
    return {**found["students"], **found["teachers"]}


def at_true_size(parts: dict, key: str) -> torch.nn.Module:
    shape, classes = looks_at(key)
    return build(parts[key], input_shape=shape, classes=classes)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, marks=pytest.mark.slow if key in SLOW else ())
        for key in (*NAMES["student"], *NAMES["teacher"])
    ],
)
def test_every_part_takes_a_training_step_at_its_true_size(parts, key):
    shape, classes = looks_at(key)
    network = at_true_size(parts, key)
    learner = Learner(network, ce.Method(ce.Settings(label_smoothing=0.1), student={}, teacher={}))
    optimiser = make_optimiser(learner, Optimiser(name="sgd", lr=0.1, weight_decay=0.0, momentum=0.9))
    inputs, labels = (3 * torch.rand(2, *shape)).floor(), torch.tensor([1, classes - 1])
    batch = Batch(inputs=inputs, labels=labels, index=labels, draws=labels, view=0)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    loss, again = (learner(batch, None)["task"] for _ in range(2))
    assert torch.equal(loss, again), "two equal batches, one loss: no state is left behind"
    loss.backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert [name for name, p in network.named_parameters() if not p.grad.isfinite().all() or not p.grad.any()] == []
    optimiser.step()
    # A bias before batch norm has no gradient but rounding's.
    learnt = [name for name, parameter in network.named_parameters() if parameter.grad.abs().max() > 1e-6]
    assert len(learnt) > len(before) / 2
    assert [name for name in learnt if torch.equal(network.get_parameter(name), before[name])] == []
    network.eval()
    with torch.no_grad():
        first, _, again = network(inputs), network(-inputs), network(inputs)
    assert torch.equal(first.logits, again.logits)
    assert first.logits.isfinite().all()
    assert "last" in first.features
    assert set(parts[key].get("features", [])) <= set(first.features), "what a teacher keeps is there"


def test_every_network_is_tried(parts):
    assert {part["network"] for part in parts.values()} == set(plugins.names("network"))


COUNTS = {
    "spikingformer_cifar_depth4_dim256_heads16_classes10": ("spikingformer-4-256-cifar", 10),
    "spikingformer_cifar_depth4_dim256_heads16_classes100": ("spikingformer-4-256-cifar", 100),
    "spikingformer_cifar_depth2_dim384_heads12_classes10": ("spikingformer-2-384-cifar", 10),
    "spikingformer_cifar_depth2_dim384_heads12_classes100": ("spikingformer-2-384-cifar", 100),
    "spikingformer_cifar_depth4_dim384_heads12_classes10": ("spikingformer-4-384-cifar", 10),
    "spikingformer_cifar_depth4_dim384_heads12_classes100": ("spikingformer-4-384-cifar", 100),
    "spikingformer_imagenet_depth8_dim384_heads8_classes1000": ("spikingformer-8-384-imagenet", 1000),
    "spikingformer_imagenet_depth8_dim512_heads8_classes1000": ("spikingformer-8-512-imagenet", 1000),
    "spikingformer_imagenet_depth8_dim768_heads8_classes1000": ("spikingformer-8-768-imagenet", 1000),
    "spikingformer_cifar10dvs_depth2_dim256": ("spikingformer-2-256-cifar10-dvs", 10),
    "sew_resnet_cifar10dvs": ("sew-resnet-cifar10-dvs", 10),
    "sew_resnet_cifar10dvs_ann_twin": ("sew-resnet-cifar10-dvs-ann", 10),
    "sew_resnet18": ("sew-resnet-18-imagenet", 1000),
    "sew_resnet34": ("sew-resnet-34-imagenet", 1000),
    "sew_resnet50": ("sew-resnet-50-imagenet", 1000),
}


def count(parts, key: str, classes: int) -> int:
    with torch.device("meta"):
        return parameter_count(build(parts[key], input_shape=looks_at(key)[0], classes=classes))


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_as_many_as_the_official_ones_without_the_unused_layernorms(parts, name):
    content = load("parameter_counts")
    official = dict(
        zip(content["names"].tolist(), content["parameters_without_unused_layernorms"].tolist(), strict=True)
    )
    assert count(parts, *COUNTS[name]) == official[name]
    small = {
        "spikingformer_cifar_depth2_dim64_heads4_classes10",
        "spikingformer_imagenet_depth2_dim64_heads8_classes10",
    }
    assert official.keys() == COUNTS.keys() | small


def test_parameters_of_what_has_no_reference(parts):
    assert count(parts, "resnet-19-cifar", 10) == 12_569_226  # published: about 12.6 M
    assert count(parts, "resnet-18-imagenet", 1000) == 11_689_512  # torchvision's documentation
    assert count(parts, "resnet-34-imagenet", 1000) == 21_797_672
    assert count(parts, "resnet-50-imagenet", 1000) == 25_557_032
    assert count(parts, "vit-small-cifar", 1000) == 22_050_664  # timm's results table: 22.05 M
    assert count(parts, "vit-base-imagenet", 1000) == 86_567_656


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_sew_resnet_stage_maps_have_the_official_shapes(parts, depth):
    official = load("parameter_counts")[f"sew_resnet{depth}.feature_shapes"]
    network = at_true_size(parts, f"sew-resnet-{depth}-imagenet").eval()
    with torch.no_grad():
        shapes = network(torch.zeros(1, 3, 224, 224)).feature_shapes()
    assert [list(shapes[f"stage{number}"]) for number in (1, 2, 3, 4)] == official[:4, 1:].tolist()
    assert shapes["last"] == shapes["stage4"]


def test_the_dvs_spikingformer_has_the_official_feature_shape(parts):
    official = load("parameter_counts")["spikingformer_cifar10dvs.feature_shapes"]
    network = at_true_size(parts, "spikingformer-2-256-cifar10-dvs").eval()
    with torch.no_grad():
        shapes = network(torch.zeros(1, 4, 2, 128, 128)).feature_shapes()
    assert list(shapes["last"]) == official[0, 1:].tolist()


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
    sizes = []  # of the first axis, T
    network.stem[0].register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    network(torch.randn(5, *IMAGE))
    assert sizes == [1]
    network = make("sew_resnet", FRAMES)
    network.stem[0].register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    network(torch.randn(5, *FRAMES))
    assert sizes == [1, 4]


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
    assert isinstance(neuron, node)
    assert type(neuron).__module__ == "bkdsnn.layers.fused.neurons"
    assert (neuron.step_mode, neuron.v_threshold, neuron.v_reset, neuron.detach_reset) == ("m", 0.7, 0.0, True)
    assert type(neuron.surrogate_function).__name__ == "Sigmoid"
    assert neuron.surrogate_function.alpha == 2.0


def test_a_lif_neuron_by_hand():
    neuron = make_neuron(NeuronSettings(**{**NEURON, "kind": "lif"}))
    current = torch.tensor([[1.0], [1.6], [2.0], [0.0]])  # h: 0.5; 0.5 + 0.55 = 1.05; reset: 1.0 fires; 0
    assert neuron(current).flatten().tolist() == [0, 1, 1, 0]


def test_membranes_are_at_rest_at_every_forward():
    network = make("sew_resnet", IMAGE)
    network(torch.randn(2, *IMAGE))
    nodes = [module for module in network.modules() if isinstance(module, BaseNode)]
    assert any(torch.is_tensor(node.v) and node.v.abs().sum() > 0 for node in nodes), "the state is there to leak"
    network(torch.randn(3, *IMAGE))  # another batch size would fail on the old state
