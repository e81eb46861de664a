"""The methods' real forwards against numbers of the official implementation."""

import numpy as np
import pytest
import torch
from reference_networks import SPIKINGFORMER, make_spikingformer
from reference_vectors import assert_equal_to, cases, load, official_name

from bkdsnn.contracts import NetOutput
from bkdsnn.methods import bkd, kdsnn, lasnn, logits_kd, mixed

BKD = {"label_smoothing": 0.0, "features": {"last": "last"}, "restore": True, "blurred": "student"}


def named(case: dict) -> str:
    channels = "" if "align_weight" not in case else "-align"
    return f"lambda{case['lambda']:.2f}-alpha{case['alpha']:.0e}-clip{case['use_clip']}{channels}"


def output(features: dict[str, torch.Tensor]) -> NetOutput:
    """Features `[B, ...]` as a network's output at T = 1; the logits do not matter."""
    size = len(next(iter(features.values())))
    return NetOutput(logits=torch.zeros(1, size, 2), features={name: value[None] for name, value in features.items()})


def shapes(features: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape[1:]) for name, value in features.items()}


def terms_of(method: torch.nn.Module, student: dict, teacher: dict) -> dict[str, torch.Tensor]:
    size = len(next(iter(student.values())))
    zeros = torch.zeros(size, dtype=torch.int64)
    return method(student=output(student), teacher=output(teacher), labels=zeros, draws=zeros)


def fill(layer: torch.nn.Module, case: dict, name: str) -> None:
    layer.weight.data = torch.from_numpy(case[f"{name}_weight"])
    layer.bias.data = torch.from_numpy(case[f"{name}_bias"])


def assert_gradients(file: str, layer: torch.nn.Module, case: dict, name: str) -> None:
    assert_equal_to(file, layer.weight.grad, case[f"grad_{name}_weight"])
    assert_equal_to(file, layer.bias.grad, case[f"grad_{name}_bias"])


def bkd_layers(method: bkd.Method, case: dict) -> dict[str, torch.nn.Module]:
    """The layers of a method with one pair of features, filled as the case says, by their official names."""
    layers = {"gen1": method.restore[0][0], "gen2": method.restore[0][2]}
    if "align_weight" in case:
        layers["align"] = method.align[0]
    for name, layer in layers.items():
        fill(layer, case, name)
    return layers


def bkd_settings(case: dict, **changes) -> bkd.Settings:
    return bkd.Settings(
        **{
            **BKD,
            "blur_ratio": float(case["lambda"]),
            "feature_weight": float(case["alpha"]),
            "rescale_teacher": bool(case["use_clip"]),
            **changes,
        }
    )


def mask_of(case: dict, monkeypatch) -> None:
    monkeypatch.setattr(bkd, "blur_mask", lambda **_: torch.from_numpy(case["mask"]).bool())


@pytest.mark.parametrize(
    ("file", "case"),
    [(file, case) for file in ("bkd_map_to_map", "bkd_map_to_vector") for case in cases(file)],
    ids=lambda value: value.removeprefix("bkd_") if isinstance(value, str) else named(value),
)
def test_bkd_loss_and_all_its_gradients(file, case, monkeypatch):
    student = {"last": torch.from_numpy(case["student"]).requires_grad_()}
    teacher = {"last": torch.from_numpy(case["teacher"])}
    method = bkd.Method(bkd_settings(case), student=shapes(student), teacher=shapes(teacher))
    layers = bkd_layers(method, case)
    mask_of(case, monkeypatch)
    loss = terms_of(method, student, teacher)["feature"]
    assert_equal_to(file, loss, case["loss"])
    loss.backward()
    assert_equal_to(file, student["last"].grad, case["grad_student"])
    for name, layer in layers.items():
        assert_gradients(file, layer, case, name)


@pytest.mark.parametrize("case", cases("bkd_swapped_arguments"), ids=named)
def test_bkd_in_the_direction_of_the_official_dvs_scripts(case, monkeypatch):
    student = {"last": torch.from_numpy(case["second_argument_student"]).requires_grad_()}
    teacher = {"last": torch.from_numpy(case["first_argument_teacher"])}
    method = bkd.Method(bkd_settings(case, blurred="teacher"), student=shapes(student), teacher=shapes(teacher))
    bkd_layers(method, case)
    mask_of(case, monkeypatch)
    loss = terms_of(method, student, teacher)["feature"]
    assert_equal_to("bkd_swapped_arguments", loss, case["loss"])
    loss.backward()
    assert_equal_to("bkd_swapped_arguments", student["last"].grad, case["grad_student"])


@pytest.mark.parametrize("case", cases("bkd_map_to_map")[:3], ids=named)
def test_the_mask_drops_where_the_official_draw_is_below_lambda(case, monkeypatch):
    draw = torch.from_numpy(case["mask_uniform"])
    monkeypatch.setattr(bkd, "uniform", lambda **_: draw[:, :, 0, 0])
    keys = torch.zeros(len(draw), dtype=torch.int64)
    mask = bkd.blur_mask(draws=keys, channels=draw.shape[1], blur_ratio=float(case["lambda"]))
    assert np.array_equal(mask.numpy(), case["mask"].astype(bool))


@pytest.mark.parametrize("case", cases("kdsnn_loss"))
def test_kdsnn_loss_and_gradients(case):
    student = {"last": torch.from_numpy(case["student"]).requires_grad_()}
    teacher = {"last": torch.from_numpy(case["teacher"])}
    settings = kdsnn.Settings(label_smoothing=0.0, features={"last": "last"}, feature_weight=float(case["alpha"]))
    method = kdsnn.Method(settings, student=shapes(student), teacher=shapes(teacher))
    if "align_weight" in case:
        fill(method.align[0], case, "align")
    loss = terms_of(method, student, teacher)["feature"]
    assert_equal_to("kdsnn_loss", loss, case["loss"])
    loss.backward()
    assert_equal_to("kdsnn_loss", student["last"].grad, case["grad_student"])


@pytest.mark.parametrize("case", cases("mse_map_to_vector"))
def test_kdsnn_under_a_vector_is_the_official_mse_times_the_channels(case):
    """The official `MSE` is a mean over channels too, ours a sum as all its other losses are."""
    student = {"last": torch.from_numpy(case["student"]).requires_grad_()}
    teacher = {"last": torch.from_numpy(case["teacher"])}
    weight = 1 / teacher["last"].shape[1]
    settings = kdsnn.Settings(label_smoothing=0.0, features={"last": "last"}, feature_weight=weight)
    method = kdsnn.Method(settings, student=shapes(student), teacher=shapes(teacher))
    if "align_weight" in case:
        fill(method.align[0], case, "align")
    loss = terms_of(method, student, teacher)["feature"]
    assert_equal_to("mse_map_to_vector", loss, case["loss"])
    loss.backward()
    assert_equal_to("mse_map_to_vector", student["last"].grad, case["grad_student"])


@pytest.mark.parametrize("case", cases("lasnn_loss"))
def test_lasnn_loss_and_gradients(case):
    stages = range(int(case["fnum"]))
    student = {f"stage{i}": torch.from_numpy(case[f"student{i}"]).requires_grad_() for i in stages}
    teacher = {f"stage{i}": torch.from_numpy(case[f"teacher{i}"]) for i in stages}
    settings = lasnn.Settings(
        label_smoothing=0.0, features={name: name for name in student}, feature_weight=float(case["alpha"])
    )
    method = lasnn.Method(settings, student=shapes(student), teacher=shapes(teacher))
    for i in stages:
        if f"align{i}_weight" in case:
            fill(method.align[i], case, f"align{i}")
    loss = terms_of(method, student, teacher)["feature"]
    assert_equal_to("lasnn_loss", loss, case["loss"])
    loss.backward()
    for i in stages:
        assert_equal_to("lasnn_loss", student[f"stage{i}"].grad, case[f"grad_student{i}"])


def test_lasnn_align_layers_learn_which_the_official_ones_do_not():
    """In the official class they lie in a plain list: no optimiser sees them."""
    settings = lasnn.Settings(label_smoothing=0.0, features={"a": "a", "b": "b"}, feature_weight=1.0)
    method = lasnn.Method(settings, student={"a": (3, 2, 2), "b": (4, 2, 2)}, teacher={"a": (5, 2, 2), "b": (6, 2, 2)})
    assert [tuple(parameter.shape) for parameter in method.parameters()] == [(5, 3, 1, 1), (5,), (6, 4, 1, 1), (6,)]
    student = {"a": torch.ones(2, 3, 2, 2), "b": torch.ones(2, 4, 2, 2)}
    teacher = {"a": torch.ones(2, 5, 2, 2), "b": torch.ones(2, 6, 2, 2)}
    terms_of(method, student, teacher)["feature"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.parameters())


@pytest.mark.parametrize(
    "case", cases("logits_loss"), ids=lambda case: f"{case['label_kind']}-{case['special']}-{case['temperature']}"
)
def test_logits_loss_and_gradient(case):
    logits = torch.from_numpy(case["student_logits"]).requires_grad_()
    loss = logits_kd.weighted_soft_label_loss(
        student_logits=logits,
        teacher_logits=torch.from_numpy(case["teacher_logits"]),
        labels=torch.from_numpy(case["target"]),
        temperature=float(case["temperature"]),
        label_smoothing=0.0,
    )
    loss.backward()
    assert_equal_to("logits_loss", loss, case["loss"])
    if case["special"] == "equal":  # the gradient is 0; what is left is float32's rounding, the processor's own
        assert max(float(logits.grad.abs().max()), float(np.abs(case["grad_student_logits"]).max())) < 1e-7
    else:
        assert_equal_to("logits_loss", logits.grad, case["grad_student_logits"])


def test_class_indices_equal_one_hot_labels():
    case = next(c for c in cases("logits_loss") if c["label_kind"] == "hard")
    loss = logits_kd.weighted_soft_label_loss(
        student_logits=torch.from_numpy(case["student_logits"]),
        teacher_logits=torch.from_numpy(case["teacher_logits"]),
        labels=torch.from_numpy(case["class_index"].astype(np.int64)),
        temperature=float(case["temperature"]),
        label_smoothing=0.0,
    )
    assert_equal_to("logits_loss", loss, case["loss"])


def test_one_whole_mixed_step(monkeypatch):
    """Network and method together, in double precision: all three terms, and gradients of both."""
    name, case = "mixed_step", load("mixed_step")
    student = make_spikingformer(load("spikingformer_imagenet_small"), (0, 1, 2, 3)).train()
    output = student(torch.from_numpy(case["x"]).double())
    assert_equal_to(name, output.logits.mean(0), case["student_logits"])
    assert output.features["last"].mean(0).shape == tuple(case["student_feature_shape"])
    teacher = NetOutput(
        logits=torch.from_numpy(case["teacher_logits"]).double()[None],
        features={"last": torch.from_numpy(case["teacher_feature"]).double()[None]},
    )
    settings = mixed.Settings(
        **bkd_settings(case).model_dump(),
        logits_weight=float(case["distill_weight"]),
        temperature=float(case["temperature"]),
    )
    method = mixed.Method(settings, student=output.feature_shapes(), teacher=teacher.feature_shapes())
    layers = {"align": method.parts[0].align[0]}
    layers |= {"generation.0": method.parts[0].restore[0][0], "generation.2": method.parts[0].restore[0][2]}
    for key, layer in layers.items():
        layer.weight.data = torch.from_numpy(case[f"loss_module.{key}.weight"])
        layer.bias.data = torch.from_numpy(case[f"loss_module.{key}.bias"])
    mask_of(case, monkeypatch)
    method.double()
    labels = torch.from_numpy(case["target"]).double()
    terms = method(student=output, teacher=teacher, labels=labels, draws=torch.zeros(len(labels), dtype=torch.int64))
    for term, value in terms.items():
        assert_equal_to(name, value, case[f"loss_{term}"])
    total = sum(terms.values())
    assert_equal_to(name, total, case["loss_total"])
    total.backward()
    gradients = {official_name(key, SPIKINGFORMER): p.grad for key, p in student.named_parameters()}
    official = dict(zip(case["grad_names"].tolist(), case["grad_norms"], strict=True))
    norms = {key: value for key, value in official.items() if key in gradients}
    assert gradients.keys() == norms.keys()
    assert_equal_to(name, torch.stack([gradients[key].norm() for key in norms]), np.array(list(norms.values())))
    for key, gradient in gradients.items():
        if f"grad.{key}" in case:
            assert_equal_to(name, gradient, case[f"grad.{key}"].reshape(gradient.shape))
    for key, layer in layers.items():
        assert_equal_to(name, layer.weight.grad, case[f"grad_loss_module.{key}.weight"])
        assert_equal_to(name, layer.bias.grad, case[f"grad_loss_module.{key}.bias"])
