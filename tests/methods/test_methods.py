"""Every method of the catalogue: its terms, its gradients, its draws."""

import pytest
import torch
from torch.nn import functional as F

from bkdsnn import plugins
from bkdsnn.contracts import NetOutput
from bkdsnn.errors import InputError
from bkdsnn.methods import bkd, ce, kdsnn, logits_kd
from bkdsnn.seeding import draw_keys, keys_for, normal, uniform
from bkdsnn.tools.parts import NAMES, composed_parts

TERMS = {"ce": {"task"}, "logits_kd": {"task", "logits"}}
TERMS |= {name: {"task", "feature"} for name in ("bkd", "kdsnn", "lasnn")}
TERMS |= {name: {"task", "logits"} for name in ("kd", "nld")}
TERMS |= {"tks": {"task", "sharing"}, "samd": {"task", "map"}, "ckdsnn": {"task", "logits", "map"}}
TERMS |= {"tet": {"task", "regulariser"}, "twsnn": {"task", "logits", "self"}, "seal": {"task", "logits", "steps"}}
TERMS["mixed"] = TERMS["bkd"] | TERMS["logits_kd"]  # a method that is not listed here has at least a task
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
DRAWS = draw_keys("method", seed=0, epoch=0, index=torch.arange(6))
FEATURES = ("stage1", "stage2", "last")


def outputs(*, vectors: bool = False) -> dict[str, NetOutput]:
    """Student (T = 4) and teacher (T = 1) of 6 samples, whose features are maps, or vectors of the teacher."""
    random = torch.Generator().manual_seed(0)

    def one(steps: int, channels: int, side: tuple[int, ...]) -> NetOutput:
        return NetOutput(
            logits=torch.randn(steps, 6, 3, generator=random),
            features={
                name: torch.rand(steps, 6, channels + extra, *side, generator=random)
                for extra, name in enumerate(FEATURES)
            },
        )

    student, teacher = one(4, 5, (4, 4)), one(1, 7, () if vectors else (4, 4))
    for tensor in (student.logits, *student.features.values()):
        tensor.requires_grad_()
    teacher.features["cam"] = torch.rand(1, 6, 1, 4, 4, generator=random)
    return {"student": student, "teacher": teacher}


@pytest.fixture(scope="module")
def make():
    """`make("bkd", vectors=..., setting=...)`: a method with the settings of its part."""
    parts = composed_parts()["methods"]

    def make(name: str, *, vectors: bool = False, **changes) -> torch.nn.Module:
        module = plugins.load("method", parts[name]["method"])
        settings = module.Settings(**{**parts[name]["settings"], **changes})
        torch.manual_seed(0)
        shapes = {role: out.feature_shapes() for role, out in outputs(vectors=vectors).items()}
        method = module.Method(settings, **shapes)
        for hook, told in (
            ("begin_training", {"samples": 6, "classes": 3}),
            ("begin_step", {"index": torch.arange(6)}),
        ):
            if hasattr(method, hook):
                getattr(method, hook)(**told)
        return method

    return make


VARIANTS = [(name, False, {}) for name in NAMES["method"]] + [(name, True, {}) for name in NAMES["method"]]
VARIANTS += [
    ("bkd", False, {"restore": False}),
    ("bkd", False, {"blurred": "teacher"}),
    ("bkd", False, {"rescale_teacher": True}),
    ("bkd", True, {"rescale_teacher": True}),
    ("mixed", False, {"features": {"stage1": "stage2", "last": "last"}}),
    ("kdsnn", False, {"features": {"stage2": "last"}}),
    ("nld", False, {"noise_scale": "deviation", "noise_joins": "logits"}),
    ("samd", False, {"normalise": "sample", "map_temperature_squared": True}),
]


@pytest.mark.parametrize(("name", "vectors", "changes"), VARIANTS, ids=str)
def test_terms_are_scalars_and_every_layer_learns(make, name, vectors, changes):
    try:
        method, given = make(name, vectors=vectors, **changes), outputs(vectors=vectors)
    except InputError as error:  # one's own may compare maps alone, if it says so before anything is trained
        if name in TERMS or not vectors:
            raise
        pytest.skip(str(error))
    terms = method(**given, labels=LABELS, draws=DRAWS)
    assert set(terms) == TERMS.get(name, set(terms) | {"task"})
    assert all(term.shape == () for term in terms.values())
    sum(terms.values()).backward()
    assert given["student"].logits.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.parameters())
    logits = given["student"].logits.detach()
    expected = F.cross_entropy(logits.mean(0), LABELS)
    if getattr(method, "task_of_each_step", False):
        expected = torch.stack([F.cross_entropy(step, LABELS) for step in logits]).mean()
        expected = expected * (1 - getattr(method.settings, "regulariser_weight", 0.0))
    assert torch.allclose(terms["task"].detach(), expected)
    taught = {name for name, feature in given["student"].features.items() if feature.grad is not None}
    assert taught == set(getattr(getattr(method, "settings", None), "features", taught))


def feature_term(method: torch.nn.Module, given: dict) -> torch.Tensor:
    return method(**given, labels=LABELS, draws=DRAWS)["feature"]


@pytest.mark.parametrize("vectors", [False, True], ids=["map", "vector"])
def test_bkd_without_blur_and_restoration_is_kdsnn(make, vectors):
    plain = make("kdsnn", vectors=vectors)
    bkd_method = make("bkd", vectors=vectors, blur_ratio=0.0, restore=False)
    bkd_method.load_state_dict(plain.state_dict())
    given = outputs(vectors=vectors)
    assert torch.equal(feature_term(bkd_method, given), feature_term(plain, given))


def test_layer_wise_bkd_is_the_sum_over_layers_with_draws_of_their_own(make):
    features = {"stage1": "stage1", "last": "last"}
    together, given = make("bkd", features=features), outputs()
    masks = []
    hooks = [block.register_forward_pre_hook(lambda _m, x: masks.append(x[0] == 0)) for block in together.restore]
    total = feature_term(together, given)
    for hook in hooks:
        hook.remove()
    first, second = (mask.all(dim=(2, 3)) for mask in masks)
    assert first.any()
    assert second.any()
    assert not torch.equal(first, second[:, : first.shape[1]])
    single = make("bkd", features={"stage1": "stage1"})
    single.align[0], single.restore[0] = together.align[0], together.restore[0]
    assert feature_term(single, given) < total


def test_the_swapped_direction_teaches_the_student_without_a_convolution_between(make):
    method, given = make("bkd", blurred="teacher"), outputs()
    feature_term(method, given).backward()
    student, weight = given["student"].features["last"], method.settings.feature_weight
    with torch.no_grad():
        source = method.align[0](given["teacher"].features["last"].mean(0))
        mask = bkd.blur_mask(draws=DRAWS, channels=source.shape[1], blur_ratio=method.settings.blur_ratio)
        difference = student.mean(0) - method.restore[0](source * mask)
    assert torch.allclose(student.grad, (2 * weight / 6 / 4) * difference.expand_as(student), atol=1e-8)


@pytest.mark.parametrize("name", NAMES["method"])
def test_student_and_teacher_cannot_be_swapped_by_position(make, name):
    with pytest.raises(TypeError):
        make(name)(*outputs().values(), torch.zeros(6), torch.zeros(6))


def test_the_papers_factor_of_the_map_loss_is_the_temperature_squared(make):
    given = {**outputs(), "labels": LABELS, "draws": DRAWS}
    plain, paper = (make("samd", map_temperature=3.0, map_temperature_squared=squared) for squared in (False, True))
    assert torch.allclose(9 * plain(**given)["map"], paper(**given)["map"])


def test_a_vector_has_no_positions_to_look_at(make):
    with pytest.raises(InputError, match="feature 'last': the teacher's is a vector, not a map"):
        make("samd", vectors=True, features={"last": "last"})


def test_ckdsnn_is_the_sum_of_its_parts(make):
    given = {**outputs(), "labels": LABELS, "draws": DRAWS}
    assert {**make("nld")(**given), **make("samd")(**given)} == make("ckdsnn")(**given)


def test_mixed_is_the_sum_of_its_parts(make):
    given = {**outputs(), "labels": LABELS, "draws": DRAWS}
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
    ones, zeros = torch.ones(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    assert kdsnn.feature_loss(prediction=3 * ones, target=zeros).item() == 9 * 12
    assert kdsnn.feature_loss(prediction=3 * ones, target=zeros[:, :, 0, 0]).item() == 9 * 3


def test_task_loss_means_over_time_before_the_softmax():
    logits = torch.tensor([[[4.0, 0.0]], [[0.0, 2.0]]])  # [T, B, K]
    loss = ce.task_loss(logits=logits, labels=torch.tensor([0]), label_smoothing=0.0)
    assert loss.item() == pytest.approx(torch.log1p(torch.exp(torch.tensor(-1.0))).item())


def test_a_feature_that_is_not_there_is_named_with_those_that_are(make):
    with pytest.raises(InputError, match="feature 'first': the student has stage1, stage2, last"):
        make("bkd", features={"first": "last"})
    with pytest.raises(InputError, match="feature 'layer4': the teacher has stage1, stage2, last, cam"):
        make("lasnn", features={"stage1": "stage1", "last": "layer4"})


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ((5, 4, 4), (7, 2, 2), r"student \(5, 4, 4\), teacher 'last' \(7, 2, 2\) \(C, H, W\): H and W must agree"),
        ((5,), (7,), r"feature 'last': the student's has shape \(5,\), wanted a map"),
    ],
)
def test_features_that_cannot_be_compared_are_refused_with_their_shapes(make, student, teacher, message):
    settings = make("bkd").settings
    with pytest.raises(InputError, match=message):
        bkd.Method(settings, student={"last": student}, teacher={"last": teacher})


def test_a_vector_cannot_be_blurred(make):
    with pytest.raises(InputError, match="blurred: teacher: its feature is a vector"):
        make("bkd", vectors=True, blurred="teacher")


def test_soft_labels_are_weighted_by_the_task_as_it_is_smoothed():
    """The official loss gets the smoothed, mixed target: smoothing class labels here is the same."""
    torch.manual_seed(0)
    logits = {"student_logits": torch.randn(6, 4), "teacher_logits": torch.randn(6, 4)}
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    smoothed = 0.9 * torch.eye(4)[labels] + 0.1 / 4
    by_class, by_share = (
        logits_kd.weighted_soft_label_loss(**logits, labels=target, temperature=2.0, label_smoothing=smoothing)
        for target, smoothing in ((labels, 0.1), (smoothed, 0.0))
    )
    assert torch.allclose(by_class, by_share)


@pytest.mark.parametrize("name", ["twsnn", "seal"])
def test_a_method_that_looks_at_which_steps_are_right_needs_whole_labels(make, name):
    method = make(name)
    assert method.whole_labels
    with pytest.raises(InputError, match="needs whole labels, so no mixup"):
        method(**outputs(), labels=F.one_hot(LABELS, 3).float(), draws=DRAWS)


def test_noise_differs_between_samples_epochs_and_purposes_and_is_normal():
    keys = draw_keys("method", seed=0, epoch=0, index=torch.arange(4000))
    drawn = normal(keys=keys_for("nld", keys=keys), count=50)
    assert abs(drawn.mean()) < 5 / drawn.numel() ** 0.5
    assert abs(drawn.var() - 1) < 5 * (2 / drawn.numel()) ** 0.5
    assert drawn.abs().max() < 6
    other = uniform(keys=keys, count=50) - uniform(keys=keys_for("nld", keys=keys), count=50)
    assert (other != 0).float().mean() > 0.999
