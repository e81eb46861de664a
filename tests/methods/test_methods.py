"""Every method of the catalogue: its terms, its gradients, its draws."""

import pytest
import torch
import yaml
from conftest import ROOT
from torch.nn import functional as F

from bkdsnn import catalogue
from bkdsnn.contracts import NetOutput
from bkdsnn.errors import InputError
from bkdsnn.methods import bkd, ce
from bkdsnn.seeding import draw_keys

TERMS = {"ce": {"task"}, "logits_kd": {"task", "logits"}, "bkd": {"task", "feature"}}
TERMS["mixed"] = TERMS["bkd"] | TERMS["logits_kd"]  # a method that is not listed here has at least a task


def outputs(seed: int = 0) -> dict[str, NetOutput]:
    random = torch.Generator().manual_seed(seed)

    def one(steps: int, channels: int) -> NetOutput:
        return NetOutput(
            logits=torch.randn(steps, 6, 3, generator=random),
            features={"last": torch.rand(steps, 6, channels, 4, 4, generator=random)},
        )

    student = one(4, 5)
    for tensor in (student.logits, student.features["last"]):
        tensor.requires_grad_()
    return {"student": student, "teacher": one(1, 7)}


def make(name: str, **changes) -> torch.nn.Module:
    module = catalogue.load("method", name)
    part = yaml.safe_load((ROOT / f"src/bkdsnn/conf/method/{name}.yaml").read_text())
    values = {key: 0.15 if key == "blur_ratio" else value for key, value in part["settings"].items()}
    shapes = {role: output.feature_shapes() for role, output in outputs().items()}
    return module.Method(module.Settings(**{**values, **changes}), **shapes)


@pytest.mark.parametrize("name", catalogue.names("method"))
def test_terms_are_scalars_and_every_layer_learns(name):
    method, given = make(name), outputs()
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    terms = method(**given, labels=labels, draws=draw_keys("method", seed=0, epoch=0, index=torch.arange(6)))
    assert set(terms) == TERMS.get(name, set(terms) | {"task"})
    assert all(term.shape == () for term in terms.values())
    sum(terms.values()).backward()
    assert given["student"].logits.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.parameters())
    expected = F.cross_entropy(given["student"].logits.detach().mean(0), labels)
    assert torch.allclose(terms["task"].detach(), expected)


@pytest.mark.parametrize("name", catalogue.names("method"))
def test_student_and_teacher_cannot_be_swapped_by_position(name):
    with pytest.raises(TypeError):
        make(name)(*outputs().values(), torch.zeros(6), torch.zeros(6))


def test_mixed_is_the_sum_of_its_parts():
    given = {**outputs(), "labels": torch.tensor([0, 1, 2, 0, 1, 2])}
    given["draws"] = draw_keys("method", seed=0, epoch=0, index=torch.arange(6))
    mixed = make("mixed")
    single = make("bkd")
    single.load_state_dict(mixed.parts[0].state_dict())
    assert {**single(**given), **make("logits_kd")(**given)} == mixed(**given)


def test_blur_drops_whole_channels_at_the_asked_rate():
    draws = draw_keys("method", seed=3, epoch=1, index=torch.arange(500))
    mask = bkd.blur_mask(draws=draws, channels=64, blur_ratio=0.4)
    assert mask.shape == (500, 64, 1, 1)
    kept = mask.float().mean().item()
    assert abs(kept - 0.6) < 4 * (0.24 / mask.numel()) ** 0.5
    assert torch.equal(bkd.blur_mask(draws=draws[7:9], channels=64, blur_ratio=0.4), mask[7:9])
    assert bkd.blur_mask(draws=draws, channels=64, blur_ratio=0.0).all()


def test_feature_loss_by_hand():
    restored, teacher = torch.ones(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    assert bkd.feature_loss(restored=3 * restored, teacher_feature=teacher).item() == 9 * 12


def test_task_loss_means_over_time_before_the_softmax():
    logits = torch.tensor([[[4.0, 0.0]], [[0.0, 2.0]]])  # [T, B, K]
    loss = ce.task_loss(logits=logits, labels=torch.tensor([0]), label_smoothing=0.0)
    assert loss.item() == pytest.approx(torch.log1p(torch.exp(torch.tensor(-1.0))).item())


def test_a_feature_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InputError, match="feature 'first': the student has last"):
        make("bkd", feature="first")


def test_maps_of_other_size_are_refused_with_both_shapes():
    settings = make("bkd").settings
    with pytest.raises(InputError, match=r"student \(5, 4, 4\), teacher \(7, 2, 2\)"):
        bkd.Method(settings, student={"last": (5, 4, 4)}, teacher={"last": (7, 2, 2)})
