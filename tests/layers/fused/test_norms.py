"""Batch norm with the neuron or the max-pooling behind it against SpikingJelly's layers, one after the other."""

import copy

import pytest
import torch
from operators import JOINED, graph
from spikingjelly.activation_based import functional, layer, surrogate
from torch import nn

from bkdsnn.layers.fused import neurons
from bkdsnn.layers.fused.batch_norms import make_exact
from bkdsnn.layers.fused.memory import channels_last, gradient_channels_last
from bkdsnn.layers.fused.norms import fuse_norms

KINDS = {"IFNode": {}, "LIFNode": {"tau": 1.7}, "ParametricLIFNode": {"init_tau": 1.7}}
WINDOWS = [(3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 0), (4, 2, 1)]  # kernel, stride, padding


NORMS = {
    "batch norm": layer.BatchNorm2d,
    "tdBN": lambda channels: layer.ThresholdDependentBatchNorm2d(0.7, 1.5, num_features=channels),
}


def norm_of(channels: int, kind: str = "batch norm") -> nn.Module:
    norm = NORMS[kind](channels)
    norm.step_mode = "m"
    nn.init.uniform_(norm.weight, -1.0, 2.0)
    nn.init.normal_(norm.bias)
    return norm


def neuron_of(kind: str, *, detach_reset: bool = True, **settings) -> nn.Module:
    function = surrogate.ATan(alpha=2.0) if kind == "ParametricLIFNode" else surrogate.Sigmoid(alpha=4.0)
    neuron = getattr(neurons, kind)(
        **KINDS[kind],
        **settings,
        v_reset=0.1,
        detach_reset=detach_reset,
        surrogate_function=function,
        step_mode="m",
    )
    neuron.remembers = False
    return neuron


def pair(*layers: nn.Module, dtype: torch.dtype = torch.float64) -> list[nn.Module]:
    """The layers one after another, and as one operator."""
    plain = nn.Sequential(*layers).to(dtype)
    ours = copy.deepcopy(plain)
    make_exact(ours)
    fuse_norms(ours)
    for module in ours.modules():
        module.register_forward_hook(gradient_channels_last)  # as `apply_speed` does
    assert list(ours.state_dict()) == list(plain.state_dict())
    return [plain, ours]


def results(network: nn.Module, x: torch.Tensor, *, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """Output, gradients and buffers of one training step, by name."""
    x = x.detach().requires_grad_()
    output = network(x)
    torch.manual_seed(7)
    output.backward(scale * torch.randn(output.shape, dtype=torch.float64).to(output.dtype))
    for module in network.modules():
        if isinstance(module, neurons.Fused):
            module.reset()
    gradients = {f"gradient of {name}": value.grad for name, value in network.named_parameters()}
    return {"output": output.detach(), "gradient of x": x.grad, **gradients, **dict(network.named_buffers())}


def assert_close(ours: dict, theirs: dict, *, within: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert (ours[name] - value).abs().max() <= within * max(1.0, value.abs().max()), name


def is_one_operator(output: torch.Tensor) -> bool:
    return output.grad_fn.name() in JOINED


@pytest.mark.parametrize("channels", [1, 7, 64, 700, 1100])
@pytest.mark.parametrize("kind", KINDS)
def test_norm_and_neuron(kind, channels):
    torch.manual_seed(0)
    plain, ours = pair(norm_of(channels), neuron_of(kind))
    for _ in range(2):  # the second step moves the running statistics on
        x = channels_last(3 * torch.randn(4, 2, channels, 5, 6, dtype=torch.float64) + 2)
        assert_close(results(ours, x), results(plain, x), within=1e-12)
    assert is_one_operator(ours(x))


@pytest.mark.parametrize("follower", [*KINDS, "pool"])
def test_threshold_dependent_norm(follower):
    torch.manual_seed(0)
    behind = layer.MaxPool2d(2, 2, step_mode="m") if follower == "pool" else neuron_of(follower)
    plain, ours = pair(norm_of(12, "tdBN"), behind)
    x = channels_last(3 * torch.randn(3, 2, 12, 6, 6, dtype=torch.float64) + 2)
    assert_close(results(ours, x), results(plain, x), within=1e-12)
    assert is_one_operator(ours(x))


@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize("kind", ["LIFNode", "ParametricLIFNode"])
def test_norm_and_neuron_whose_decay_spares_the_input(kind, detach_reset):
    torch.manual_seed(0)
    plain, ours = pair(norm_of(12), neuron_of(kind, decay_input=False, detach_reset=detach_reset))
    x = channels_last(3 * torch.randn(4, 2, 12, 6, 6, dtype=torch.float64) + 2)
    assert_close(results(ours, x), results(plain, x), within=1e-12)
    assert is_one_operator(ours(x))


@pytest.mark.parametrize("channels", [1, 7, 700])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_norm_and_pool(window, channels):
    torch.manual_seed(0)
    plain, ours = pair(norm_of(channels), layer.MaxPool2d(*window, step_mode="m"))
    for _ in range(2):
        x = channels_last(3 * torch.randn(3, 2, channels, 7, 10, dtype=torch.float64) + 2)
        assert_close(results(ours, x), results(plain, x), within=1e-12)
    assert is_one_operator(ours(x))


FOLLOWERS = {"plif": lambda: neuron_of("ParametricLIFNode"), "pool": lambda: layer.MaxPool2d(3, 2, 1, step_mode="m")}


@pytest.mark.parametrize("follower", FOLLOWERS)
@pytest.mark.parametrize("shape", [(1, 3, 6, 5, 5), (3, 1, 6, 5, 5), (3, 2, 6, 1, 1)], ids=str)
def test_one_step_one_sample_one_pixel(follower, shape):
    torch.manual_seed(0)
    plain, ours = pair(norm_of(6), FOLLOWERS[follower]())
    x = channels_last(torch.randn(shape, dtype=torch.float64))
    assert_close(results(ours, x), results(plain, x), within=1e-12)
    assert is_one_operator(ours(x))


@pytest.mark.parametrize("follower", FOLLOWERS)
def test_what_is_no_number_stays_so_in_its_channel_and_in_no_other(follower):
    torch.manual_seed(0)
    plain, ours = pair(norm_of(6), FOLLOWERS[follower]())
    x = channels_last(torch.randn(3, 2, 6, 5, 5, dtype=torch.float64))
    x[1, 0, 2, 3, 3] = float("nan")
    assert is_one_operator(ours(x))
    plain(x)
    expected, found = results(plain, x), results(ours, x)
    for name, value in expected.items():
        assert torch.equal(found[name].isnan(), value.isnan()), name
        assert (found[name] - value).nan_to_num().abs().max() <= 1e-12 * max(1.0, value.nan_to_num().abs().max()), name
    assert found["gradient of x"].isnan().sum() == 3 * 2 * 5 * 5


@pytest.mark.parametrize("follower", FOLLOWERS)
def test_weights_that_do_not_learn(follower):
    torch.manual_seed(0)
    plain, ours = pair(norm_of(6), FOLLOWERS[follower]())
    x = channels_last(torch.randn(3, 2, 6, 5, 5, dtype=torch.float64)).requires_grad_()
    gradients = []
    for network in (plain, ours):
        network[0].requires_grad_(False)
        assert is_one_operator(network(x)) == (network is ours)
        gradients.append(torch.autograd.grad(network(x).square().sum(), x)[0])
        assert network[0].weight.grad is None
    assert (gradients[1] - gradients[0]).abs().max() <= 1e-12


def test_the_first_of_equal_maxima_gets_the_gradient():
    plain, ours = pair(norm_of(8), layer.MaxPool2d(3, 2, 1, step_mode="m"))
    x = channels_last(torch.randint(0, 3, (2, 2, 8, 9, 9)).double())
    assert_close(results(ours, x), results(plain, x), within=1e-12)
    assert is_one_operator(ours(x))


@pytest.mark.parametrize(
    "follower", [neuron_of("LIFNode"), layer.MaxPool2d(3, 2, 1, step_mode="m")], ids=["lif", "pool"]
)
def test_single_precision_is_as_near_to_double_as_the_separate_layers(follower):
    """The statistics of values far from 0 too: mean 30, standard deviation 1."""
    torch.manual_seed(0)
    double, _ = pair(norm_of(48), follower)
    x = channels_last(torch.randn(4, 8, 48, 16, 16) + 30)
    plain, ours = pair(*copy.deepcopy(double), dtype=torch.float32)
    assert is_one_operator(ours(x))
    plain(x), double(x.double())
    expected, separate, found = results(double, x.double()), results(plain, x), results(ours, x)
    for name, value in expected.items():
        if name == "output" and isinstance(follower, neurons.Fused):  # a current at the threshold may round either way
            assert (found[name] == value).double().mean() > 0.99999
        else:
            error, theirs = ((result[name] - value).abs().double().mean() for result in (found, separate))
            assert error <= 1.5 * theirs + 1e-7 * value.abs().max(), name


def test_bfloat16_is_computed_in_single_precision():
    """Of the same numbers: spikes are the same, the gradient differs in its own rounding."""
    torch.manual_seed(0)
    x = channels_last(torch.randn(4, 4, 48, 8, 8).bfloat16())
    single, half = (pair(norm_of(48), neuron_of("LIFNode"), dtype=torch.float32)[1] for _ in range(2))
    half.load_state_dict(single.state_dict())
    expected, found = results(single, x.float(), scale=2.0**-8), results(half, x, scale=2.0**-8)
    assert found["output"].dtype == found["gradient of x"].dtype == torch.bfloat16
    assert torch.equal(found["output"].float(), expected["output"])
    assert torch.equal(found["0.running_var"], expected["0.running_var"])
    assert (found["gradient of x"] - expected["gradient of x"]).abs().max() <= 0.02 * expected[
        "gradient of x"
    ].abs().max()


@pytest.mark.parametrize(
    "follower", [neuron_of("ParametricLIFNode"), layer.MaxPool2d(3, 2, 1, step_mode="m")], ids=["plif", "pool"]
)
def test_the_bytes_do_not_depend_on_the_number_of_threads(follower):
    torch.manual_seed(0)
    x = channels_last(torch.randn(4, 4, 96, 16, 16))
    network = nn.Sequential(norm_of(96), follower)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            _, ours = pair(*copy.deepcopy(network), dtype=torch.float32)
            found.append(results(ours, x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_one_operator_through_nested_sequentials_and_with_layers_used_twice():
    torch.manual_seed(0)
    norm, neuron = norm_of(4), neuron_of("LIFNode")
    plain, ours = pair(nn.Sequential(nn.Identity(), norm), nn.Sequential(neuron, norm), norm, neuron)
    x = channels_last(torch.randn(3, 2, 4, 5, 5, dtype=torch.float64))
    neuron.reset()
    names = graph(ours(x))
    assert names.count("NormAndNeuronBackward") == 2
    plain(x)
    for network in (plain, ours):
        functional.reset_net(network)
    assert_close(results(ours, x), results(plain, x), within=1e-12)
    called = []
    for module in ours[0]:
        module.register_forward_hook(lambda module, _i, _o: called.append(type(module).__name__))
    results(ours, x)
    assert called == ["Identity", "BatchNorm2d", "BatchNorm2d", "BatchNorm2d"]


def _after(module, seen) -> None:
    module.register_forward_hook(lambda *_: seen.append("called"))


def _before(module, seen) -> None:
    module.register_forward_pre_hook(lambda *_: seen.append("called"))


def _backward(module, seen) -> None:
    module.register_full_backward_hook(lambda *_: seen.append("called"))


def _before_backward(module, seen) -> None:
    module.register_full_backward_pre_hook(lambda *_: seen.append("called"))


def _replaced(module, seen) -> None:
    forward = module.forward
    module.forward = lambda x: seen.append("called") or forward(x)


@pytest.mark.parametrize("watched", [0, 1])
@pytest.mark.parametrize("how", [_after, _before, _backward, _before_backward, _replaced])
def test_a_layer_that_is_watched_is_called(how, watched):
    torch.manual_seed(0)
    plain, ours = pair(norm_of(4), neuron_of("IFNode"))
    x = channels_last(torch.randn(3, 2, 4, 5, 5, dtype=torch.float64))
    seen = []
    how(ours[watched], seen)
    assert_close(results(ours, x), results(plain, x), within=1e-12)
    assert seen == ["called"]


def test_a_hook_on_all_modules_sees_every_layer():
    _, ours = pair(norm_of(4), neuron_of("IFNode"))
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module).__name__))
    try:
        ours(channels_last(torch.randn(3, 2, 4, 5, 5, dtype=torch.float64)))
    finally:
        handle.remove()
    assert [name for name in seen if name in ("BatchNorm2d", "IFNode")] == ["BatchNorm2d", "IFNode"]


@pytest.mark.parametrize("follower", FOLLOWERS)
def test_saved_tensors_may_come_back_in_another_layout(follower):
    """As those hooks return them that keep them elsewhere meanwhile."""
    torch.manual_seed(0)
    plain, ours = pair(norm_of(6), FOLLOWERS[follower]())
    x = channels_last(torch.randn(3, 2, 6, 5, 5, dtype=torch.float64))
    expected = results(plain, x)

    def pack(saved: torch.Tensor) -> torch.Tensor:
        return saved.detach().clone(memory_format=torch.contiguous_format)

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        assert_close(results(ours, x), expected, within=1e-12)


@pytest.mark.parametrize("follower", FOLLOWERS)
def test_a_second_derivative_is_refused(follower):
    _, ours = pair(norm_of(6), FOLLOWERS[follower]())
    x = channels_last(torch.randn(3, 2, 6, 5, 5, dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(ours(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("window", [(2, 2, 2), (7, 2, 0)], ids=["padding", "size"])
def test_a_window_that_torch_refuses_is_refused(window):
    _, ours = pair(norm_of(6), layer.MaxPool2d(*window, step_mode="m"))
    with pytest.raises(RuntimeError):
        ours(channels_last(torch.randn(3, 2, 6, 5, 5, dtype=torch.float64)))


def test_a_copy_runs_its_own_layers():
    """As an export or an average of weights makes it."""
    torch.manual_seed(0)
    _, ours = pair(norm_of(4), neuron_of("LIFNode"))
    x = channels_last(torch.randn(2, 2, 4, 3, 3, dtype=torch.float64))
    before = ours[0].running_mean.clone()
    assert is_one_operator(copy.deepcopy(ours)(x))
    assert torch.equal(ours[0].running_mean, before)


def _evaluated(network, x):
    network.eval()
    return x


def _of_another_class(network, x):
    """As `synchronise_batch_norm` makes it."""
    network[0].__class__ = type("SynchronisedBatchNorm2d", (layer.BatchNorm2d,), {})
    return x


def _channels_first(_network, x):
    return x.contiguous()


def _cumulative(network, x):
    network[0].momentum = None
    return x


def _remembering(network, x):
    network[1].remembers = True
    return x


def _single_step(network, x):
    network[1].step_mode = "s"
    return x


def _one_sample_for_all(_network, x):
    """Of one channel: then only the batch's stride tells."""
    return x[:, :1].expand(x.shape)


@pytest.mark.parametrize(
    "case",
    [_evaluated, _of_another_class, _channels_first, _cumulative, _remembering, _single_step, _one_sample_for_all],
)
def test_what_the_operator_does_not_do_is_left_to_the_layers(case):
    torch.manual_seed(0)
    channels = 1 if case is _one_sample_for_all else 6
    plain, ours = pair(norm_of(channels), neuron_of("LIFNode"))
    x = channels_last(torch.randn(3, 2, channels, 5, 5, dtype=torch.float64))
    inputs = [case(network, x) for network in (plain, ours)]
    assert_close(results(ours, inputs[1]), results(plain, inputs[0]), within=1e-14)
    assert not is_one_operator(ours(inputs[1]))
