"""NeuroBench's metrics: by hand, and against the package's own numbers on the embedded students."""

import pytest
import torch
from spikingjelly.activation_based.neuron import BaseNode
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bkdsnn import plugins
from bkdsnn.evaluation import neurobench
from bkdsnn.evaluation.activity import SpikeCounter
from bkdsnn.evaluation.energy import OperationCounter


@torch.no_grad()
def operations(network: nn.Module, *inputs: torch.Tensor) -> neurobench.SynapticOperations:
    with neurobench.SynapticOperationCounter(network) as counter:
        for own in inputs:
            network(own)
    return counter.per_sample(sum(map(len, inputs)))


def test_the_footprint_is_of_parameters_and_buffers():
    assert neurobench.footprint(nn.Linear(3, 2)) == 4 * (6 + 2)
    assert neurobench.footprint(nn.BatchNorm2d(5)) == 4 * 4 * 5 + 8, "and an int64, its count of batches"


def test_connection_sparsity_is_of_weights_alone():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU())
    network[0].weight.data[0, :2], network[0].bias.data[:] = 0.0, 0.0
    assert neurobench.connection_sparsity(network) == 2 / 6
    assert neurobench.connection_sparsity(nn.ReLU()) == 0.0


def test_inputs_and_weights_of_0_make_no_operation():
    layer = nn.Linear(3, 2)
    layer.weight.data[0, 1] = 0.0
    spikes = torch.tensor([[1.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    assert operations(layer, spikes) == (0.0, (3 + 1) / 2, 6.0)
    assert operations(layer, spikes / 2) == ((3 + 1) / 2, 0.0, 6.0)
    assert operations(layer, spikes, spikes / 2) == (1.0, 1.0, 6.0), "each call is one or the other"


def test_padding_makes_no_operation():
    layer = nn.Conv2d(1, 4, 3, padding=1)
    corner = torch.zeros(1, 1, 5, 5)
    corner[0, 0, 0, 0] = 1.0
    dense = 4 * (9 * 9 + 12 * 6 + 4 * 4)  # of the output: within, at the sides, in the corners
    assert operations(layer, corner) == (0.0, 4 * 4, dense)


def test_a_sum_of_spikes_is_one_mac_here_and_so_many_accumulations_for_our_energy():
    layer, sums = nn.Conv2d(1, 2, 1, bias=False), torch.tensor([3.0, 0.0, 1.0, 2.0]).view(1, 1, 2, 2)
    with OperationCounter() as counter, torch.no_grad():
        layer(sums)
    ours, found = counter.per_sample(1), operations(layer, sums)
    assert (found.effective_macs, found.effective_acs) == (3 * 2, 0)
    assert (ours.macs, ours.synaptic_operations) == (0, 6 * 2)


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (2, 2)])
def test_operations_equal_a_convolution_with_ones(stride, groups):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, stride, padding=1, groups=groups)
    layer.weight.data *= torch.rand_like(layer.weight) < 0.7
    inputs = torch.randint(0, 3, (5, 4, 9, 8)).float()
    found = operations(layer, inputs)
    layer.bias.data[:], layer.weight.data[:] = 0.0, (layer.weight != 0).float()
    assert found.effective_macs == pytest.approx(layer((inputs != 0).float()).sum().item() / 5)


SHAPES = {"sew-digits": (1, 8, 8), "sew-dvs": (4, 2, 16, 16)}


@pytest.fixture(params=SHAPES)
def student(request, composed):
    """An embedded student, some of whose weights are 0 and whose neurons fire often, and its inputs."""
    torch.manual_seed(0)
    shape, part = SHAPES[request.param], composed("table=digits")["students"][request.param]
    module = plugins.load("network", part["network"])
    network = module.Network(module.Settings(**part["settings"]), input_shape=shape, classes=10).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data *= 3 * (torch.rand_like(layer.weight) < 0.9)
    inputs = torch.rand(12, *shape)
    return network, torch.poisson(inputs) if len(shape) == 4 else inputs


def package_numbers(network: nn.Module, inputs: torch.Tensor) -> dict:
    """What the package reports, of batches of 8."""
    pytest.importorskip("neurobench", reason="an extra: pip install neurobench")
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import TorchModel

    class Model(TorchModel):
        def __call__(self, batch):
            return self.net(batch).logits.mean(0)

    model = Model(network)
    model.add_activation_module(BaseNode)
    loader = DataLoader(TensorDataset(inputs, torch.zeros(len(inputs))), batch_size=8)
    metrics = [[Footprint, ConnectionSparsity], [ActivationSparsity, SynapticOperations]]
    return Benchmark(model, loader, [], [], metrics).run(quiet=True)


def test_the_package_itself_finds_the_same(student):
    network, inputs = student
    theirs = package_numbers(network, inputs)
    synaptic = neurobench.SynapticOperationCounter(network)
    with torch.no_grad(), SpikeCounter(network) as spikes, synaptic, OperationCounter():
        for own in inputs.split(8):
            network(own)
    ours = synaptic.per_sample(len(inputs))
    assert min(ours) > 0, "the inputs of some layers are spikes alone, of others sums of them"
    assert ours._asdict() == {
        "effective_macs": theirs["SynapticOperations"]["Effective_MACs"],
        "effective_acs": theirs["SynapticOperations"]["Effective_ACs"],
        "dense_operations": theirs["SynapticOperations"]["Dense"],
    }
    assert neurobench.footprint(network) == theirs["Footprint"]
    assert neurobench.connection_sparsity(network) == pytest.approx(theirs["ConnectionSparsity"], abs=5e-5), "4 digits"
    assert 1.0 - spikes.rates().overall == pytest.approx(theirs["ActivationSparsity"], rel=1e-12)
