"""The engine: what it refuses in one line."""

import pytest
import torch

from bkdsnn.distributed.batch_statistics import synchronise_batch_norm
from bkdsnn.distributed.device import this_device
from bkdsnn.distributed.fabric import make_fabric
from bkdsnn.errors import InputError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("BKDSNN_ACCELERATOR", "cuda")
    with pytest.raises(InputError, match="^BKDSNN_ACCELERATOR: cuda is asked for, this machine has cpu$"):
        this_device(portable=False)


def test_training_and_evaluation_take_the_same_device(monkeypatch):
    monkeypatch.setenv("BKDSNN_ACCELERATOR", "cpu")
    device = this_device(portable=False)
    assert device == torch.device("cpu")
    assert make_fabric(precision="32-true", device=device).device == torch.device("cpu")


def test_half_precision_needs_a_gpu():
    with pytest.raises(InputError, match="precision 16-mixed needs a GPU"):
        make_fabric(precision="16-mixed", device=torch.device("cpu"))


def test_a_batch_norm_of_its_own_kind_is_refused_by_several_processes():
    from timm.layers import BatchNormAct2d

    network = torch.nn.Sequential(torch.nn.Identity(), BatchNormAct2d(3))
    synchronise_batch_norm(network, processes=1, device=torch.device("cpu"))
    with pytest.raises(InputError, match="^1: the statistics of a BatchNormAct2d cannot be taken over 2 processes"):
        synchronise_batch_norm(network, processes=2, device=torch.device("cpu"))


@pytest.mark.parametrize(("device", "base"), [("cpu", "SynchronisedNorm"), ("cuda", "SyncBatchNorm")])
def test_a_synchronised_layer_keeps_its_place_names_and_tensors(device, base):
    from spikingjelly.activation_based import layer

    network = torch.nn.Sequential(layer.BatchNorm2d(3, step_mode="m"))
    before = network.state_dict(keep_vars=True)
    synchronise_batch_norm(network, processes=2, device=torch.device(device))
    after = network.state_dict(keep_vars=True)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    kinds = [kind.__name__ for kind in type(network[0]).__mro__]
    assert kinds[:3] == ["SynchronisedBatchNorm2d", "BatchNorm2d", "BatchNorm2d"]  # SpikingJelly's, torch's
    assert kinds[3] == base
