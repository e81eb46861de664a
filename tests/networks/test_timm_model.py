"""timm's models as its users know them: many families, every kind of name, and a normalisation of their own."""

import copy
import json
import pickle

import pytest
import torch
from conftest import augmentation, write_data
from safetensors.torch import save_file
from timm.models import save_for_hf

from bkdsnn.build import built_for, make_network
from bkdsnn.contracts import NetOutput
from bkdsnn.data.batches import Batches
from bkdsnn.errors import InputError
from bkdsnn.files import digest, new_folder
from bkdsnn.methods import bkd
from bkdsnn.networks import timm_model, torchvision_resnet
from bkdsnn.params.schema import Normalise, Student
from bkdsnn.teachers.cache_writer import write_cache
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.trained import Trained, load_trained, save_trained

SETTINGS = {
    "options": {},
    "input_size": None,
    "interpolation": "bicubic",
    "weights": None,
    "weights_sha256": None,
    "new_head": False,
}
VIT = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
SWIN = {"img_size": 64, "window_size": 2, "embed_dim": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]}
FAMILIES = {
    "resnet18": ({"channels": [8, 8, 8, 16], "layers": [1, 1, 1, 1]}, 32, lambda whole: whole),
    "vit_tiny_patch16_224": (VIT, 16, lambda whole: whole[:, 0]),
    "deit_tiny_distilled_patch16_224": (VIT, 16, lambda whole: whole[:, 0]),
    "beit_base_patch16_224": (VIT, 16, lambda whole: whole[:, 1:].mean(1)),  # whose head takes their mean
    "convnext_tiny": ({"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 16]}, 64, lambda whole: whole),
    "mobilenetv3_small_050": ({}, 32, lambda whole: whole),
    "swin_tiny_patch4_window7_224": (SWIN, 64, lambda whole: whole.permute(0, 3, 1, 2)),
    "swinv2_cr_tiny_224": (SWIN, 64, lambda whole: whole),
    "mixer_s32_224": ({"img_size": 64}, 64, lambda whole: whole.mean(1)),
}
HALF = Normalise(scale=255, mean=[0.5] * 3, std=[0.5] * 3)
IMAGENET = Normalise(scale=255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])


def made(model: str, *, side: int = 16, classes: int = 3, channels: int = 3, **changes) -> timm_model.Network:
    torch.manual_seed(0)
    settings = timm_model.Settings(**{**SETTINGS, "model": model, **changes})
    return timm_model.Network(settings, input_shape=(channels, side, side), classes=classes).eval()


@pytest.mark.parametrize("model", FAMILIES)
def test_what_a_families_head_sees_can_be_distilled_without_naming_a_module(model):
    options, side, seen = FAMILIES[model]
    network, inputs = made(model, options=options, side=side), torch.randn(2, 3, side, side)
    with torch.no_grad():
        output = network(inputs)
        whole = type(network.model).forward_features(network.model, inputs)
        assert torch.equal(output.logits[0], network.model.forward_head(whole))
    feature = output.features["last"][0]
    assert torch.equal(feature, seen(whole))
    assert feature.shape[1] == network.model.num_features
    shapes = output.feature_shapes()
    settings = {"feature_weight": 1.0, "blur_ratio": 0.15, "rescale_teacher": False, "restore": True}
    settings |= {"label_smoothing": 0.0, "features": {"last": "last"}, "blurred": "student"}
    own = (5, *shapes["last"][1:]) if len(shapes["last"]) == 3 else (5, 4, 4)
    method = bkd.Method(bkd.Settings(**settings), student={"last": own}, teacher=shapes)
    student = NetOutput(logits=torch.randn(1, 2, 3), features={"last": torch.randn(1, 2, *own, requires_grad=True)})
    method(student=student, teacher=output, labels=torch.arange(2), draws=torch.arange(2))["feature"].backward()
    assert student.features["last"].grad.abs().sum() > 0


@torch.no_grad()
@pytest.mark.parametrize(
    ("model", "tap", "last"),
    [
        ("swin_tiny_patch4_window7_224", "layers.1", True),
        ("swin_tiny_patch4_window7_224", "patch_embed.proj", False),  # before the model turns it
        ("convnext_tiny", "stages.2.blocks.0.mlp", True),
        ("convnext_tiny", "stages.2", False),
        ("swinv2_cr_tiny_224", "stages.1.blocks.0", True),
        ("resnet18", "layer2", False),
    ],
)
def test_a_modules_channels_are_found_whichever_way_it_lays_its_maps(model, tap, last):
    options, side, _ = FAMILIES[model]
    network, kept = made(model, options=options, side=side, taps={"last": tap}), []
    network.model.get_submodule(tap).register_forward_hook(lambda module, given, output: kept.append(output))
    feature = network(torch.randn(2, 3, side, side)).features["last"][0]
    assert torch.equal(feature, kept[0].permute(0, 3, 1, 2) if last else kept[0])
    wide = torch.randn(2, 3, side, side)
    assert feature.shape[2] == feature.shape[3] < wide.shape[-1]


@torch.no_grad()
def test_maps_of_images_that_are_no_squares_are_turned_too():
    taps = {"last": "stages.1", "inner": "stages.1.blocks.0.mlp"}
    network = made("convnext_tiny", options=FAMILIES["convnext_tiny"][0], taps=taps)
    shapes = network(torch.randn(1, 3, 100, 60)).feature_shapes()
    assert shapes == {"last": (8, 12, 7), "inner": (8, 12, 7)}


def test_modules_that_fit_are_listed_where_a_tap_does_not():
    with pytest.raises(InputError, match=r"no module 'layers.9': .* nearest are .*, its stages layers.0, .*layers.3$"):
        made("swin_tiny_patch4_window7_224", options=SWIN, side=64, taps={"last": "layers.9"})
    with (
        torch.device("meta"),
        pytest.raises(InputError, match="'forward_features' gives a list, wanted a map .*, try .*norm.1"),
    ):
        made("crossvit_9_240", side=240)(torch.zeros(2, 3, 240, 240))


# Names.


@pytest.mark.parametrize("taps", [None, {"last": "layer3"}])
def test_a_copy_keeps_its_own_features(taps):
    network = made("resnet18", side=32, options=FAMILIES["resnet18"][0], taps=taps)
    copied, inputs = copy.deepcopy(network), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(copied(inputs).features["last"], network(inputs).features["last"])
        for parameter in copied.parameters():
            parameter.zero_()
        assert not copied(inputs).features["last"].any()
        assert network(inputs).features["last"].any()


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def folder(raw):
    """A model as timm saves it for the hub, whose weights are all 0.5 and whose images were normalised by 0.5."""
    theirs = made("vit_tiny_patch16_224", options=VIT).model
    theirs.load_state_dict({name: torch.full_like(tensor, 0.5) for name, tensor in theirs.state_dict().items()})
    save_for_hf(theirs, raw / "own/vit", safe_serialization=True)
    (raw / "own/vit/pytorch_model.bin").unlink(missing_ok=True)
    return raw / "own/vit"


def test_a_tag_is_said_in_the_name_or_beside_the_weights():
    tagged = made("vit_tiny_patch16_224.augreg_in21k", options=VIT)
    beside = made("vit_tiny_patch16_224", options=VIT, weights="hub:augreg_in21k")
    for network in (tagged, beside):
        assert network.model.pretrained_cfg["tag"] == "augreg_in21k"
    same = zip(tagged.model.state_dict().values(), beside.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in same)


def test_weights_of_a_tag_come_from_the_repository_that_timm_names(folder, monkeypatch):
    asked = []

    def download(**where):
        asked.append(where)
        return str(folder / where["filename"])

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    many = made("vit_tiny_patch16_224", options=VIT, classes=21843).model.state_dict()
    save_file({name: torch.full_like(tensor, 0.5) for name, tensor in many.items()}, folder / "model.safetensors")
    network = made("vit_tiny_patch16_224.augreg_in21k", options=VIT, weights="pretrained", new_head=True)
    network.load_initial_weights()
    wanted = {"repo_id": "timm/vit_tiny_patch16_224.augreg_in21k", "revision": None, "filename": "model.safetensors"}
    assert asked == [wanted]
    assert (network.model.norm.weight == 0.5).all()
    assert not (network.model.head.weight == 0.5).any()


def test_a_repository_is_read_at_the_revision_that_is_named(folder, monkeypatch):
    asked = []

    def download(repo_id, filename, revision=None, **_):
        asked.append((repo_id, revision, filename))
        return str(folder / filename)

    for place in ("timm.models._hub.hf_hub_download", "huggingface_hub.hf_hub_download"):
        monkeypatch.setattr(place, download)
    network = made("hf-hub:somebody/vit@v2", weights="pretrained")
    network.load_initial_weights()
    assert asked == [("somebody/vit", "v2", name) for name in ("config.json", "model.safetensors")]
    assert all((tensor == 0.5).all() for tensor in network.model.state_dict().values())


def test_a_folder_has_its_own_architecture_and_weights(folder):
    network = made("local-dir:own/vit", weights="pretrained")
    network.load_initial_weights()
    assert network.model.pos_embed.shape == (1, 17, 32)
    assert all((tensor == 0.5).all() for tensor in network.model.state_dict().values())
    large = made("local-dir:own/vit", weights="pretrained", options={"img_size": 32}, side=32, classes=5, new_head=True)
    large.load_initial_weights()
    assert large.model.pos_embed.shape == (1, 65, 32)
    assert large.model.head.out_features == 5
    with pytest.raises(InputError, match=r"pretrained: 'head.weight' has shape \(3, 32\), the network's has \(5, 32\)"):
        made("local-dir:own/vit", weights="pretrained", classes=5).load_initial_weights()
    with pytest.raises(InputError, match="model.safetensors: its SHA-256 is .*, weights_sha256 says 0000"):
        made("local-dir:own/vit", weights="pretrained", weights_sha256="0" * 64).load_initial_weights()


class _Malice:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize("name", ["/own", "../elsewhere", "own/../.."])
def test_a_folder_that_is_not_below_the_data_is_refused(raw, name):
    with pytest.raises(InputError, match="a folder lies below"):
        made(f"local-dir:{name}")


def test_nothing_that_a_folder_holds_runs_code(folder, capsys):
    config = json.loads((folder / "config.json").read_text())
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Malice()))
    with pytest.raises(InputError, match="pytorch_model.bin: refused: neither safetensors nor a plain state dict"):
        made("local-dir:own/vit", weights="pretrained").load_initial_weights()
    for name in ("pretrained", "checkpoint_path", "pretrained_cfg_overlay", "cache_dir"):
        said = {**config["model_args"], name: str(folder / "pytorch_model.bin")}
        (folder / "config.json").write_text(json.dumps({**config, "model_args": said}))
        with pytest.raises(InputError, match=f"its config.json asks for {name}, which is not for it to say"):
            made("local-dir:own/vit")
    assert capsys.readouterr().out == ""


MISTAKES = {
    "an architecture": ("vit_tiny_patch16.augreg_in21k", {}, "timm has no model .* nearest .*vit_tiny_patch16_224.aug"),
    "a tag": ("vit_tiny_patch16_224.augreg", {}, "'vit_tiny_patch16_224' has augreg_in21k, augreg_in21k_ft_in1k"),
    "two tags": ("resnet18.a1_in1k", {"weights": "hub:a2_in1k"}, "weights: hub:a2_in1k: the model's name says a1_in1k"),
    "no tag": (
        "resnet18",
        {"weights": "pretrained"},
        "weights: pretrained: 'resnet18' does not say which, timm has a1",
    ),
    "a tag of a folder": ("local-dir:own/vit", {"weights": "hub:a1"}, "hub:a1: 'local-dir:own/vit' has its own"),
    "a folder": ("local-dir:own/vitt", {}, "no model of timm's .*; the nearest are local-dir:own/vit$"),
    "a repository": (
        "hf-hub:timm/resnet18.a1_in",
        {},
        "no model of timm's .*OSError: offline.*; the nearest are .*hf-hub:timm/resnet18.a1_in1k",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_name_that_leads_nowhere_is_told_with_the_nearest(folder, monkeypatch, mistake):
    def offline(*_, **__):
        raise OSError("offline")

    monkeypatch.setattr("timm.models._hub.hf_hub_download", offline)
    model, changes, expected = MISTAKES[mistake]
    with pytest.raises(InputError, match=expected) as told:
        made(model, **changes)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"architecture": "vit"}', '{"architecture": "resnet18", "pretrained_cfg": {"x": 1}}']
)
def test_a_folder_with_another_config_is_told(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(InputError, match="model: 'local-dir:own/vit': no model of timm's") as told:
        made("local-dir:own/vit")
    assert "\n" not in str(told.value)


def test_a_folder_without_weights_is_told(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="own/vit: there is no model.safetensors and no pytorch_model.bin"):
        made("local-dir:own/vit", weights="pretrained").load_initial_weights()


@pytest.mark.parametrize("name", ["ViT", "timm/resnet18", "hf_hub:a/b", "local-dir:", "resnet18.a.b", "/elsewhere/x"])
def test_other_names_are_no_names(name):
    with pytest.raises(ValueError, match=r"wanted timm's ARCHITECTURE or ARCHITECTURE.TAG, hf-hub:"):
        timm_model.Settings(**{**SETTINGS, "model": name})


# Their own normalisation.


def normalised(pixels: torch.Tensor, normalise: Normalise) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (normalise.mean, normalise.std))
    return (pixels / normalise.scale - mean) / std


def network_of(data: Normalise, **settings) -> torch.nn.Module:
    settings = {**SETTINGS, "model": "vit_tiny_patch16_224.augreg_in21k", **settings}
    part = Student(network="timm_model", settings=settings)
    return built_for(part, input_shape=(3, 16, 16), classes=3, normalise=data, seed=0).eval()


@torch.no_grad()
def test_inputs_are_the_data_sets_unless_the_weights_own_are_asked_for(raw):
    pixels = torch.randint(0, 256, (2, 3, 16, 16)).float()
    plain = network_of(IMAGENET, options=VIT)
    theirs = network_of(IMAGENET, options=VIT, weights="pretrained", normalise="own")
    given = normalised(pixels, IMAGENET)
    assert torch.equal(plain(given).logits[0], plain.model(given))
    assert torch.allclose(theirs(given).logits[0], plain.model(normalised(pixels, HALF)), atol=1e-5)
    assert not torch.allclose(theirs(given).logits, plain(given).logits, atol=1e-3)
    same = network_of(HALF, options=VIT, weights="pretrained", normalise="own")
    assert torch.equal(same(given).logits, plain(given).logits), "where the two agree not a bit changes"
    assert set(theirs.state_dict()) == set(plain.state_dict()), "it is no part of the weights"
    tens = Normalise(scale=10, mean=[5.0] * 3, std=[2.0] * 3)  # whatever inputs are, pixels are 0 to 255
    other = network_of(tens, options=VIT, weights="pretrained", normalise="own")
    assert torch.allclose(other(normalised(pixels, tens)).logits, theirs(given).logits, atol=1e-5)


@torch.no_grad()
def test_a_live_and_a_cached_teacher_see_their_own_normalisation(folder, tmp_path):
    data = write_data(tmp_path / "data", shape=(3, 16, 16))
    save_file(made("local-dir:own/vit").model.state_dict(), folder / "model.safetensors")  # not all alike
    settings = {**SETTINGS, "model": "local-dir:own/vit", "weights": "pretrained", "normalise": "own"}
    part = Student(network="timm_model", settings=settings)
    weights = make_network(part, data=data, seed=0).state_dict()
    with new_folder(tmp_path / "model") as kept:
        save_trained(kept, Trained(weights, weights, -1, []), data=data, teacher=None, made_with={})
    network = load_trained(tmp_path / "model", part, data=data, which="last")
    live = LiveTeacher(network, features=["last"])
    batches, rules = Batches(data, batch_size=8, device=torch.device("cpu")), augmentation()
    write_cache(
        tmp_path / "cache",
        teacher=live,
        batches=batches,
        augmentation=rules,
        dtype="float32",
        teacher_digest="t",
        code={},
        rank=0,
        world=1,
    )
    cached = CachedTeacher(tmp_path / "cache", data_digest=digest(data.folder), views=1, device=torch.device("cpu"))
    batch = next(batches.ordered(view=0, augmentation=rules))
    pixels = torch.from_numpy(data.inputs[batch.index.numpy()]).float()
    wanted = network.model(normalised(pixels, HALF))
    assert not torch.allclose(network.model(batch.inputs), wanted, atol=1e-3)
    for teacher in (live, cached):
        assert torch.allclose(teacher(batch).logits[0], wanted, atol=1e-5)
    assert torch.equal(live(batch).features["last"], cached(batch).features["last"])


def test_a_folders_own_normalisation_is_its_configs(folder):
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.8}
    (folder / "config.json").write_text(json.dumps(config))
    settings = timm_model.Settings(**{**SETTINGS, "model": "local-dir:own/vit", "weights": "pretrained"})
    own = timm_model.Network.preprocessing(settings)
    assert own.model_dump() == {
        "weights": "local-dir:own/vit",
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
        "interpolation": "bicubic",
        "crop": 0.8,
    }
    config["pretrained_cfg"]["std"] = [0, 0, 0]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="its config.json says no mean, std, interpolation, crop_pct"):
        timm_model.Network.preprocessing(settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"weights": None}, "normalise: own: weights: null: nothing says what theirs is"),
        ({"model": "vit_tiny_patch16_224", "weights": "a.pth"}, "normalise: own: weights: a.pth: nothing says"),
        ({"weights": "a.pth"}, None),  # its name says which weights they are
    ],
)
def test_own_is_refused_where_nothing_says_what_it_is(settings, expected):
    if expected is None:
        network_of(IMAGENET, options=VIT, normalise="own", **settings)
        return
    with pytest.raises(InputError, match=expected):
        network_of(IMAGENET, options=VIT, normalise="own", **settings)


def test_own_is_refused_for_other_channels_and_for_a_network_that_was_told_nothing():
    settings = {**SETTINGS, "model": "resnet18.a1_in1k", "weights": "pretrained", "normalise": "own"}
    part = Student(network="timm_model", settings=settings)
    grey = Normalise(scale=255, mean=[0.5], std=[0.5])
    with pytest.raises(InputError, match="resnet18.a1_in1k has 3 means and 3 stds, the data set 1 channels"):
        built_for(part, input_shape=(1, 32, 32), classes=3, normalise=grey, seed=0)
    with pytest.raises(InputError, match="the network was not told how its inputs are normalised"):
        made("resnet18.a1_in1k", weights="pretrained", normalise="own")(torch.zeros(1, 3, 32, 32))


def test_torchvisions_weights_say_what_they_were_made_with():
    settings = {name: value for name, value in SETTINGS.items() if name != "options"}
    settings = torchvision_resnet.Settings(**{**settings, "depth": 18, "weights": "hub:IMAGENET1K_V1"})
    own = torchvision_resnet.Network.preprocessing(settings)
    assert (own.mean, own.std) == (tuple(IMAGENET.mean), tuple(IMAGENET.std))
    assert (own.interpolation, own.crop) == ("bilinear", 224 / 256)
