"""What cannot fit is told before anything is trained, with the teacher or row it is about."""

import copy
import errno

import pytest
import torch
from conftest import write_data

from bkdsnn import plugins
from bkdsnn.data.foreseen import Foreseen, foreseen
from bkdsnn.errors import InputError
from bkdsnn.networks import resnet
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Params
from bkdsnn.teachers import fit, trial
from bkdsnn.teachers.fit import check_fit, check_prepared

RESNET18 = {"model": "resnet18", "options": {}, "taps": {"last": "layer4"}, "input_size": None}


@pytest.fixture(scope="module")
def tiny(composed):
    return composed("table=tiny")


def edited(params: dict, edits: dict[str, object]) -> Params:
    result = copy.deepcopy(params)
    for path, value in edits.items():
        *parents, last = path.split("/")
        node = result
        for part in parents:
            node = node[part]
        node[last] = value
    return validated(Params, result, where="")


VIT = "teachers/vit-digits/settings"
CASES = {
    "the student's feature": (
        {"methods/bkd/settings/features": {"stage9": "last"}},
        r"rows.image-bkd.method: 'bkd': feature 'stage9': the student has stage1, stage2, last",
    ),
    "the teacher's feature": (
        {"teachers/resnet-digits/features": ["last", "stage9"]},
        r"teachers.resnet-digits: the teacher has no feature 'stage9': it has stage1, stage2, last",
    ),
    "maps of other sizes": (
        {"students/sew-digits/settings/stem_stride": 1},
        r"rows.image-\w+.method: '\w+': feature 'last': student \(32, 8, 8\), teacher 'last' \(64, 4, 4\)",
    ),
    "colours for grey digits": (
        {"datasets/digits/normalise": {"scale": 255, "mean": [0.5] * 3, "std": [0.2] * 3}},
        r"datasets.digits.normalise: mean and std have 3 values, .* its samples \(1, 16, 16\) have 1",
    ),
    "an augmentation of colours": (
        {"recipes/digits/augmentation/rand_augment": "rand-m9-n1"},
        r"teachers.resnet-digits: augmentation.rand_augment: is for images of 3 channels",
    ),
    "a module that is not called": (
        {f"{VIT}/taps": {"last": "head_drop.x"}},
        "the network has no module 'head_drop.x'",
    ),
    "a picture that a ViT does not take": (
        {f"{VIT}/input_size": None},
        r"teachers.vit-digits: input_size: null: Input height \(16\) doesn't match model \(32\)",
    ),
    "no logits": (
        {f"{VIT}/options": {"features_only": True}},
        "teachers.vit-digits: options.features_only: such a model has no logits",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_fit_is_told_with_its_teacher_or_row(tiny, case):
    edits, expected = CASES[case]
    with pytest.raises(InputError, match=expected) as told:
        check_fit(edited(tiny, edits))
    assert str(told.value).startswith("params.yaml: ")
    assert "\n" not in str(told.value)


def test_a_last_batch_of_one_that_a_batch_norm_cannot_take_is_told(tiny):
    changes = {f"{VIT}/{key}": value for key, value in RESNET18.items()}
    train = tiny["datasets"]["digits"]["settings"]["split"]["train"]
    expected = f"params.yaml: teachers.vit-digits: an epoch of {train} samples ends with a batch of 1"
    with pytest.raises(InputError, match=expected):
        check_fit(edited(tiny, {**changes, "recipes/digits-vit/batch_size": train - 1}))


def test_a_method_that_looks_at_a_whole_batch_is_refused_where_batches_go_through_in_parts(tiny):
    edits = {"recipes/digits/accumulate": 2, "methods/bkd/settings/rescale_teacher": True}
    with pytest.raises(InputError, match="rows.image-bkd.method: 'bkd': accumulate 2: this method, as it is set"):
        check_fit(edited(tiny, edits))
    check_fit(edited(tiny, {"recipes/digits/accumulate": 2, "methods/bkd/settings/rescale_teacher": False}))


def test_a_part_of_one_that_a_batch_norm_cannot_take_is_told(tiny):
    edits = {f"{VIT}/{key}": value for key, value in RESNET18.items()}
    with pytest.raises(InputError, match="or a part of 1 where the recipe has accumulate"):
        check_fit(edited(tiny, {**edits, "recipes/digits-vit/accumulate": 32}))


def test_so_is_one_of_data_whose_number_is_known_once_they_are_prepared(tiny, tmp_path):
    data = write_data(tmp_path / "data", shape=(1, 16, 16), samples=42, classes=10)
    assert len(data.splits["train"]) == 28
    edits = {f"{VIT}/{key}": value for key, value in RESNET18.items()}
    check_prepared(edited(tiny, {**edits, "recipes/digits-vit/batch_size": 26}), "digits", data)
    with pytest.raises(InputError, match="teachers.vit-digits: an epoch of 28 samples ends with a batch of 1"):
        check_prepared(edited(tiny, {**edits, "recipes/digits-vit/batch_size": 27}), "digits", data)


def test_samples_of_which_the_settings_say_nothing_are_looked_at_once_they_are_prepared(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "foreseen", lambda *_: Foreseen(None, None, None, packed=True))
    bad = edited(tiny, {"methods/bkd/settings/features": {"stage9": "last"}})
    check_fit(bad)
    with pytest.raises(InputError, match="rows.image-bkd.method: 'bkd': feature 'stage9'"):
        check_prepared(bad, "digits", write_data(tmp_path / "data", shape=(1, 16, 16), classes=10))
    with pytest.raises(InputError, match=r"datasets.digits.normalise: .* its samples \(3, 16, 16\) have 3"):
        check_prepared(bad, "digits", write_data(tmp_path / "colours", shape=(3, 16, 16), classes=10))


def test_shapes_are_foreseen_of_sources_whose_samples_are_counted_later(composed):
    names = ["image-folder", "recordings", "nmnist", "ncaltech101", "dvs128-gesture", "cifar10-parquet"]
    datasets = composed("table=tiny", f"+dataset=[{','.join(names)}]")["datasets"]
    found = {}
    for name in names:
        source = plugins.load("source", datasets[name]["source"])
        found[name] = foreseen(source, validated(source.Settings, datasets[name]["settings"], where=""))
    assert found == {
        "image-folder": ((3, 64, 64), None, None, True),
        "recordings": ((4, 2, 100, 120), None, None, True),
        "nmnist": ((4, 2, 34, 34), 10, None, True),
        "ncaltech101": ((4, 2, 48, 64), 101, None, True),
        "dvs128-gesture": ((4, 2, 128, 128), 11, None, True),
        "cifar10-parquet": ((3, 32, 32), 10, None, True),
    }


def test_all_of_a_table_is_tried_without_real_numbers(tiny, monkeypatch):
    monkeypatch.setattr(trial, "this_device", lambda **_: pytest.fail("the meta device did not suffice"))
    check_fit(edited(tiny, {}))


def test_a_network_that_the_meta_device_cannot_run_is_tried_with_real_numbers(tiny, monkeypatch):
    forward, devices = resnet.Network.forward, []

    def looks_at_values(self, inputs):
        devices.append(inputs.device.type)
        assert inputs.sum().item() == 0.0
        return forward(self, inputs)

    monkeypatch.setattr(resnet.Network, "forward", looks_at_values)
    check_fit(edited(tiny, {}))
    assert set(devices) == {"meta", "cpu"}
    with pytest.raises(InputError, match="feature 'stage9'"):
        check_fit(edited(tiny, {"methods/bkd/settings/features": {"stage9": "last"}}))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda output: output.logits, "its forward gives a Tensor, wanted a NetOutput"),
        (lambda output: output._replace(logits=output.logits[0]), r"its logits have shape \(\d+, 10\), wanted \(T, "),
        (lambda output: output._replace(features={}), "none of its features is called last: it has none"),
        (
            lambda output: output._replace(features={"last": torch.ones(3)}),
            r"its feature 'last' has shape \(3,\), wanted \(T, ",
        ),
        (lambda output: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_network_of_ones_own_that_breaks_the_contract_is_told(tiny, monkeypatch, wrong, expected):
    forward = resnet.Network.forward
    monkeypatch.setattr(resnet.Network, "forward", lambda self, inputs: wrong(forward(self, inputs)))
    with pytest.raises(InputError, match=f"params.yaml: teachers.resnet-digits: {expected}"):
        check_fit(edited(tiny, {}))


def test_a_full_disk_is_no_fault_of_params_yaml_and_a_lack_of_memory_is_called_so(tiny, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "cache")

    def large(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(trial.Trial, "learns", full)
    with pytest.raises(OSError, match="No space left"):
        check_fit(edited(tiny, {}))
    monkeypatch.setattr(trial.Trial, "learns", large)
    with pytest.raises(InputError, match=r"teachers\.[\w-]+: out of memory \(DefaultCPUAllocator"):
        check_fit(edited(tiny, {}))
