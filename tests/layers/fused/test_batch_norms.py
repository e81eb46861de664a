"""Batch norms by themselves, and their statistics against float64 at sizes where a sum in single precision fails."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from conftest import NEURON
from operators import graph
from spikingjelly.activation_based import layer
from torch import nn

from bkdsnn.layers.fused.batch_norms import make_exact
from bkdsnn.layers.fused.memory import channels_last
from bkdsnn.layers.fused.norm_operators import Norm
from bkdsnn.layers.fused.switch import apply_speed
from bkdsnn.layers.spiking import NeuronSettings
from bkdsnn.networks import resnet, sew_resnet
from bkdsnn.params.recipe import Speed

SPEED = Speed(channels_last=True, fused_neurons=True, compile=False)
LAYOUTS = {"channels_last": channels_last, "channels_first": torch.Tensor.contiguous}
KINDS = {
    "multi-step": lambda channels, **options: layer.BatchNorm2d(channels, **options, step_mode="m"),
    "tdBN": lambda channels, **options: layer.ThresholdDependentBatchNorm2d(0.7, 1.5, num_features=channels, **options),
    "plain": nn.BatchNorm2d,
}


def pair(kind: str, channels: int, *, dtype: torch.dtype = torch.float64, **options) -> list[nn.Module]:
    """A norm of torch or SpikingJelly, and the same with exact statistics."""
    plain = KINDS[kind](channels, **options)
    if plain.affine:
        nn.init.uniform_(plain.weight, 0.5, 2.0)
        nn.init.normal_(plain.bias)
    plain.to(dtype)
    ours = copy.deepcopy(plain)
    make_exact(ours)
    assert list(ours.state_dict()) == list(plain.state_dict())
    return [plain, ours]


def maps(kind: str, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """`[T, B, C, H, W]`, or `[B, C, H, W]` for a plain norm."""
    x = channels_last(3 * torch.randn(shape, dtype=dtype) + 2)
    return x.flatten(0, 1) if kind == "plain" else x


def events(kind: str, dtype: torch.dtype) -> torch.Tensor:
    """Frames of sparse counts: float32 sums of their squares, one by one, are off by more than 1e-4."""
    torch.manual_seed(0)
    x = 3 * (torch.rand(4, 32, 32, 16, 16) < 0.02).to(dtype)
    return x.flatten(0, 1) if kind == "plain" else x


def results(norm: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, gradients and buffers of one training step, by name."""
    norm.zero_grad()
    x = x.detach().requires_grad_()
    output = norm(x)
    torch.manual_seed(7)
    output.backward((torch.rand(output.shape) - 0.3).bfloat16().to(output.dtype))  # the same in all precisions
    gradients = {f"gradient of {name}": value.grad for name, value in norm.named_parameters()}
    buffers = {name: value.clone() for name, value in norm.named_buffers()}
    return {"output": output.detach(), "gradient of x": x.grad, **gradients, **buffers}


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    found, exact = found.detach().double(), exact.detach()
    return float((found - exact).abs().max() / exact.abs().max().clamp(min=1e-30))


def assert_close(ours: dict, theirs: dict, *, within: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert error(ours[name], value) <= within, name


def is_our_operator(output: torch.Tensor) -> bool:
    return "NormBackward" in graph(output)


def with_threads(count: int, function):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        return function()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_norm_is_exact_where_a_sum_in_single_precision_fails(kind, dtype, layout):
    """And equal to the byte with 1 and 2 threads; what bfloat16 stores is as exact as that."""
    x = LAYOUTS[layout](events(kind, dtype))
    _, ours = pair(kind, 32, dtype=torch.float32, momentum=1.0)
    double = copy.deepcopy(ours).double()
    exact = results(double, x.double().contiguous())
    one, two = (with_threads(count, lambda: results(copy.deepcopy(ours), x)) for count in (1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name, value in exact.items():
        stored = one[name].dtype
        assert error(one[name], value) <= (1e-6 if stored != torch.bfloat16 else 2**-8), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 2])
def test_mean_and_variance_are_right_to_a_rounding_in_single_precision(threads, dtype):
    counts = channels_last(events("plain", dtype))
    far = channels_last((torch.randn(128, 32, 16, 16) + 5).to(dtype))
    for x in (counts, far):
        weight, bias = torch.ones(32), torch.zeros(32)
        _, *found = with_threads(threads, lambda x=x, w=weight, b=bias: Norm.apply(x, w, b, 1e-5))
        exact = reversed(torch.var_mean(x.double(), (0, 2, 3), correction=0))
        for ours, value in zip(found, exact, strict=True):
            assert ((ours - value).abs() / value).max() <= 1e-7


@pytest.mark.parametrize("channels", [1, 7, 64, 1100])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_norm_by_itself_is_torchs(kind, layout, channels):
    torch.manual_seed(0)
    plain, ours = pair(kind, channels)
    for _ in range(2):  # the second step moves the running statistics on
        x = LAYOUTS[layout](maps(kind, 3, 2, channels, 5, 6))
        assert_close(results(ours, x), results(plain, x), within=1e-12)
    assert is_our_operator(ours(x)) == (layout == "channels_last" or channels == 1)


@pytest.mark.parametrize("kind", KINDS)
def test_any_layout_of_x_and_of_the_gradient(kind):
    torch.manual_seed(0)
    plain, ours = pair(kind, 6)
    x = maps(kind, 3, 2, 6, 5, 8)
    layouts = [
        x.transpose(-1, -2),
        x[..., ::2],
        x[:1].expand(x.shape),
        x.transpose(0, 1) if x.dim() == 5 else x.flip(0),
    ]
    for other in layouts:
        assert_close(results(ours, other), results(plain, other), within=1e-12)
    gradients = []
    for norm in (plain, ours):
        leaf = x.clone().requires_grad_()
        (norm(leaf).mean(dim=(-1, -2)) ** 2).sum().backward()  # an expanded gradient
        gradients.append(leaf.grad)
    assert error(gradients[1], gradients[0]) <= 1e-12


@pytest.mark.parametrize("options", [{"momentum": None}, {"affine": False}, {"track_running_stats": False}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_the_operator_does_not_do_is_left_to_torch_and_is_exact(options, dtype):
    x = channels_last(events("plain", dtype))
    _, ours = pair("plain", 32, dtype=torch.float32, **options)
    exact, found = results(copy.deepcopy(ours).double(), x.double().contiguous()), results(ours, x)
    assert not is_our_operator(ours(x.clone().requires_grad_()))
    for name, value in exact.items():
        assert error(found[name], value) <= (1e-6 if found[name].dtype != torch.bfloat16 else 2**-8), name


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_torchs_to_the_byte(kind):
    plain, ours = (norm.float().eval() for norm in pair(kind, 6))
    x = maps(kind, 3, 2, 6, 5, 5, dtype=torch.float32)
    assert torch.equal(ours(x), plain(x))
    assert ours.num_batches_tracked == 0


@pytest.mark.parametrize("shape", [(1, 1, 6, 1, 1), (2, 2, 5, 3, 3)], ids=str)
def test_what_torch_refuses_is_refused(shape):
    """One value per channel, other channels."""
    _, ours = pair("multi-step", 6)
    with pytest.raises((ValueError, RuntimeError)):
        ours(channels_last(torch.randn(shape, dtype=torch.float64)))


def test_what_is_no_number_stays_so_in_its_channel_and_in_no_other():
    torch.manual_seed(0)
    plain, ours = pair("plain", 6)
    x = maps("plain", 3, 2, 6, 5, 5)
    x[1, 2, 3, 3] = float("nan")
    expected, found = results(plain, x), results(ours, x)
    for name, value in expected.items():
        assert torch.equal(found[name].isnan(), value.isnan()), name
    assert found["gradient of x"].isnan().sum() == 6 * 5 * 5


def test_a_copy_and_what_was_pickled_normalise_alike_and_by_themselves():
    torch.manual_seed(0)
    settings = resnet.Settings(widths=[4, 6], blocks=[1, 1], stem_stride=1)
    network = resnet.Network(settings, input_shape=(3, 8, 8), classes=5)
    apply_speed(network, SPEED)
    inputs, before = torch.randn(4, 3, 8, 8), network.stem[1].running_mean.clone()
    others = [copy.deepcopy(network), pickle.loads(pickle.dumps(network))]
    outputs = [other(inputs).logits for other in others]
    assert torch.equal(network.stem[1].running_mean, before)
    assert graph(outputs[0]).count("NormBackward") == 6
    assert all(torch.equal(output, network(inputs).logits) for output in outputs)


def test_nothing_holds_a_graph_that_nobody_needs():
    _, ours = pair("multi-step", 6)
    gc.disable()
    try:
        output = ours(maps("multi-step", 3, 2, 6, 5, 5).requires_grad_())
        node = weakref.ref(output.grad_fn.next_functions[0][0])
        assert node() is not None
        del output
        assert node() is None
    finally:
        gc.enable()


def test_a_norm_that_is_watched_is_called_and_is_exact():
    x = channels_last(events("multi-step", torch.float32))
    _, ours = pair("multi-step", 32, dtype=torch.float32, momentum=1.0)
    called = []
    ours.register_forward_hook(lambda *_: called.append("after"))
    ours.register_full_backward_hook(lambda *_: called.append("backward"))
    exact = results(copy.deepcopy(ours).double(), x.double().contiguous())
    called.clear()
    found = results(ours, x)
    assert called == ["after", "backward"]
    assert_close(found, exact, within=1e-6)


def test_spikes_behind_a_stem_are_those_of_exact_currents():
    """16 event frames of 128 x 128: torch's own statistics change 193 spikes with one thread, 77 with two."""
    torch.manual_seed(0)
    neuron = NeuronSettings(**NEURON)
    settings = sew_resnet.Settings(time_steps=4, widths=[32], blocks=[1], stem_stride=1, neuron=neuron)
    network = sew_resnet.Network(settings, input_shape=(4, 2, 128, 128), classes=5)
    apply_speed(network, SPEED)
    convolved, spikes = [], []
    network.stem[0].register_forward_hook(lambda *found: convolved.append(found[2]))
    network.stem_neuron.register_forward_hook(lambda *found: spikes.append(found[2]))
    with torch.no_grad():
        network.stages = nn.ModuleList()  # the stem alone
        network((torch.rand(4, 4, 2, 128, 128) < 0.02).float())
        network.stem_neuron.reset()
        exact = nn.BatchNorm2d(32).double()(convolved[0].double().contiguous().flatten(0, 1)).float()
        expected = network.stem_neuron(exact.unflatten(0, (4, 4)))
    assert 0.01 < expected.mean() < 0.5
    assert (spikes[0] != expected).sum() <= 4  # currents within a rounding of the threshold


@pytest.mark.parametrize("channels_last_", [True, False])
def test_every_norm_of_a_teacher_is_exact(channels_last_):
    torch.manual_seed(0)
    settings = resnet.Settings(widths=[16], blocks=[1], stem_stride=1)
    network = resnet.Network(settings, input_shape=(1, 32, 32), classes=5)
    apply_speed(network, SPEED.model_copy(update={"channels_last": channels_last_}))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    errors = []

    def compare(norm: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        exact = nn.BatchNorm2d(16).double()(inputs[0].double().contiguous())
        errors.append(error(output, exact))

    for norm in norms:
        norm.register_forward_hook(compare)
    network((torch.rand(64, 1, 32, 32) < 0.02).float() * 3)
    assert len(errors) == 3
    assert max(errors) < 1e-6
