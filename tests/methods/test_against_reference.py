"""The methods' real forwards against numbers of the official implementation (`tests/reference/README.md`)."""

import numpy as np
import pytest
import torch
from conftest import ROOT

from bkdsnn.contracts import NetOutput
from bkdsnn.methods import bkd, logits_kd

FOLDER = ROOT / "tests/reference"


def cases(name: str) -> list[dict[str, np.ndarray]]:
    with np.load(FOLDER / name, allow_pickle=False) as archive:
        found = [{} for _ in range(int(archive["num_cases"]))]
        for key in archive.files:
            if key != "num_cases":
                case, _, field = key.partition(".")
                found[int(case[1:])][field] = archive[key]
    return found


def relative(ours: torch.Tensor, reference: np.ndarray) -> float:
    reference = torch.from_numpy(np.asarray(reference))
    return float((ours.detach() - reference).norm() / reference.norm().clamp(min=1e-12))


@pytest.mark.parametrize("case", cases("bkd_map_to_map.npz"), ids=lambda case: f"lambda{case['lambda']:.2f}")
def test_bkd_loss_and_all_its_gradients(case, monkeypatch):
    student = torch.from_numpy(case["student"]).requires_grad_()
    teacher = torch.from_numpy(case["teacher"])
    settings = bkd.Settings(
        label_smoothing=0.0,
        feature="last",
        blur_ratio=float(case["lambda"]),
        feature_weight=float(case["alpha"]),
        rescale_teacher=bool(case["use_clip"]),
    )
    shapes = ({"last": tuple(t.shape[1:])} for t in (student, teacher))
    method = bkd.Method(settings, student=next(shapes), teacher=next(shapes))
    layers = {"gen1": method.restore[0], "gen2": method.restore[2]}
    if "align_weight" in case:
        layers["align"] = method.align
    for name, convolution in layers.items():
        convolution.weight.data = torch.from_numpy(case[f"{name}_weight"])
        convolution.bias.data = torch.from_numpy(case[f"{name}_bias"])
    monkeypatch.setattr(bkd, "blur_mask", lambda **_: torch.from_numpy(case["mask"]).bool())
    logits = torch.zeros(1, len(student), 2)
    terms = method(
        student=NetOutput(logits=logits, features={"last": student[None]}),
        teacher=NetOutput(logits=logits, features={"last": teacher[None]}),
        labels=torch.zeros(len(student), dtype=torch.int64),
        draws=torch.zeros(len(student), dtype=torch.int64),
    )
    assert relative(terms["feature"], case["loss"]) < 1e-5
    terms["feature"].backward()
    assert relative(student.grad, case["grad_student"]) < 1e-5
    for name, convolution in layers.items():
        assert relative(convolution.weight.grad, case[f"grad_{name}_weight"]) < 1e-5
        assert relative(convolution.bias.grad, case[f"grad_{name}_bias"]) < 1e-5


@pytest.mark.parametrize("case", cases("bkd_map_to_map.npz")[:3], ids=lambda case: f"lambda{case['lambda']:.2f}")
def test_the_mask_drops_where_the_official_draw_is_below_lambda(case, monkeypatch):
    draw = torch.from_numpy(case["mask_uniform"])
    monkeypatch.setattr(bkd, "uniform", lambda **_: draw[:, :, 0, 0])
    keys = torch.zeros(len(draw), dtype=torch.int64)
    mask = bkd.blur_mask(draws=keys, channels=draw.shape[1], blur_ratio=float(case["lambda"]))
    assert np.array_equal(mask.numpy(), case["mask"].astype(bool))


@pytest.mark.parametrize(
    "case", cases("logits_loss.npz"), ids=lambda case: f"{case['label_kind']}-{case['special']}-{case['temperature']}"
)
def test_logits_loss_and_gradient(case):
    logits = torch.from_numpy(case["student_logits"]).requires_grad_()
    loss = logits_kd.weighted_soft_label_loss(
        student_logits=logits,
        teacher_logits=torch.from_numpy(case["teacher_logits"]),
        labels=torch.from_numpy(case["target"]),
        temperature=float(case["temperature"]),
    )
    loss.backward()
    assert relative(loss, case["loss"]) < 1e-5
    assert relative(logits.grad, case["grad_student_logits"]) < 1e-5


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_class_indices_equal_one_hot_labels(kind):
    case = next(c for c in cases("logits_loss.npz") if c["label_kind"] == "hard")
    given = {"hard": case["class_index"].astype(np.int64), "soft": case["target"]}[kind]
    loss = logits_kd.weighted_soft_label_loss(
        student_logits=torch.from_numpy(case["student_logits"]),
        teacher_logits=torch.from_numpy(case["teacher_logits"]),
        labels=torch.from_numpy(given),
        temperature=float(case["temperature"]),
    )
    assert relative(loss, case["loss"]) < 1e-5
