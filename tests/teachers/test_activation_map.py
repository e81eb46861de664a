"""A teacher's class activation map: what it is, that a cache has it for every view, and who cannot have one."""

import pytest
import torch
from conftest import augmentation, write_data
from small_training import run

from bkdsnn import plugins
from bkdsnn.contracts import NetOutput
from bkdsnn.data.batches import Batches
from bkdsnn.errors import InputError
from bkdsnn.files import digest
from bkdsnn.params.check import check
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.teachers.activation_map import with_activation_map
from bkdsnn.teachers.cache_writer import write_cache
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.fit import check_fit
from bkdsnn.teachers.live import LiveTeacher

MIXED = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "switch_probability": 0.5, "probability": 0.9, "off_epoch": 2}


def resnet(shape: tuple[int, ...]) -> torch.nn.Module:
    module = plugins.load("network", "resnet")
    torch.manual_seed(0)
    network = module.Network(module.Settings(widths=[4, 8], blocks=[1, 1], stem_stride=1), input_shape=shape, classes=3)
    network.train()(torch.randn(16, *shape))  # running statistics that are not the initial ones
    return network.eval()


def test_it_is_the_positive_part_of_grad_cam_times_the_positions():
    """Selvaraju et al. 2017: channels weighted by the mean gradient of the predicted class's logit."""
    network, maps = resnet((1, 8, 8)), []
    network.stages[-1].register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    output = network(torch.randn(5, 1, 8, 8))
    (gradient,) = torch.autograd.grad(output.logits.max(2).values.sum(), maps[0])
    grad_cam = (gradient.mean((2, 3), keepdim=True) * maps[0]).sum(1, keepdim=True).relu()
    ours = with_activation_map(output, classifier=network.classifier_of_mean()).features["cam"]
    assert ours.shape == (1, 5, 1, 4, 4)
    assert ours.any()
    assert torch.allclose(ours, grad_cam * 16, atol=1e-6)


def test_the_class_is_the_predicted_one_and_what_speaks_against_it_is_no_part():
    classifier = torch.nn.Linear(2, 2)
    classifier.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    last = torch.tensor([[3.0, -1.0], [5.0, -2.0]]).view(1, 1, 2, 1, 2)  # two channels, two positions
    for logits, wanted in (([2.0, 1.0], [3.0, 0.0]), ([1.0, 2.0], [5.0, 0.0])):
        output = with_activation_map(NetOutput(torch.tensor([[logits]]), {"last": last}), classifier=classifier)
        assert output.features["cam"].flatten().tolist() == wanted


@pytest.mark.parametrize("mixup", [None, MIXED], ids=["plain", "mixed"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 2, 8, 8)], ids=["image", "frames"])
def test_a_cache_has_that_of_every_view(tmp_path, monkeypatch, shape, mixup):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    rules = augmentation(views=2, shift=1, mixup=mixup)
    batches = Batches(write_data(tmp_path / "data", shape=shape), batch_size=8, device=torch.device("cpu"))
    live = LiveTeacher(resnet(shape), features=["cam"])
    how = {"augmentation": rules, "dtype": "float32", "teacher_digest": "t", "code": {}, "rank": 0, "world": 1}
    write_cache(tmp_path / "cache", teacher=live, batches=batches, **how)
    views = 4 if mixup else 2
    cached = CachedTeacher(
        tmp_path / "cache", data_digest=digest(batches.data.folder), views=views, device=batches.device
    )
    assert cached.feature_shapes() == {"cam": (1, 4, 4)}
    seen = []
    for view in range(views):
        for batch in batches.ordered(view=view, augmentation=rules):
            assert torch.equal(cached(batch).features["cam"], live(batch).features["cam"])
        seen.append(live(batch).features["cam"])
    assert not torch.equal(*seen[:2])


@pytest.mark.parametrize("name", ["samd", "ckdsnn"])
def test_a_student_learns_under_a_cached_one(data, tmp_path, monkeypatch, composed, name):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    module = plugins.load("method", name)
    settings = module.Settings(**composed("table=digits-methods")["methods"][name]["settings"])
    method = module.Method(settings, student={"last": (8, 4, 4)}, teacher={"cam": (1, 4, 4)})
    history = run(data, method=method, features=("cam",), cache=tmp_path / "cache").history
    assert history[-1]["loss"] < history[0]["loss"]
    assert all(record["map"] > 0 for record in history)


def params(composed, **changes) -> Params:
    content = composed("table=digits-methods")
    content["teachers"]["vit-digits"].update(changes)
    for row in ("rows", "runs"):
        for key, entry in content[row].items():
            if key.startswith("image-vit"):
                entry["method"] = "samd"
                entry |= {"code_method": "methods/samd"} if row == "runs" else {}
    return validated(Params, content, where="")


def test_a_vit_cannot_teach_where_it_looks(composed):
    with pytest.raises(InputError) as told:
        check(params(composed))
    assert str(told.value) == (
        "params.yaml: methods.samd.settings.features: 'cam' is not among the features that "
        "teachers.vit-digits.features keeps: last"
    )
    asked = params(composed, features=["last", "cam"])
    check(asked)
    with pytest.raises(InputError) as told:
        check_fit(asked)
    assert str(told.value) == (
        "params.yaml: teachers.vit-digits: feature 'cam': a class activation map needs a linear classifier of the mean "
        "of the map 'last'; between 'norm' (taps.last) and the logits lie fc_norm, head_drop, head"
    )


def test_neither_can_a_spiking_network():
    network = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match="feature 'cam': a class activation map is had of a network whose classifier"):
        LiveTeacher(network, features=["cam"])


def test_what_is_not_asked_for_is_not_made(monkeypatch):
    network = resnet((1, 8, 8))
    monkeypatch.setattr(type(network), "classifier_of_mean", lambda self: pytest.fail("nobody asked"))
    assert set(LiveTeacher(network, features=["last"]).output_for(torch.zeros(2, 1, 8, 8)).features) == {"last"}
