"""Networks and neurons against numbers of the official implementation, in double precision."""

import numpy as np
import pytest
import torch
from reference_networks import SEW, SIGMOID, SPIKINGFORMER, TWIN, make_sew, make_spikingformer, neuron_of
from reference_vectors import assert_equal_to, cases, load, official_name
from spikingjelly.activation_based.neuron import BaseNode

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.evaluation import activity

EXACT = 1e-10  # of double precision
STORED = 1e-6  # of gradients that were stored as float32


def watched(network, inputs) -> tuple[NetOutput, dict[str, float]]:
    """The output, and the mean output of every neuron layer."""
    rates: dict[str, float] = {}
    neurons = {name: module for name, module in network.named_modules() if isinstance(module, BaseNode)}
    hooks = [
        module.register_forward_hook(lambda _m, _i, spikes, name=name: rates.update({name: spikes.mean().item()}))
        for name, module in neurons.items()
    ]
    output = network(inputs)
    for hook in hooks:
        hook.remove()
    return output, rates


def assert_rates(name: str, rates: dict[str, float], modules: dict[str, str], content: dict, mode: str) -> None:
    found = {modules[key]: rate for key, rate in rates.items()}
    official = dict(zip(content[f"{mode}.layer_names"].tolist(), content[f"{mode}.mean_firing_rate"], strict=True))
    assert found.keys() == official.keys()
    for key, rate in official.items():
        assert_equal_to(name, torch.tensor(found[key]).double(), rate, within=EXACT)


@pytest.fixture(params=[("spikingformer_cifar_small", (2, 3)), ("spikingformer_imagenet_small", (0, 1, 2, 3))])
def former(request):
    name, pools = request.param
    content = load(name)
    return name, content, make_spikingformer(content, pools)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_spikingformer_logits_features_and_firing_rates(former, mode):
    name, content, network = former
    output, rates = watched(network.train(mode == "train"), torch.from_numpy(content["x"]).double())
    last = output.features["last"]
    for ours, theirs in (
        (output.logits.mean(0), "logits"),
        (last.mean(0), "feature_time_mean"),
        (last, "last_block_output_per_step"),
        (last.mean(dim=(3, 4)), "pooled_per_step"),
    ):
        assert_equal_to(name, ours, content[f"{mode}.f64.{theirs}"], within=EXACT)
    assert_rates(name, rates, SPIKINGFORMER, content, mode)


def test_spikingformer_gradients(former):
    name, content, network = former
    inputs = torch.from_numpy(content["x"]).double().requires_grad_()
    logits = network.train()(inputs).logits.mean(0)
    (logits * torch.from_numpy(content["upstream_grad_logits"]).double()).sum().backward()
    assert_equal_to(name, inputs.grad, content["train.f64.grad_x"], within=EXACT)
    seen = set()
    for key, parameter in network.named_parameters():
        theirs = official_name(key, SPIKINGFORMER)
        gradient = content[f"train.f64.grad.{theirs}"]
        assert_equal_to(name, parameter.grad, gradient.reshape(parameter.shape), within=STORED)
        seen.add(theirs)
    official = {key.removeprefix("sd.") for key in content if key.startswith("sd.")}
    unused = set(content["train.parameters_without_gradient"].tolist())
    buffers = {key for key in official if key.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert official - buffers - seen == unused, "but for the LayerNorms that are never used, nothing is left out"


def test_spikingformer_running_statistics(former):
    """We differ from the official code in one buffer, on purpose.

    It repeats an image T times before the first convolution, we convolve once. Mean and variance of the batch are the
    same; the running variance of the first batch norm, which torch scales by n / (n - 1), is over B*H*W values, not
    T*B*H*W.
    """
    name, content, network = former
    inputs = torch.from_numpy(content["x"]).double()
    network.train()(inputs)
    values = inputs.shape[0] * inputs.shape[2] * inputs.shape[3]
    steps = network.time_steps
    for key, buffer in network.named_buffers():
        if key.endswith(("running_mean", "running_var")):
            theirs = official_name(key, SPIKINGFORMER)
            after, before = content[f"train.f64.buffers_after.{theirs}"], content[f"sd.{theirs}"].astype(np.float64)
            if key == "stem.2.running_var":
                batch = (after - 0.9 * before) / 0.1 * (steps * values - 1) / (steps * values)
                after = 0.9 * before + 0.1 * batch * values / (values - 1)
            assert_equal_to(name, buffer, after, within=EXACT)


def test_no_membrane_leaks_as_it_does_in_the_official_return_inter():
    """The official CIFAR class runs each attention twice without a reset when it is asked for features."""
    content = load("spikingformer_cifar_small")
    network = make_spikingformer(content, (2, 3)).eval()
    inputs = torch.from_numpy(content["x"]).double()
    for _ in range(2):
        assert_equal_to("spikingformer_cifar_small", network(inputs).logits.mean(0), content["eval.f64.logits"])
    assert np.abs(content["return_inter.eval.f64.logits"] - content["eval.f64.logits"]).max() > 0.1


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_sew_resnet_logits_features_and_firing_rates(mode):
    name = "sew_resnet_dvs"
    content = load(name)
    network = make_sew(content, SIGMOID).train(mode == "train")
    output, rates = watched(network, torch.from_numpy(content["frames"]).double())
    assert_equal_to(name, output.logits.mean(0), content[f"{mode}.f64.logits"], within=EXACT)
    for number in range(16):
        feature = output.features[f"layer{number}"].mean(0)
        assert list(feature.shape) == content[f"{mode}.feature_shapes"][number].tolist()
        assert_equal_to(name, feature.mean(), content[f"{mode}.f64.feature_mean"][number], within=EXACT)
        assert_equal_to(name, feature.max(), content[f"{mode}.f64.feature_max"][number], within=EXACT)
        if number >= 9:
            assert_equal_to(name, feature, content[f"{mode}.f64.feature{number:02d}"], within=EXACT)
    assert output.features["last"] is output.features["layer14"]
    assert_rates(name, rates, SEW, content, mode)


@pytest.mark.parametrize(
    ("name", "neuron", "grads"),
    [
        ("sew_resnet_dvs", SIGMOID, "train.f64"),
        ("sew_resnet_dvs", {"surrogate": "atan", "surrogate_alpha": 2.0}, "train.f64.atan2"),
        ("sew_resnet_dvs_ann", None, "train.f64"),
    ],
    ids=["sigmoid", "atan", "relu-twin"],
)
def test_sew_resnet_gradients_and_running_statistics(name, neuron, grads):
    content = load(name)
    network, modules = make_sew(content, neuron).train(), SEW if neuron else TWIN
    logits = network(torch.from_numpy(content["frames"]).double()).logits.mean(0)
    assert_equal_to(name, logits, content["train.f64.logits"], within=EXACT)
    (logits * torch.from_numpy(content["upstream_grad_logits"]).double()).sum().backward()
    ours = {official_name(key, modules): parameter for key, parameter in network.named_parameters()}
    theirs = content["train.f64.grad_names"].tolist()
    assert ours.keys() == set(theirs)
    norms = torch.stack([ours[key].grad.norm() for key in theirs])
    sums = torch.stack([ours[key].grad.sum() for key in theirs])
    assert_equal_to(name, norms, content[f"{grads}.grad_norms"], within=EXACT)
    assert_equal_to(name, sums, content[f"{grads}.grad_sums"], within=EXACT)
    stored = {key.removeprefix(f"{grads}.grad.") for key in content if key.startswith(f"{grads}.grad.")}
    assert stored
    for key in stored:
        gradient = content[f"{grads}.grad.{key}"]
        assert_equal_to(name, ours[key].grad, gradient.reshape(ours[key].shape), within=STORED)
    for key, buffer in network.named_buffers():
        if key.endswith(("running_mean", "running_var")):
            after = content[f"train.f64.buffers_after.{official_name(key, modules)}"]
            assert_equal_to(name, buffer, after, within=EXACT)


def test_the_relu_twin_in_eval_mode():
    content = load("sew_resnet_dvs_ann")
    output = make_sew(content, None).eval()(torch.from_numpy(content["frames"]).double())
    assert_equal_to("sew_resnet_dvs_ann", output.logits.mean(0), content["eval.f64.logits"], within=EXACT)


def test_the_evaluation_reports_the_official_firing_rates():
    name = "sew_resnet_dvs"
    content = load(name)
    inputs = torch.from_numpy(content["frames"]).double()
    empty = torch.zeros(len(inputs), dtype=torch.int64)
    batch = Batch(inputs=inputs, labels=empty, index=empty, draws=empty, view=0)
    network = make_sew(content, SIGMOID)
    with activity.SpikeCounter(network) as counter:
        activity.predictions(network, [batch])
    assert_rates(name, counter.rates().per_layer, SEW, content, "eval")


def _named(case: dict) -> str:
    return f"{case['kind']}-{case['surrogate']}-T{case['T']}-{case['v_threshold']}"


NEURONS = cases("neurons")


@pytest.mark.parametrize("case", NEURONS, ids=_named)
def test_neuron_spikes_membrane_and_gradients(case):
    neuron = neuron_of(case)
    neuron.store_v_seq = True
    current = torch.from_numpy(case["x"]).double().requires_grad_()
    spikes = neuron(current)
    assert np.array_equal(spikes.detach().numpy(), case["spikes"])
    assert_equal_to("neurons", neuron.v_seq, case["f64.v_after_reset"], within=EXACT)
    (spikes * torch.from_numpy(case["upstream_grad"]).double()).sum().backward()
    assert_equal_to("neurons", current.grad, case["f64.grad_x"], within=EXACT)
    if "f64.grad_w" in case:
        assert_equal_to("neurons", neuron.w.grad, case["f64.grad_w"], within=EXACT)


@pytest.mark.parametrize("case", [case for case in NEURONS if "x_second_call" in case], ids=_named)
def test_a_neuron_that_is_not_reset_goes_on_with_its_membrane(case):
    neuron = neuron_of(case).float()
    first, second = (torch.from_numpy(case[name]).requires_grad_() for name in ("x", "x_second_call"))
    loss = (neuron(first) * torch.from_numpy(case["upstream_grad"])).sum()
    spikes = neuron(second)
    assert np.array_equal(spikes.detach().numpy(), case["two_calls.spikes_second"])
    loss = loss + (spikes * torch.from_numpy(case["upstream_grad_second_call"])).sum()
    loss.backward()
    assert_equal_to("neurons", first.grad, case["two_calls.grad_x_first"])
    assert_equal_to("neurons", second.grad, case["two_calls.grad_x_second"])
