"""The fused neurons against SpikingJelly's, and against numbers of the official implementation."""

import itertools
import os
import re
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from reference_networks import neuron_of
from reference_vectors import assert_equal_to, cases
from spikingjelly.activation_based import neuron as spikingjelly
from spikingjelly.activation_based import surrogate
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from bkdsnn.layers.fused import neuron_kernels as kernels
from bkdsnn.layers.fused import neurons as fused
from bkdsnn.layers.fused import norm_kernels
from bkdsnn.layers.fused.memory import channels_last, parallel
from bkdsnn.layers.fused.numbers import BLOCK

SURROGATES = {"sigmoid": surrogate.Sigmoid(alpha=4.0), "atan": surrogate.ATan(alpha=2.0)}
KINDS = {"IFNode": {}, "LIFNode": {"tau": 1.7}, "ParametricLIFNode": {"init_tau": 1.7}}
LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": channels_last,
    "with gaps": lambda x: torch.cat([x, x], dim=-1)[..., ::2],
    "transposed": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "expanded": lambda x: x[:1].expand(x.shape),
}
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MANY = [
    (kind, surrogate, detach, decay)
    for kind, surrogate, detach, decay in itertools.product(KINDS, SURROGATES, (True, False), (True, False))
    if decay or kind != "IFNode"
]


def pair(kind: str, surrogate: str, *, detach: bool, decay: bool, dtype: torch.dtype) -> list[torch.nn.Module]:
    """SpikingJelly's neuron and ours; a reset potential other than 0, and a tau that is no power of two."""
    settings = KINDS[kind] if kind == "IFNode" else {**KINDS[kind], "decay_input": decay}
    common = {"v_reset": 0.1, "detach_reset": detach, "surrogate_function": SURROGATES[surrogate], "step_mode": "m"}
    return [getattr(module, kind)(**settings, **common).to(dtype) for module in (spikingjelly, fused)]


def results(neuron: torch.nn.Module, current: torch.Tensor, upstream: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two calls without a reset between them, so that membranes and their gradients are handed on."""
    current = current.detach().requires_grad_()
    first = neuron(current)
    second = neuron(current.flip(0) * 0.5)
    ((first + 2 * second) * upstream).sum().backward()
    found = {"spikes": torch.stack([first, second]).detach(), "membrane": neuron.v.detach(), "grad": current.grad}
    return found | ({"grad_w": neuron.w.grad} if hasattr(neuron, "w") else {})


def assert_close(ours: dict, theirs: dict, *, within: float) -> None:
    assert torch.equal(ours["spikes"], theirs["spikes"])
    for name, value in theirs.items():
        sums = 10 if name == "grad_w" else 1  # over all neurons, which SpikingJelly adds up in another order
        assert (ours[name] - value).abs().max() <= sums * within * max(1.0, value.abs().max()), name


@pytest.mark.parametrize(("kind", "surrogate", "detach", "decay"), MANY)
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_spikes_membranes_and_gradients_are_spikingjellys(kind, surrogate, detach, decay, dtype, within):
    theirs, ours = pair(kind, surrogate, detach=detach, decay=decay, dtype=dtype)
    torch.manual_seed(0)
    current, upstream = (1.5 * torch.randn(4, 2, 5, 9, 7, dtype=dtype) for _ in range(2))
    found = results(ours, current, upstream)
    assert 0.05 < found["spikes"].mean() < 0.5
    assert_close(found, results(theirs, current, upstream), within=within)


@pytest.mark.parametrize("tau", [2.0, 8.0])
@pytest.mark.parametrize("decay", [True, False])
def test_a_tau_by_which_one_may_multiply_gives_the_same_bits(tau, decay):
    """A power of 2, as the paper's: its inverse is exact."""
    torch.manual_seed(0)
    current, upstream = (tau * torch.randn(4, 5000) for _ in range(2))
    found = []
    for module in (spikingjelly, fused):
        node = module.LIFNode(tau, decay, 1.0, 0.1, SURROGATES["sigmoid"], detach_reset=True, step_mode="m")
        found.append(results(node, current, upstream))
    theirs, ours = found
    assert 0.05 < ours["spikes"].mean() < 0.5
    assert torch.equal(ours["membrane"], theirs["membrane"])
    assert_close(ours, theirs, within=1e-6)


def test_only_our_kernels_are_cached_in_our_folder():
    assert os.environ.get("NUMBA_CACHE_DIR", "") == numba.config.CACHE_DIR
    (folder,) = {Path(kernel.stats.cache_path).parent.name for kernel in (kernels.forward, norm_kernels.add_moments)}
    assert re.fullmatch("[0-9a-f]{16}", folder)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("of_upstream", ["contiguous", "channels_last"])
def test_any_layout_gives_the_same_and_is_kept(layout, of_upstream):
    theirs, ours = pair("ParametricLIFNode", "atan", detach=True, decay=True, dtype=torch.float64)
    torch.manual_seed(0)
    current, upstream = (torch.randn(3, 2, 5, 6, 7, dtype=torch.float64) for _ in range(2))
    current, upstream = LAYOUTS[layout](current), LAYOUTS[of_upstream](upstream)
    assert_close(results(ours, current, upstream), results(theirs, current, upstream), within=1e-12)
    ours.reset()
    spikes = ours(current)
    if layout == "channels_last":
        assert spikes.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("steps", [1, 2, 16])
def test_any_number_of_steps_and_of_neurons(steps):
    theirs, ours = pair("LIFNode", "sigmoid", detach=True, decay=True, dtype=torch.float64)
    torch.manual_seed(0)
    for shape in ((1,), (BLOCK - 1,), (3, BLOCK + 1)):
        current, upstream = (2 * torch.randn(steps, *shape, dtype=torch.float64) for _ in range(2))
        assert_close(results(ours, current, upstream), results(theirs, current, upstream), within=1e-12)


def test_bfloat16_currents_are_computed_in_float32():
    """So that they differ from those of float32 in the rounding of the results alone."""
    _, single = pair("LIFNode", "sigmoid", detach=True, decay=True, dtype=torch.float32)
    _, half = pair("LIFNode", "sigmoid", detach=True, decay=True, dtype=torch.bfloat16)
    torch.manual_seed(0)
    current, upstream = (torch.randn(4, 1000).bfloat16() for _ in range(2))
    results_ = []
    for neuron, dtype in ((single, torch.float32), (half, torch.bfloat16)):
        x = current.to(dtype).requires_grad_()
        spikes = neuron(x)
        (spikes * upstream.to(dtype)).sum().backward()
        results_.append((spikes.float(), x.grad))
    (spikes, gradient), (half_spikes, half_gradient) = results_
    assert torch.equal(half_spikes, spikes)
    assert half_gradient.dtype == torch.bfloat16
    assert torch.equal(half_gradient, gradient.bfloat16())


def test_the_bytes_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    current, upstream = (torch.randn(4, 150_000) for _ in range(2))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            _, ours = pair("ParametricLIFNode", "atan", detach=True, decay=True, dtype=torch.float32)
            found.append(results(ours, current, upstream))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_work_is_shared_in_whole_blocks():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    parts = []
    try:
        parallel(lambda begin, end: parts.append((begin, end)), 1_000_000, grain=512, steps=4)
        parallel(lambda begin, end: parts.append((begin, end)), 1_000, grain=512, steps=4)
    finally:
        torch.set_num_threads(before)
    assert sorted(parts) == [(0, 1_000), (0, 500_224), (500_224, 1_000_000)]


@pytest.mark.parametrize("name", ["store_v_seq", "fused"])
def test_what_the_kernels_do_not_do_is_left_to_spikingjelly(name):
    theirs, ours = pair("LIFNode", "sigmoid", detach=True, decay=True, dtype=torch.float64)
    setattr(ours, name, name == "store_v_seq")
    torch.manual_seed(0)
    current, upstream = (torch.randn(3, 40, dtype=torch.float64) for _ in range(2))
    assert_close(results(ours, current, upstream), results(theirs, current, upstream), within=0.0)
    if name == "store_v_seq":
        assert ours.v_seq.shape == current.shape


@pytest.mark.parametrize("case", cases("neurons"), ids=lambda case: f"{case['kind']}-{case['surrogate']}-T{case['T']}")
def test_official_numbers(case):
    neuron = neuron_of(case)
    assert isinstance(neuron, fused.Fused)
    current = torch.from_numpy(case["x"]).double().requires_grad_()
    spikes = neuron(current)
    assert np.array_equal(spikes.detach().numpy(), case["spikes"])
    assert_equal_to("neurons, fused", neuron.v, case["f64.v_after_reset"][-1], within=1e-10)
    (spikes * torch.from_numpy(case["upstream_grad"]).double()).sum().backward()
    assert_equal_to("neurons, fused", current.grad, case["f64.grad_x"], within=1e-10)
    if "f64.grad_w" in case:
        assert_equal_to("neurons, fused", neuron.w.grad, case["f64.grad_w"], within=1e-10)


class _Operators(TorchDispatchMode):
    """The operators that are called; `prim::device` is a question, not a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, operator, _types, arguments=(), keywords=None):
        self.names += [operator._schema.name] if not operator._schema.name.startswith("prim::") else []
        return operator(*arguments, **(keywords or {}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_all_steps_are_one_kernel_with_float32_membranes_in_every_precision(kind, dtype):
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        node = getattr(fused, kind)(**KINDS[kind], surrogate_function=SURROGATES["atan"], step_mode="m")
        currents = [torch.empty(8, 2, 3, dtype=dtype, requires_grad=True) for _ in range(2)]
        for current in currents:  # the second one goes on with the membranes of the first
            with _Operators() as called:
                spikes = node(current)
            assert sum(not name.startswith("aten::") for name in called.names) == 1, called.names
            assert len(called.names) <= 5
            assert (spikes.dtype, node.v.dtype) == (dtype, torch.float32)
