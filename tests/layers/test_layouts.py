"""Students with weights of others: official names, the forms of files, and what is said of those that do not fit."""

import hashlib
import pickle
from argparse import Namespace

import numpy as np
import pytest
import torch
from conftest import NEURON
from pydantic import ValidationError
from reference_networks import SIGMOID, blank_sew, blank_spikingformer
from reference_vectors import assert_equal_to, load
from safetensors.torch import save_file

from bkdsnn import plugins
from bkdsnn.build import built_for, layouts_of, load_part_weights
from bkdsnn.errors import InputError
from bkdsnn.layers.layouts import load_by_layout, their_names
from bkdsnn.networks import sew_resnet_dvs, sew_resnet_imagenet, spikingformer
from bkdsnn.params.schema import Student
from bkdsnn.tools.parts import composed_parts, looks_at

LIF = {**NEURON, "kind": "lif", **SIGMOID}
FORMER = {"time_steps": 2, "dim": 16, "depth": 1, "heads": 2, "mlp_ratio": 2, "pools": [2, 3]}
FORMER |= {"attention_scale": 0.125, "attention_threshold": 0.5, "neuron": LIF}
SMALL = {  # a network of each kind that has a table: settings, input shape
    "spikingformer": (FORMER, (3, 32, 32)),
    "sew_resnet_imagenet": ({"time_steps": 2, "depth": 18, "neuron": NEURON}, (3, 32, 32)),
    "sew_resnet_dvs": ({"time_steps": 2, "widths": [4, 4, 6], "neuron": {**NEURON, "kind": "plif"}}, (2, 2, 16, 16)),
}


def student(name: str = "spikingformer", *, seed: int = 0, classes: int = 3, **settings) -> torch.nn.Module:
    own, shape = SMALL[name]
    part = Student(network=name, settings={**own, **settings})
    return built_for(part, input_shape=shape, classes=classes, normalise=None, seed=seed)


def official(network: torch.nn.Module, name: str = "spikingformer") -> dict[str, torch.Tensor]:
    """A network's weights as the official repository would write them, its unused LayerNorms among them."""
    names = their_names(network.state_dict(), layouts_of(name)["official"])
    state = {names[key]: tensor for key, tensor in network.state_dict().items()}
    one_axis_less = [key for key in state if key.endswith("_conv.weight") and ".attn." in key]
    state |= {key: state[key].squeeze(3) for key in one_axis_less}
    return state | ({"block.0.norm1.weight": torch.ones(16)} if name == "spikingformer" else {})


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    return tmp_path


def part_of(path, *, name: str = "spikingformer", layout: str = "official", digest: str | None = None) -> Student:
    digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()
    settings = SMALL[name][0]
    return Student(network=name, settings=settings, weights=path.name, weights_sha256=digest, layout=layout)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "blank", "table"),
    [
        ("spikingformer_cifar_small", lambda content: blank_spikingformer(content, (2, 3)), spikingformer),
        ("spikingformer_imagenet_small", lambda content: blank_spikingformer(content, (0, 1, 2, 3)), spikingformer),
        ("sew_resnet_dvs", lambda content: blank_sew(content, SIGMOID), sew_resnet_dvs),
    ],
    ids=["cifar", "imagenet", "dvs"],
)
def test_an_official_state_dict_gives_the_official_logits(name, blank, table):
    content = load(name)
    state = {key[3:]: torch.from_numpy(np.asarray(content[key])) for key in content if key.startswith("sd.")}
    network = blank(content)
    load_by_layout(network, state, table.LAYOUTS["official"], source=name)
    inputs = torch.from_numpy(content["frames" if "frames" in content else "x"])
    logits = network.double().eval()(inputs.double()).logits.mean(0)
    assert_equal_to(name, logits, content["eval.f64.logits"], within=1e-6)
    assert (logits - torch.from_numpy(content["eval.f64.logits"])).abs().max() < 1e-6


@pytest.mark.parametrize("name", SMALL)
def test_every_entry_is_called_otherwise_once_and_comes_back(name):
    theirs, ours = student(name, seed=1), student(name, seed=2)
    state = official(theirs, name)
    used = [key for key in state if not key.startswith("block.0.norm")]
    assert len(used) == len(theirs.state_dict())
    load_by_layout(ours, state, layouts_of(name)["official"], source=name)
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], tensor), key


def test_the_tables_name_every_entry_of_every_student_and_nothing_that_none_has():
    unused = {(name, theirs) for name in SMALL for theirs, ours in layouts_of(name)["official"].items() if ours}
    found = 0
    for key, part in composed_parts()["students"].items():
        if part["network"] not in SMALL:
            continue
        shape, classes = looks_at(key)
        with torch.device("meta"):
            own = built_for(Student(**part), input_shape=shape, classes=classes, normalise=None, seed=0).state_dict()
        table = layouts_of(part["network"])["official"]
        assert len(set(their_names(own, table).values())) == len(own), key
        for theirs, ours in table.items():
            if ours and their_names(own, table) != their_names_without(own, table, theirs):
                unused.discard((part["network"], theirs))
        found += 1
    assert found >= 9
    assert unused == set()


def their_names_without(own, table: dict, line: str) -> dict | None:
    try:
        return their_names(own, {theirs: ours for theirs, ours in table.items() if theirs != line})
    except InputError:
        return None


def test_every_network_of_the_paper_has_a_table_where_its_repository_has_a_file():
    assert {name for name in plugins.names("network") if len(layouts_of(name)) > 1} == set(SMALL)


FORMS = {
    "a state dict": lambda state: state,
    "of timm": lambda state: {"epoch": 3, "state_dict": state, "args": Namespace(lr=0.1), "metric": 79.4},
    "of the scripts for ImageNet": lambda state: {"model": state, "optimizer": {}, "args": Namespace(lr=0.1)},
    "of the scripts for CIFAR10-DVS": lambda state: {"net": state, "epoch": 3, "args": Namespace(T=4)},
    "of several GPUs": lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
    "half precision": lambda state: {
        key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()
    },
    "without counts": lambda state: {key: tensor for key, tensor in state.items() if "num_batches" not in key},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", ["ours", "official"])
def test_a_student_is_read_in_the_forms_in_which_students_are_published(raw, form, layout):
    theirs, network = student(seed=1), student(seed=2)
    state = theirs.state_dict() if layout == "ours" else official(theirs)
    torch.save(FORMS[form](state), raw / "w.pth")
    load_part_weights(network, part_of(raw / "w.pth", layout=layout))
    for key, tensor in theirs.state_dict().items():
        wanted = tensor.half().to(tensor.dtype) if form == "half precision" else tensor
        assert torch.equal(network.state_dict()[key], wanted), key


def test_a_neuron_s_weight_may_have_an_axis_more(raw):
    theirs, network = (student("sew_resnet_dvs", seed=seed) for seed in (1, 2))
    torch.nn.init.constant_(theirs.layers[0].w, 0.75)
    state = official(theirs, "sew_resnet_dvs")
    state = {key: tensor.reshape(1) if key.endswith(".w") else tensor for key, tensor in state.items()}
    save_file({key: tensor.clone() for key, tensor in state.items()}, raw / "w.safetensors")
    load_part_weights(network, part_of(raw / "w.safetensors", name="sew_resnet_dvs"))
    assert network.layers[0].w.item() == 0.75


class _Malice:
    def __reduce__(self):
        return print, ("unpickled",)


def _official(seed: int = 1, **changes) -> dict[str, torch.Tensor]:
    return official(student(seed=seed, **changes))


def _without(state: dict, *names: str) -> dict:
    return {key: tensor for key, tensor in state.items() if key not in names}


def _cut(path, content: dict) -> None:
    torch.save(content, path)
    path.write_bytes(path.read_bytes()[:-2000])


def _cut_safetensors(path, content: dict) -> None:
    save_file(content, path)
    path.write_bytes(path.read_bytes()[:-2000])


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
BAD = {
    "another network": (
        lambda path: torch.save(official(student("sew_resnet_dvs"), "sew_resnet_dvs"), path),
        r"'patch_embed.proj_conv.weight' \(2, 3, 3, 3\) of the network is missing .*; unknown to the network is 'co",
    ),
    "other widths": (
        lambda path: torch.save(_official(dim=32), path),
        r"'patch_embed.proj_conv.weight' has shape \(4, 3, 3, 3\), the network's has \(2, 3, 3, 3\)",
    ),
    "other classes": (
        lambda path: torch.save(_official(classes=5), path),
        r"'head.weight' has shape \(5, 16\), the network's has \(3, 16\)",
    ),
    "the other layout": (
        lambda path: torch.save(student().state_dict(), path),
        "of the network is missing .*; its names are those of layout: ours",
    ),
    "a pickled network": (lambda path: torch.save(student(), path), "it holds .*Network, and nothing but tensors is"),
    "a pickle that runs code": (lambda path: path.write_bytes(pickle.dumps(_Malice())), "refused: neither safetensors"),
    "an LFS pointer": (lambda path: path.write_text(LFS), "it is a pointer of Git LFS: `git lfs pull` brings"),
    "HTML": (lambda path: path.write_text("<!DOCTYPE html><html>no such file</html>"), "it is an HTML page"),
    "nothing": (lambda path: path.write_bytes(b""), "it is empty"),
    "a truncated file": (lambda path: _cut(path, _official()), "it is cut off, download it again"),
    "truncated safetensors": (lambda path: _cut_safetensors(path, _official()), "it is cut off, download it again"),
    "a missing entry": (
        lambda path: torch.save(_without(_official(), "block.0.attn.q_conv.weight", "head.bias"), path),
        r"'block.0.attn.q_conv.weight' \(16, 16, 1, 1\) of the network is missing \(and 'head.bias' \(3,\)\)$",
    ),
    "entries more": (
        lambda path: torch.save(_official(depth=2), path),
        r"'block.1.attn.q_conv.weight' \(16, 16, 1\) \(and 38 more\) is unknown to the network$",
    ),
    "no finite numbers": (
        lambda path: torch.save(_official() | {"head.bias": torch.full((3,), float("nan"))}, path),
        "'head.bias' is no plain tensor of finite numbers",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_does_not_fit_is_told_in_one_line_and_nothing_is_changed(raw, capsys, kind):
    write, expected = BAD[kind]
    write(raw / "w.pth")
    network = student()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=rf"^\S*w\.pth: .*({expected})") as caught:
        load_part_weights(network, part_of(raw / "w.pth"))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert capsys.readouterr().out == ""


def test_a_file_of_another_sum_or_none_and_an_unknown_layout_are_told(raw):
    torch.save(_official(), raw / "w.pth")
    found = hashlib.sha256((raw / "w.pth").read_bytes()).hexdigest()
    with pytest.raises(InputError, match=rf"w.pth: its SHA-256 is {found}, weights_sha256 says 0000"):
        load_part_weights(student(), part_of(raw / "w.pth", digest="0" * 64))
    with pytest.raises(InputError, match="layout: 'theirs': the network 'spikingformer' has ours, official"):
        load_part_weights(student(), part_of(raw / "w.pth", layout="theirs"))
    gone = part_of(raw / "w.pth").model_copy(update={"weights": "none.pth"})
    with pytest.raises(InputError, match="none.pth: there is no such weights file"):
        load_part_weights(student(), gone)
    with pytest.raises(ValidationError, match="weights and weights_sha256 are said together"):
        Student(network="spikingformer", settings={}, weights="w.pth")
    with pytest.raises(ValidationError, match="layout official is of weights, and none are named"):
        Student(network="spikingformer", settings={}, layout="official")
    with pytest.raises(ValidationError, match=r"weights and settings\.weights name two files"):
        Student(network="timm_model", settings={"weights": "a"}, weights="w.pth", weights_sha256="0" * 64)


def test_a_twin_without_spiking_neurons_has_no_official_names_for_what_it_lacks():
    own = sew_resnet_imagenet.Network(
        sew_resnet_imagenet.Settings(**{**SMALL["sew_resnet_imagenet"][0], "neuron": {**NEURON, "kind": "plif"}}),
        input_shape=(3, 32, 32),
        classes=3,
    )
    with pytest.raises(InputError, match="the layout has no name for 'model.sn1.w' of this network"):
        their_names(own.state_dict(), layouts_of("sew_resnet_imagenet")["official"])
