"""A trained spiking network as a flat graph of layers, the form in which it leaves the project (see `export`).

Batch norm is folded into the convolutions, and every step of time sees an input of its own: `[T, B, C, H, W]` in,
logits `[T, B, K]` out. The order of the layers is read off the network's own forward.
"""

import copy
import operator

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils.fusion import fuse_conv_bn_weights

from bkdsnn.contracts import NetOutput
from bkdsnn.errors import InputError
from bkdsnn.layers.fused.neurons import stock

_LEAVES = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d, nn.Identity, nn.ReLU, neuron.BaseNode)
_NORMS = (nn.BatchNorm2d, layer.ThresholdDependentBatchNorm2d)
_NEURONS = (neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode)
_ADDITIONS = (operator.add, operator.iadd, torch.add)
_OF_TIME = ("unsqueeze", "transpose", "expand")  # how `spiking.encode` brings time to the front


def flattened(network: nn.Module, inputs: Tensor) -> fx.GraphModule:
    """The network as a flat graph; inputs `[B, ...]`, as the network takes them, tell it the shapes.

    Max-pooling of spikes, an OR, becomes average-pooling and a neuron that fires at the smallest average that is not 0.
    Raises `InputError` that names the layers which have no equal in NIR.
    """
    network = copied(network)
    traced = fx.GraphModule(network, _Tracer(tuple(inputs.shape)).trace(network))
    with torch.no_grad():
        ShapeProp(traced).propagate(inputs)
    functional.reset_net(network)
    return _Flattening(traced).run()


def copied(network: nn.Module) -> nn.Module:
    """A copy in eval mode, membranes at rest (they may hold gradients, which nobody can copy)."""
    functional.reset_net(network)
    return copy.deepcopy(network).eval()


class _Inputs(fx.Proxy):
    """A network's inputs while it is traced: their shape is known, so that `encode` can ask for it."""

    def dim(self) -> int:
        return len(self.tracer.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tracer.shape


class _Tracer(fx.Tracer):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def is_leaf_module(self, module: nn.Module, _name: str) -> bool:
        return isinstance(module, _LEAVES + _NORMS)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Inputs(node, self) if node.op == "placeholder" else super().proxy(node)


class _Flattening:
    """One walk over a traced network: `new` maps its nodes to those of the flat graph."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self.graph = fx.Graph()
        self.modules: dict[str, nn.Module] = {}
        self.new: dict[fx.Node, fx.Node] = {}
        self.averaged: dict[fx.Node, int] = {}  # flat maps whose mean is left to the layers behind them: their pixels
        self.refused: dict[str, list[str]] = {}

    def run(self) -> fx.GraphModule:
        for node in self.traced.graph.nodes:
            if node.target is NetOutput:
                self.graph.output(self.new[node.args[0]])
                break
            self.new[node] = self._made(node) or self._refuse(node)
        if self.refused:
            layers = [f"{name} ({', '.join(dict.fromkeys(what))})" for name, what in self.refused.items()]
            more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
            raise InputError(
                f"this network cannot be written as NIR, which has nothing for {'; '.join(layers[:3])}{more}"
            )
        return fx.GraphModule(self.modules, self.graph)

    def _made(self, node: fx.Node) -> fx.Node | None:
        """The flat graph's node for a traced one; None where NIR has nothing for it."""
        if node.op == "placeholder":
            return self.graph.placeholder("input")
        first = self.new.get(node.args[0]) if node.args else None
        if node.op == "call_module":
            return self._layer(node, self.traced.get_submodule(node.target), first)
        if node.op == "call_function" and node.target in _ADDITIONS:
            return self.graph.call_function(operator.add, tuple(self.new[part] for part in node.args))
        if node.op == "call_method" and node.target in _OF_TIME:
            return first
        if node.op == "call_method" and node.target == "mean" and node.kwargs == {"dim": (3, 4)}:
            return self._mean(node, first)
        return None

    def _mean(self, node: fx.Node, source: fx.Node) -> fx.Node:
        """The mean over a map: part of the linear layer behind it where that loses no bit (few read AvgPool2d)."""
        height, width = size = tuple(node.args[0].meta["tensor_meta"].shape[-2:])
        linear = all(user.op == "call_module" and self._is_linear(user) for user in node.users)
        exact = (height * width).bit_count() == 1
        if not (linear and exact):
            source = self._call(f"{node.name}_pool", layer.AvgPool2d(size, size, (0, 0), step_mode="m"), source)
        flat = self._call(f"{node.name}_flat", layer.Flatten(step_mode="m"), source)
        if linear and exact:
            self.averaged[flat] = height * width
        return flat

    def _is_linear(self, node: fx.Node) -> bool:
        return isinstance(self.traced.get_submodule(node.target), nn.Linear)

    def _layer(self, node: fx.Node, module: nn.Module, source: fx.Node) -> fx.Node | None:
        if isinstance(module, nn.Identity):
            return source
        if source in self.averaged:
            return self._call(node.target, _over_map(module, self.averaged[source]), source)
        if isinstance(module, (nn.Conv2d, nn.Linear, *_NEURONS)):
            return self._call(node.target, stock(module), source)
        if isinstance(module, _NORMS) and self._is(source, nn.Conv2d) and len(node.args[0].users) == 1:
            self.modules[source.target] = _folded(self.modules[source.target], module)
            return source
        if isinstance(module, nn.MaxPool2d) and self._is(source, _NEURONS):
            size = module.kernel_size
            pool = layer.AvgPool2d((size, size), (module.stride,) * 2, (module.padding,) * 2, step_mode="m")
            some = neuron.IFNode(v_threshold=0.5 / size**2, v_reset=0.0, step_mode="m")
            return self._call(node.target, some, self._call(f"{node.target}_pool", pool, source))
        return None

    def _is(self, node: fx.Node, kinds: type | tuple[type, ...]) -> bool:
        return node.op == "call_module" and isinstance(self.modules[node.target], kinds)

    def _call(self, name: str, module: nn.Module, source: fx.Node) -> fx.Node:
        self.modules[name] = module
        return self.graph.call_module(name, (source,))

    def _refuse(self, node: fx.Node) -> fx.Node:
        """Keeps what is refused and goes on as if the node were not there, to tell of all of them."""
        if node.op == "call_module":
            name, what = node.target, type(self.traced.get_submodule(node.target)).__name__
            what += " of other than one layer's spikes" if what == "MaxPool2d" else ""
        else:
            stack = list(node.meta.get("nn_module_stack", {}).values())
            name = stack[-1][0] if stack else "forward"
            what = node.target if isinstance(node.target, str) else node.target.__name__
        self.refused.setdefault(name, []).append(what)
        return self.new[node.all_input_nodes[0]]


def _over_map(linear: nn.Linear, pixels: int) -> nn.Linear:
    """The layer that makes of a flattened map what this one makes of the map's mean."""
    wide = layer.Linear(linear.in_features * pixels, linear.out_features, bias=linear.bias is not None, step_mode="m")
    wide.weight = nn.Parameter(linear.weight.detach().repeat_interleave(pixels, dim=1) / pixels)
    wide.bias = linear.bias
    return wide


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """The convolution that gives what the batch norm makes of this one's outputs."""
    folded = layer.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,
        convolution.stride,
        convolution.padding,
        bias=True,
        step_mode="m",
    )
    folded.weight, folded.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    return folded
