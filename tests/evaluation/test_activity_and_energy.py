"""Firing rates, operations and energy, counted by hand on networks of a few weights."""

import numpy as np
import pytest
import torch
from conftest import NEURON
from torch import nn

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.evaluation import activity, energy
from bkdsnn.layers.spiking import NeuronSettings, SpikingNetwork, make_neuron


def firing_rates(network, batches):
    with activity.SpikeCounter(network) as counter:
        activity.predictions(network, batches)
    return counter.rates()


def operations(network, batches):
    with energy.OperationCounter() as counter:
        found = activity.predictions(network, batches)
    return counter.per_sample(len(found.actual))


class Passing(SpikingNetwork):
    """Feeds its input for two steps to one IF neuron each, then to a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.neuron = make_neuron(NeuronSettings(**NEURON))
        self.convolution = nn.Conv2d(1, 3, 3, padding=1, bias=False)

    def forward(self, inputs):
        spikes = self.neuron(inputs.expand(2, *inputs.shape))  # [T, B, 1, H, W]
        maps = self.convolution(spikes.flatten(0, 1)).unflatten(0, (2, -1))
        return NetOutput(logits=maps.mean((3, 4)), features={})


def batch(inputs: torch.Tensor, labels: list[int]) -> Batch:
    return Batch(inputs=inputs, labels=torch.tensor(labels), index=None, draws=None, view=0)


def test_firing_rate_by_hand():
    inputs = torch.zeros(2, 1, 1, 2)
    inputs[0, 0, 0] = torch.tensor([1.0, 0.6])  # fires at both steps; at the second alone
    rates = firing_rates(Passing(), [batch(inputs[:1], [0]), batch(inputs[1:], [0])])
    assert rates == activity.FiringRates(
        per_layer={"neuron": 3 / 8}, overall=3 / 8
    )  # 3 spikes of 2 steps x 2 samples x 2 places


def test_operations_of_binary_spikes_by_hand():
    inputs = torch.zeros(1, 1, 4, 4)
    inputs[0, 0, 1, 1] = 1.0  # within: meets 9 weights of each of 3 channels, at 2 steps
    inputs[0, 0, 0, 3] = 1.0  # corner: meets 4
    counted = operations(Passing(), [batch(inputs, [0])])
    assert counted.macs == 0
    assert counted.synaptic_operations == 2 * 3 * (9 + 4)
    assert counted.energy_uj == pytest.approx(78 * 0.9e-6)


def test_a_sum_of_spikes_counts_as_so_many_accumulations():
    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(1, 2, 1, bias=False)
            self.head = nn.Linear(2, 5, bias=False)

        def forward(self, inputs):
            maps = self.convolution(inputs)
            return NetOutput(logits=self.head(maps.mean((2, 3)))[None], features={})

    inputs = torch.tensor([3.0, 0.0, 1.0, 2.0]).view(1, 1, 2, 2)
    counted = operations(Direct(), [batch(inputs, [0])])
    assert counted.synaptic_operations == 6 * 2
    assert counted.macs == 2 * 5, "the head sees real numbers"
    assert operations(Direct(), [batch(inputs + 0.5, [0])]).macs == 4 * 2 + 10
    more = [batch(inputs.repeat(3, 1, 1, 1), [0, 0, 0]), batch(torch.zeros_like(inputs), [0])]
    assert operations(Direct(), more).synaptic_operations == counted.synaptic_operations * 3 / 4


def test_predictions_keep_the_order():
    class Known(nn.Module):
        def forward(self, inputs):
            return NetOutput(logits=inputs[None], features={})

    batches = [batch(torch.eye(3)[[2, 0]], [2, 1]), batch(torch.eye(3)[[1]], [1])]
    found = activity.predictions(Known(), batches)
    assert np.array_equal(found.actual, [2, 1, 1])
    assert np.array_equal(found.predicted, [2, 0, 1])


def test_confidence_is_of_the_mean_over_time():
    class Known(nn.Module):
        def forward(self, inputs):
            return NetOutput(logits=torch.stack([inputs, 3 * inputs]), features={})

    found = activity.predictions(Known(), [batch(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), [1, 1])])
    assert found.confidence.dtype == np.float64
    assert found.confidence == pytest.approx([1 / (1 + np.exp(-2)), 0.5])


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [(3, 1, 1, 1, 1), (3, 2, 1, 1, 1), (1, 2, 0, 1, 1), (3, 2, 0, 2, 1), (5, 3, 2, 1, 2)],
)
def test_accumulations_equal_a_convolution_with_ones(kernel, stride, padding, dilation, groups):
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(4, 6, kernel, stride, padding, dilation=dilation, groups=groups, bias=False)

        def forward(self, inputs):
            return NetOutput(logits=self.convolution(inputs).mean((2, 3))[None], features={})

    torch.manual_seed(0)
    inputs = torch.randint(0, 4, (3, 4, 11, 10)).float()
    network = One()
    counted = operations(network, [batch(inputs, [0, 0, 0])])
    network.convolution.weight.data.fill_(1.0)
    expected = network.convolution(inputs).sum().item() / 3
    assert counted.synaptic_operations == pytest.approx(expected)
    assert counted.macs == 0
