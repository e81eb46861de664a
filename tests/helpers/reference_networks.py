"""Our networks filled with the official ones' weights: one table of modules for each."""

import torch
from conftest import NEURON
from reference_vectors import load_official

from bkdsnn.layers.spiking import NeuronSettings, make_neuron
from bkdsnn.networks import sew_resnet_dvs, spikingformer

SIGMOID = {"surrogate": "sigmoid", "surrogate_alpha": 4.0}

# Ours: theirs. Convolutions and linear layers, their batch norms, and neurons.
SPIKINGFORMER = {"stem.1": "patch_embed.proj_conv", "stem.2": "patch_embed.proj_bn", "head": "head"}
for number in (1, 2, 3, 4):
    for place, kind in enumerate(("lif", "conv", "bn")):
        SPIKINGFORMER[f"embed.{number - 1}.{place}"] = f"patch_embed.proj{number}_{kind}"
for number in (0, 1):
    for part, letter in (("query", "q"), ("key", "k"), ("value", "v")):
        for place, kind in enumerate(("conv", "bn", "lif")):
            SPIKINGFORMER[f"blocks.{number}.attention.{part}.{place}"] = f"block.{number}.attn.{letter}_{kind}"
    SPIKINGFORMER[f"blocks.{number}.attention.neuron"] = f"block.{number}.attn.proj_lif"
    for place, name in enumerate(("attn_lif", "proj_conv", "proj_bn")):
        SPIKINGFORMER[f"blocks.{number}.attention.project.{place}"] = f"block.{number}.attn.{name}"
    for place, name in enumerate(("mlp1_lif", "mlp1_conv", "mlp1_bn", "mlp2_lif", "mlp2_conv", "mlp2_bn")):
        SPIKINGFORMER[f"blocks.{number}.mlp.{place}"] = f"block.{number}.mlp.{name}"

BLOCKS = (1, 3, 5, 7, 10, 12, 14)
SEW = {"stem.0": "conv.0.0.0", "stem.1": "conv.0.0.1", "layers.0": "conv.0.1", "head": "out"}
SEW |= {"layers.9.0": "conv.9.0.0", "layers.9.1": "conv.9.0.1", "layers.9.2": "conv.9.1"}
TWIN = {"stem.0": "conv.0.0", "stem.1": "conv.0.1", "head": "out", "layers.9.0": "conv.9.0", "layers.9.1": "conv.9.1"}
for number in BLOCKS:
    for half in (0, 1):
        for place, name in enumerate(("0.0", "0.1", "1")):
            SEW[f"layers.{number}.body.{3 * half + place}"] = f"conv.{number}.conv.{half}.{name}"
        for place in (0, 1):
            TWIN[f"layers.{number}.body.{3 * half + place}"] = f"conv.{number}.conv{half + 1}.{place}"


def make_spikingformer(content: dict, pools: tuple[int, ...]) -> spikingformer.Network:
    network = blank_spikingformer(content, pools)
    load_official(network, SPIKINGFORMER, content)
    return network.double()


def blank_spikingformer(content: dict, pools: tuple[int, ...]) -> spikingformer.Network:
    """Of the size of the official one, with weights of its own."""
    settings = spikingformer.Settings(
        time_steps=int(content["config.T"]),
        dim=int(content["config.dim"]),
        depth=int(content["config.depth"]),
        heads=int(content["config.heads"]),
        mlp_ratio=int(content["config.mlp"]),
        pools=pools,
        attention_scale=0.125,
        attention_threshold=0.5,
        neuron=NeuronSettings(**{**NEURON, "kind": "lif", **SIGMOID}),
    )
    return spikingformer.Network(settings, input_shape=content["x"].shape[1:], classes=int(content["config.classes"]))


def make_sew(content: dict, neuron: dict | None) -> sew_resnet_dvs.Network:
    network = blank_sew(content, neuron)
    load_official(network, SEW if neuron else TWIN, content)
    return network.double()


def blank_sew(content: dict, neuron: dict | None) -> sew_resnet_dvs.Network:
    """Of the size of the official one, with weights of its own."""
    settings = sew_resnet_dvs.Settings(
        time_steps=content["frames"].shape[1],
        widths=(64, 64, 64, 64, 128, 128, 128),
        neuron=neuron and NeuronSettings(**{**NEURON, "kind": "plif", **neuron}),
    )
    return sew_resnet_dvs.Network(settings, input_shape=content["frames"].shape[1:], classes=10)


def neuron_of(case: dict) -> torch.nn.Module:
    """The neuron of a case of neurons.npz, in double precision."""
    kind = str(case["kind"]).lower()
    settings = NeuronSettings(
        kind=kind,
        tau=float(case["tau"]) or 2.0,
        v_threshold=float(case["v_threshold"]),
        v_reset=float(case["v_reset"]),
        decay_input=True,
        detach_reset=bool(case["detach_reset"]),
        surrogate=str(case["surrogate"]).lower(),
        surrogate_alpha=float(case["surrogate_alpha"]),
    )
    neuron = make_neuron(settings).double()
    if kind == "plif":
        neuron.w.data = torch.tensor(float(case["f64.w"]), dtype=torch.float64)
    return neuron
