"""Networks of other libraries: features by name, weights from files, and what is refused."""

import hashlib
import pickle
from argparse import Namespace

import pytest
import torch
from conftest import write_data
from safetensors.torch import save_file
from small_training import RECIPE
from torch.nn import functional as F

from bkdsnn.build import feature_shapes, make_method, make_network
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.fabric import make_fabric
from bkdsnn.errors import InputError
from bkdsnn.files import new_folder
from bkdsnn.layers.weights import check_name, load_weights, read_weights
from bkdsnn.networks import timm_model, torchvision_resnet
from bkdsnn.params.schema import MethodPart, Student
from bkdsnn.teachers.live import NoTeacher
from bkdsnn.trained import load_trained, save_trained
from bkdsnn.training.loop import Learner, train

COMMON = {
    "taps": {"last": "norm"},
    "tokens": "class",
    "input_size": None,
    "interpolation": "bilinear",
    "weights": None,
    "weights_sha256": None,
    "new_head": False,
}
VIT = {**COMMON, "model": "vit_tiny_patch16_224"}
VIT["options"] = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
RESNET = {**COMMON, "depth": 18, "taps": {"stage1": "layer1", "last": "layer4"}}


def vit(*, side: int = 16, classes: int = 3, **changes) -> timm_model.Network:
    torch.manual_seed(0)
    settings = timm_model.Settings(**{**VIT, **changes})
    return timm_model.Network(settings, input_shape=(3, side, side), classes=classes).eval()


def resnet(*, shape: tuple[int, ...] = (3, 32, 32), **changes) -> torchvision_resnet.Network:
    torch.manual_seed(0)
    settings = torchvision_resnet.Settings(**{**RESNET, **changes})
    return torchvision_resnet.Network(settings, input_shape=shape, classes=3).eval()


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    return tmp_path


@torch.no_grad()
def test_a_vits_vector_is_its_class_token_or_the_mean_of_the_others():
    network, inputs = vit(), torch.randn(2, 3, 16, 16)
    tokens = network.model.forward_features(inputs)  # [B, 1 + N, C]
    output = network(inputs)
    assert torch.equal(output.features["last"][0], tokens[:, 0])
    assert torch.equal(output.logits[0], network.model(inputs))
    assert torch.equal(output.logits[0], network.model.head(tokens[:, 0])), "it is what the head sees"
    assert torch.equal(vit(tokens="mean")(inputs).features["last"][0], tokens[:, 1:].mean(1))


@torch.no_grad()
def test_features_are_tapped_without_touching_the_model():
    network, inputs = resnet(), torch.randn(2, 3, 32, 32)
    model = network.model
    first = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(inputs)))))
    output = network(inputs)
    assert torch.equal(output.features["stage1"][0], first)
    assert torch.equal(output.logits[0], model(inputs))
    assert output.feature_shapes() == {"stage1": (64, 8, 8), "last": (512, 1, 1)}


@torch.no_grad()
def test_a_map_with_channels_last_comes_channels_first():
    network = timm_model.Network(
        timm_model.Settings(
            **{**COMMON, "model": "swin_tiny_patch4_window7_224", "taps": {"last": "norm"}, "input_size": 64},
            options={
                "img_size": 64,
                "window_size": 2,
                "embed_dim": 12,
                "depths": [1, 1, 1, 1],
                "num_heads": [1, 1, 1, 1],
            },
        ),
        input_shape=(3, 16, 16),
        classes=3,
    )
    assert network.eval()(torch.randn(2, 3, 16, 16)).feature_shapes() == {"last": (96, 2, 2)}


@torch.no_grad()
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_inputs_are_resized_as_configured(interpolation):
    small = torch.rand(2, 3, 8, 8)
    resized = F.interpolate(small, (16, 16), mode=interpolation, align_corners=False)
    network = vit(side=8, input_size=16, interpolation=interpolation)
    assert torch.equal(network(small).logits, vit()(resized).logits)
    assert torch.equal(network(resized).logits, vit()(resized).logits), "what has the size stays as it is"


def test_a_module_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(
        InputError, match=r"taps.last: the network has no module 'layer5': .*layer4.*outermost conv1, bn1"
    ):
        resnet(taps={"last": "layer5"})
    with pytest.raises(InputError, match=r"no module 'norms': it has patch_embed, .*, norm, "):
        vit(taps={"last": "norms"}, options={**VIT["options"], "depth": 1})


@torch.no_grad()
def test_the_class_token_is_asked_for_only_where_there_is_one():
    def output(model: str, options: dict, tap: str = "norm", **changes):
        with torch.device("meta"):
            network = vit(model=model, options=options, taps={"last": tap}, side=32, **changes)
            return network, network(torch.zeros(2, 3, 32, 32)).features["last"][0]

    mixer = {"img_size": 32}
    with pytest.raises(InputError, match="tokens: class: 'norm' has no class token, use mean"):
        output("mixer_s32_224", mixer)
    network, mean = output("mixer_s32_224", mixer, tokens="mean")
    assert network.taps._prefix_tokens(torch.zeros(1, 1, 512)) == 0
    assert mean.shape == (2, 512)
    registers = {**VIT["options"], "img_size": 32, "reg_tokens": 4, "class_token": False, "global_pool": "avg"}
    with pytest.raises(InputError, match="tokens: class: 'norm' has no class token"):
        output("vit_tiny_patch16_224", registers)
    network, mean = output("vit_tiny_patch16_224", registers, tokens="mean")
    assert network.taps._prefix_tokens(torch.zeros(1, 4 + 64, 32)) == 4
    cait = {"img_size": 32}
    with pytest.raises(InputError, match=r"'blocks.0' has no class token"):
        output("cait_xxs24_224", cait, tap="blocks.0")  # it is put before the others behind the blocks
    assert output("cait_xxs24_224", cait)[1].shape == (2, 192)


def test_a_tap_that_gives_nothing_is_told_with_what_would():
    with (
        torch.device("meta"),
        pytest.raises(InputError, match=r"taps.last: 'stages' is never called, try stages.0, stages.1, stages.2, st"),
    ):
        vit(model="fastvit_t8", options={}, taps={"last": "stages"})(torch.zeros(2, 3, 64, 64))
    with pytest.raises(InputError, match=r"input_size: null: Input height \(8\) doesn't match model \(16\)"):
        vit()(torch.randn(2, 3, 8, 8))
    with (
        torch.device("meta"),
        pytest.raises(InputError, match=r"'blocks.0' gives a list, wanted a map .*, try .*blocks.0.fusion.0"),
    ):
        vit(model="crossvit_9_240", options={}, taps={"last": "blocks.0"}, side=240)(torch.zeros(2, 3, 240, 240))


def test_what_a_network_cannot_be_or_see_is_told():
    with pytest.raises(
        InputError, match="timm has no model 'vit_tini_patch16_224'; the nearest are vit_tiny_patch16_224"
    ):
        vit(model="vit_tini_patch16_224")
    with pytest.raises(InputError, match="options.features_only: such a model has no logits"):
        vit(options={"features_only": True})
    with pytest.raises(InputError, match="options: timm cannot make 'vit_tiny_patch16_224': .*colour"):
        vit(options={"colour": 1})
    with pytest.raises(InputError, match=r"takes images \(C, H, W\), the data set has recordings \(4, 3, 8, 8\)"):
        resnet(shape=(4, 3, 8, 8))
    with pytest.raises(InputError, match="takes inputs of 3 channels, the data set has 1"):
        resnet(shape=(1, 8, 8))
    with pytest.raises(ValueError, match="one feature is called last"):
        timm_model.Settings(**{**VIT, "taps": {"first": "norm"}})


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_are_read_from_a_file_below_the_data_folder(raw, suffix):
    theirs = vit().model.state_dict()
    theirs = {name: torch.randn_like(tensor) for name, tensor in theirs.items()}
    path = raw / f"vit.{suffix}"
    save_file(theirs, path) if suffix == "safetensors" else torch.save(theirs, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    network = vit(weights=path.name, weights_sha256=digest)
    network.load_initial_weights()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in network.model.state_dict().items())
    with pytest.raises(InputError, match=f"its SHA-256 is {digest}, weights_sha256 says 0000"):
        vit(weights=path.name, weights_sha256="0" * 64).load_initial_weights()


def test_weights_for_other_channels_or_classes_are_refused_with_both_shapes(raw):
    save_file(vit().model.state_dict(), raw / "w.safetensors")
    wide = vit(weights="w.safetensors", options={**VIT["options"], "embed_dim": 64})
    with pytest.raises(
        InputError, match=r"w.safetensors: 'cls_token' has shape \(1, 1, 32\), the network's has \(1, 1, 64\)"
    ):
        wide.load_initial_weights()
    many = vit(classes=5, weights="w.safetensors")
    with pytest.raises(
        InputError, match=r"'head.weight' has shape \(3, 32\), the network's has \(5, 32\) \(new_head: true"
    ):
        many.load_initial_weights()
    deep = vit(weights="w.safetensors", options={**VIT["options"], "depth": 3})
    with pytest.raises(InputError, match=r"'blocks.2.norm1.weight' \(32,\) of the network is missing"):
        deep.load_initial_weights()
    flat = vit(weights="w.safetensors", options={**VIT["options"], "depth": 1})
    with pytest.raises(InputError, match=r"'blocks.1.\S+' \(.*\) is unknown to the network"):
        flat.load_initial_weights()


def test_a_new_head_leaves_the_files_classifier_out(raw):
    save_file({name: torch.ones_like(t) for name, t in vit().model.state_dict().items()}, raw / "w.safetensors")
    network = vit(classes=5, weights="w.safetensors", new_head=True)
    before = network.model.head.weight.clone()
    network.load_initial_weights()
    assert torch.equal(network.model.head.weight, before)
    assert (network.model.norm.bias == 1).all()


def without_counts(state: dict) -> dict:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


FORMS = {
    "as torchvision's first sets": without_counts,
    "half precision": lambda state: {name: tensor.half() for name, tensor in without_counts(state).items()},
    "a checkpoint of timm": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}},
    "a checkpoint of torchvision": lambda state: {"model": state, "args": Namespace(lr=0.1, epochs=3)},
    "of several GPUs": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "compiled, of several GPUs": lambda state: {
        "model": {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_state_dicts_are_read_in_the_forms_in_which_they_are_published(raw, form):
    theirs = {name: torch.ones_like(tensor) for name, tensor in resnet().model.state_dict().items()}
    torch.save(FORMS[form](theirs), raw / "w.pth")
    network = resnet(weights="w.pth")
    network.load_initial_weights()
    counted = "num_batches_tracked" not in str(FORMS[form]({"bn1.num_batches_tracked": 1, "x": torch.ones(1)}))
    for name, tensor in network.model.state_dict().items():
        assert (tensor == (0 if name.endswith("num_batches_tracked") and counted else 1)).all(), name


def test_all_that_is_missing_is_named(raw):
    state = without_counts(resnet().model.state_dict())
    save_file({name: tensor for name, tensor in state.items() if not name.startswith("bn1.r")}, raw / "w.safetensors")
    with pytest.raises(
        InputError, match=r"'bn1.running_mean' \(64,\) of the network is missing \(and 'bn1.running_var'"
    ):
        resnet(weights="w.safetensors").load_initial_weights()


def test_position_embeddings_of_another_size_are_no_matter_of_the_head(raw):
    save_file(vit().model.state_dict(), raw / "w.safetensors")
    large = vit(side=32, weights="w.safetensors", options={**VIT["options"], "img_size": 32})
    with pytest.raises(InputError, match=r"'pos_embed' has .* \(the weights are of another picture or patch size\)"):
        large.load_initial_weights()


class _Malice:
    def __reduce__(self):
        return print, ("unpickled",)


BAD_FILES = {
    "a pickle that runs code": lambda path: path.write_bytes(pickle.dumps(_Malice())),
    "a checkpoint with more than tensors": lambda path: torch.save({"epoch": 1, "mine": {"a": torch.ones(1)}}, path),
    "a state dict of more than tensors": lambda path: torch.save({"state_dict": {"a": "b"}}, path),
    "tensors without names": lambda path: torch.save({1: torch.ones(1)}, path),
    "no tensor": lambda path: torch.save({}, path),
    "a whole module": lambda path: torch.save(torch.nn.Linear(1, 1), path),
    "no weights at all": lambda path: path.write_bytes(b"hello"),
    "nothing": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_not_plain_weights_is_refused(raw, capsys, kind, suffix):
    path = raw / f"bad.{suffix}"
    BAD_FILES[kind](path)
    with pytest.raises(
        InputError, match="bad.*: refused: neither safetensors nor a plain state dict of tensors"
    ) as told:
        vit(weights=path.name).load_initial_weights()
    assert "\n" not in str(told.value)
    assert capsys.readouterr().out == ""


def test_a_file_that_is_not_there_and_a_download_that_fails_are_told(raw, monkeypatch):
    with pytest.raises(InputError, match="none.safetensors: there is no such weights file"):
        vit(weights="none.safetensors").load_initial_weights()

    def offline(self):
        raise OSError(f"no route to {self.settings.tag}")

    monkeypatch.setattr(timm_model.Network, "download", offline)
    with pytest.raises(
        InputError, match=r"hub:augreg_in21k could not .* \(OSError: no route to augreg_in21k\); a file"
    ):
        vit(weights="hub:augreg_in21k").load_initial_weights()


def test_downloaded_weights_are_checked_and_never_unpickled(raw, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(raw))
    path = raw / "hub/checkpoints/resnet18-f37072fd.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(_Malice()))
    with pytest.raises(InputError, match="resnet18-f37072fd.pth: its SHA-256 is .*, its name says f37072fd"):
        resnet(weights="hub:IMAGENET1K_V1").load_initial_weights()
    named = path.with_name(f"x-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")
    path.rename(named)
    monkeypatch.setattr(torchvision_resnet, "downloaded", lambda url: named)
    with pytest.raises(InputError, match="refused: neither safetensors nor a plain state dict"):
        resnet(weights="hub:IMAGENET1K_V1").load_initial_weights()
    assert capsys.readouterr().out == ""


def test_the_sum_of_downloaded_weights_may_be_said(raw, monkeypatch):
    path = raw / "theirs.pth"
    torch.save(without_counts({name: torch.ones_like(t) for name, t in resnet().model.state_dict().items()}), path)
    monkeypatch.setattr(torchvision_resnet, "downloaded", lambda url: path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    network = resnet(weights="hub:IMAGENET1K_V1", weights_sha256=digest)
    network.load_initial_weights()
    assert (network.model.fc.bias == 1).all()
    with pytest.raises(InputError, match=f"its SHA-256 is {digest}, weights_sha256 says 0000"):
        resnet(weights="hub:IMAGENET1K_V1", weights_sha256="0" * 64).load_initial_weights()


def test_a_file_of_the_hugging_face_cache_has_the_sum_that_its_blob_is_called_by(raw):
    good, bad = raw / hashlib.sha256(b"a").hexdigest(), raw / hashlib.sha256(b"b").hexdigest()
    for blob in (good, bad):
        blob.write_bytes(b"a")
        (raw / "model.safetensors").unlink(missing_ok=True)
        (raw / "model.safetensors").symlink_to(blob)
        if blob is good:
            check_name(raw / "model.safetensors")
    with pytest.raises(InputError, match="model.safetensors: its SHA-256 is ca97.*, its name says 3e23"):
        check_name(raw / "model.safetensors")


def test_timms_own_weights_are_brought_to_a_models_options(raw, monkeypatch):
    options = {"embed_dim": 32, "depth": 1, "num_heads": 2, "patch_size": 4}
    theirs = vit(classes=21843, options={**options, "img_size": 16}, side=16).model.state_dict()
    save_file(theirs, raw / "w.safetensors")
    monkeypatch.setattr(timm_model.Network, "download", lambda self: raw / "w.safetensors")
    large = {"weights": "hub:augreg_in21k", "new_head": True, "side": 32}
    network = vit(options={**options, "img_size": 32}, **large)
    network.load_initial_weights()
    assert network.model.pos_embed.shape == (1, 65, 32)
    assert torch.equal(network.model.cls_token, theirs["cls_token"])
    with pytest.raises(InputError, match="weights: hub:augreg_in21k do not fit: Error"):
        vit(options={**options, "img_size": 32, "embed_dim": 64}, **large).load_initial_weights()


def test_a_tag_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(InputError, match="weights: hub:V1: torchvision has hub:IMAGENET1K_V1"):
        resnet(weights="hub:V1").load_initial_weights()
    with pytest.raises(InputError, match="hub:augreg: timm's 'vit_tiny_patch16_224' has augreg_in21k, augreg_in21k_ft"):
        vit(weights="hub:augreg").load_initial_weights()


def test_hub_names_are_the_libraries_own():
    from timm import list_pretrained
    from torchvision.models import get_model_weights

    for depth in (18, 34, 50):
        assert "IMAGENET1K_V1" in get_model_weights(f"resnet{depth}").__members__
    names = list_pretrained()
    assert {"vit_small_patch16_224.augreg_in21k", "vit_base_patch16_224.augreg_in21k_ft_in1k"} <= set(names)


def test_a_teacher_that_others_trained_is_taken_as_it_is(raw):
    """Zero epochs: no step, the file's weights end in the teacher's folder, and are not asked for again."""
    data = write_data(raw / "data", shape=(3, 16, 16))
    theirs = {name: torch.randn_like(tensor) for name, tensor in vit().model.state_dict().items()}
    save_file(theirs, raw / "w.safetensors")
    part = Student(network="timm_model", settings={**VIT, "weights": "w.safetensors"})
    network = make_network(part, data=data, seed=0)
    batches = Batches(data, batch_size=8, device=torch.device("cpu"))
    shapes = feature_shapes(network, input_shape=data.input_shape)
    part_of_method = MethodPart(method="ce", settings={})
    method = make_method(
        part_of_method, {"label_smoothing": 0.0}, student=shapes, teacher={}, samples=60, classes=3, seed=0
    )
    recipe = RECIPE.model_copy(update={"epochs": 0})
    fabric = make_fabric(precision="32-true", device=torch.device("cpu"))
    trained = train(
        Learner(network, method),
        fabric=fabric,
        teacher=NoTeacher(),
        batches=batches,
        recipe=recipe,
        seed=0,
        on_epoch=lambda record, seconds: None,
    )
    assert trained.history == []
    with new_folder(raw / "model") as folder:
        save_trained(folder, trained, data=data, teacher=None, made_with={})
    (raw / "w.safetensors").unlink()
    for which in ("last", "best"):
        loaded = load_trained(raw / "model", part, data=data, which=which)
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in loaded.model.state_dict().items())


@pytest.mark.parametrize("name", ["pretrained", "checkpoint_path", "pretrained_cfg", "num_classes", "in_chans"])
def test_options_by_which_timm_would_read_weights_itself_are_refused(raw, capsys, name):
    (raw / "bad.pth").write_bytes(pickle.dumps(_Malice()))
    with pytest.raises(ValueError, match=f"not {name}: weights come from the setting weights"):
        vit(options={name: str(raw / "bad.pth")})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["theirs.pth", "theirs.bin", "theirs.safetensors"])
@pytest.mark.parametrize("write", [save_file, torch.save], ids=["safetensors", "torch"])
def test_weights_are_known_by_their_bytes_not_by_their_name(raw, name, write):
    write({"a": torch.ones(2)}, raw / name)
    assert read_weights(raw / name, expected_sha256=None)["a"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "odd",
    [
        lambda tensor: tensor.to_sparse(),
        lambda tensor: tensor.to(torch.complex64),
        lambda tensor: tensor.to(torch.int8),
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor / 0,
    ],
    ids=["sparse", "complex", "int8", "meta", "not finite"],
)
def test_weights_that_are_no_plain_finite_numbers_are_refused(odd):
    model = torch.nn.Linear(2, 2)
    state = {"weight": odd(torch.ones(2, 2)), "bias": torch.ones(2)}
    with pytest.raises(InputError, match="w: 'weight' is no plain tensor of finite numbers, as torch.float32"):
        load_weights(model, state, source="w", head=(), new_head=False)
