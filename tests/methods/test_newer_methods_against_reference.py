"""The newer methods' real forwards against numbers of their official code, value by value and gradient by gradient."""

import numpy as np
import pytest
import torch
from reference_vectors import assert_equal_to, load

from bkdsnn.contracts import NetOutput
from bkdsnn.methods import ckdsnn, nld, samd, seal, tet, tks, twsnn
from bkdsnn.methods._losses import soft_loss
from bkdsnn.teachers.activation_map import with_activation_map

PLAIN = {"label_smoothing": 0.0}
OFFICIAL_NOISE = {"noise_scale": "variance", "noise_joins": "probabilities"}
OFFICIAL_MAPS = {"features": {"last": "cam"}, "map_weight": 1.0, "map_temperature_squared": False, "normalise": "batch"}
DRAWS = torch.zeros(9, dtype=torch.int64)


def inputs(case: dict) -> tuple[torch.Tensor, dict]:
    """The student's logits, which want a gradient, and what a method is called with."""
    logits = torch.from_numpy(case["student_logits"]).requires_grad_()
    teacher = NetOutput(torch.from_numpy(case["teacher_logits"]), {}) if "teacher_logits" in case else None
    student = NetOutput(logits if logits.dim() == 3 else logits[None], {})
    labels = torch.from_numpy(case["labels"]) if "labels" in case else torch.zeros(len(logits), dtype=torch.int64)
    return logits, {"student": student, "teacher": teacher, "labels": labels, "draws": DRAWS[: len(labels)]}


def assert_terms(file: str, case: dict, logits: torch.Tensor, terms: dict, official: dict[str, str]) -> None:
    """Each term, without its weight, and their sum; of all the gradients too."""
    names = {**{ours: (theirs, float(case.get(weight, 1.0))) for ours, (theirs, weight) in official.items()}}
    values = {theirs: terms[ours] / weight for ours, (theirs, weight) in names.items()}
    values["total"] = sum(terms.values())
    for name, value in values.items():
        assert_equal_to(file, value, case[f"loss_{name}"])
        (gradient,) = torch.autograd.grad(value, logits, retain_graph=True)
        assert_equal_to(file, gradient, case[f"grad_{name}"])


@pytest.mark.parametrize("file", ["twsnn_cifar", "twsnn_dvs", "twsnn_imagenet", "twsnn_none_correct", "twsnn_one_step"])
def test_twsnn_terms_and_gradients(file):
    case = load(file)
    logits, given = inputs(case)
    weights = {"logits_weight": float(case["alpha"]), "self_weight": float(case["beta"])}
    settings = twsnn.Settings(**PLAIN, **weights, temperature=float(case["temperature"]), ensemble="correct")
    terms = twsnn.Method(settings, student={}, teacher={})(**given)
    official = {"task": ("twce", ""), "logits": ("twkl", "alpha"), "self": ("twsd", "beta")}
    assert_terms(file, case, logits, terms, official)
    target = twsnn.ensemble_logits(logits=logits, labels=given["labels"], ensemble="correct")
    assert_equal_to(file, target, case["ensemble_target"])


def test_the_papers_ensemble_is_of_all_steps():
    case = load("twsnn_cifar")
    logits, given = inputs(case)
    target = twsnn.ensemble_logits(logits=logits, labels=given["labels"], ensemble="all")
    assert torch.equal(target, logits.detach().mean(0))
    assert not target.requires_grad


@pytest.mark.parametrize("file", ["seal", "seal_all_correct", "seal_none_correct", "seal_one_step"])
def test_seal_terms_and_gradients(file):
    case = load(file)
    logits, given = inputs(case)
    weights = {"logits_weight": float(case["alpha"]), "steps_weight": float(case["beta"])}
    settings = seal.Settings(**PLAIN, **weights, temperature=float(case["temperature"]))
    terms = seal.Method(settings, student={}, teacher={})(**given)
    official = {"task": ("twce", ""), "logits": ("ela", "alpha"), "steps": ("sta", "beta")}
    assert_terms(file, case, logits, terms, official)
    ours, theirs = seal.aligned_logits(
        student_logits=logits, teacher_logits=given["teacher"].logits, labels=given["labels"]
    )
    assert_equal_to(file, ours, case["aligned_student_logits"])
    assert_equal_to(file, theirs, case["aligned_teacher_logits"])


@pytest.mark.parametrize("file", ["tet", "tet_other"])
def test_tet_loss_and_gradients_with_and_without_its_regulariser(file):
    case = load(file)
    for weight, loss, gradient in (
        (float(case["lamb"]), "loss_tet_regularised", "grad_tet_regularised"),
        (0.0, "loss_tet_library", "grad_tet_library"),
    ):
        logits, given = inputs(case)
        settings = tet.Settings(**PLAIN, regulariser_weight=weight, regulariser_target=float(case["means"]))
        total = sum(tet.Method(settings, student={}, teacher={})(**given).values())
        total.backward()
        assert_equal_to(file, total, case[loss])
        assert_equal_to(file, logits.grad, case[gradient])


@pytest.mark.parametrize("file", ["tks", "tks_static", "tks_none_correct", "tks_after_last_epoch"])
def test_tks_terms_gradients_and_the_weights_of_an_epoch(file):
    case = load(file)
    logits, given = inputs(case)
    settings = tks.Settings(
        **PLAIN,
        sharing_weight=float(case["alpha"]),
        temperature=float(case["temperature"]),
        grows=not bool(case["static_alpha"]),
    )
    method = tks.Method(settings, student={}, teacher={})
    method.begin_epoch(int(case["epoch"]), epochs=int(case["epochs"]))
    assert 1 - method.share == pytest.approx(float(case["weight_ce"]))
    total = sum(method(**given).values())
    total.backward()
    assert_equal_to(file, total, case["loss_total"])
    assert_equal_to(file, logits.grad, case["grad_total"])
    sharing = tks.sharing_loss(logits=logits, labels=given["labels"], temperature=settings.temperature)
    assert_equal_to(file, sharing, case["loss_tks"])
    assert_equal_to(file, torch.autograd.grad(sharing, logits)[0], case["grad_tks"])


@pytest.mark.parametrize("file", ["ckdsnn_nld", "ckdsnn_nld_other"])
def test_nld_loss_and_gradient_with_the_official_draw(file, monkeypatch):
    case = load(file)
    logits, given = inputs(case)
    monkeypatch.setattr(nld, "normal", lambda **_: torch.from_numpy(case["standard_normal_draw"]))
    noise = 1.0 - float(case["noise_weight"])
    settings = nld.Settings(
        **PLAIN, logits_weight=1.0, temperature=float(case["temperature"]), noise=noise, **OFFICIAL_NOISE
    )
    loss = nld.Method(settings, student={}, teacher={})(**given)["logits"]
    loss.backward()
    assert_equal_to(file, loss, case["loss_nld"])
    assert_equal_to(file, logits.grad, case["grad_nld"])


def looking_teacher(case: dict) -> NetOutput:
    """The teacher of a case with the map that is made of its classifier, whose bias has no part in it."""
    classifier = torch.nn.Linear(*case["teacher_classifier_weight"].shape[::-1])
    classifier.weight.data = torch.from_numpy(case["teacher_classifier_weight"])
    output = NetOutput(torch.from_numpy(case["teacher_logits"]), {"last": torch.from_numpy(case["teacher_feature"])})
    return with_activation_map(output, classifier=classifier)


@pytest.mark.parametrize("file", ["ckdsnn_samd", "ckdsnn_samd_binary"])
def test_samd_distributions_loss_and_gradient(file):
    case = load(file)
    feature, teacher = torch.from_numpy(case["student_feature"]).requires_grad_(), looking_teacher(case)
    how = {"temperature": float(case["temperature"]), "normalise": "batch"}
    for maps, wanted in ((feature.sum((0, 2)), "student_prob"), (teacher.features["cam"][0, :, 0], "teacher_prob")):
        ours = samd.shares(maps, **how)
        assert_equal_to(file, ours.view(maps.shape), case[wanted])
    settings = samd.Settings(**PLAIN, **OFFICIAL_MAPS, map_temperature=how["temperature"])
    shapes = {"student": {"last": feature.shape[2:]}, "teacher": teacher.feature_shapes()}
    student = NetOutput(teacher.logits, {"last": feature})
    labels = torch.zeros(feature.shape[1], dtype=torch.int64)
    loss = samd.Method(settings, **shapes)(student=student, teacher=teacher, labels=labels, draws=labels)["map"]
    loss.backward()
    assert_equal_to(file, loss, case["loss_samd"])
    assert_equal_to(file, feature.grad, case["grad_samd"])


def test_ckdsnn_terms_their_sum_and_both_gradients(monkeypatch):
    file = "ckdsnn_total"
    case = load(file)
    monkeypatch.setattr(nld, "normal", lambda **_: torch.from_numpy(case["standard_normal_draw"]))
    logits, feature = (
        torch.from_numpy(case[name]).requires_grad_() for name in ("student_logits_mean", "student_feature")
    )
    student, teacher = NetOutput(logits[None], {"last": feature}), looking_teacher(case)
    settings = ckdsnn.Settings(
        **PLAIN,
        **OFFICIAL_NOISE,
        **OFFICIAL_MAPS,
        logits_weight=float(case["weight_nld"]),
        temperature=float(case["temperature_nld"]),
        map_temperature=float(case["temperature_samd"]),
        noise=1.0 - float(case["noise_weight"]),
    )
    method = ckdsnn.Method(settings, student=student.feature_shapes(), teacher=teacher.feature_shapes())
    terms = method(student=student, teacher=teacher, labels=torch.from_numpy(case["labels"]), draws=DRAWS[:5])
    for term, wanted in (("task", "ce"), ("logits", "nld"), ("map", "samd")):
        assert_equal_to(file, terms[term], case[f"loss_{wanted}"])
    total = sum(terms.values())
    total.backward()
    assert_equal_to(file, total, case["loss_total"])
    assert_equal_to(file, logits.grad, case["grad_total_logits"])
    assert_equal_to(file, feature.grad, case["grad_total_feature"])


def test_where_the_papers_readings_differ_they_are_the_formulas_of_the_paper():
    logits, draws = torch.tensor([[3.0, 1.0, -1.0]]), torch.tensor([[1.0, 0.0, -2.0]])  # mean 1, variance 4
    paper = {"noise_scale": "deviation", "noise_joins": "logits"}
    settings = nld.Settings(**PLAIN, logits_weight=1.0, temperature=2.0, noise=0.5, **paper)
    said = nld.noisy_probabilities(logits, normal_draws=draws, settings=settings)
    assert torch.allclose(said, torch.softmax(torch.tensor([[3 + 1.5, 1 + 0.5, -1 - 1.5]]) / 2, dim=1))
    teacher_map, student_map = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    how = {"temperature": 2.0, "normalise": "sample"}
    alone = [
        samd.map_loss(student_map=s[None], teacher_map=10 * t[None], **how)
        for s, t in zip(student_map, teacher_map, strict=True)
    ]
    together = samd.map_loss(student_map=student_map, teacher_map=10 * teacher_map, **how)
    assert torch.allclose(together, torch.stack(alone).mean())


def test_the_soft_loss_is_hintons_by_numbers_that_scipy_computes():
    from scipy.special import rel_entr, softmax

    random = np.random.default_rng(0)
    student, teacher = random.normal(size=(5, 7)), random.normal(size=(5, 7))
    wanted = 9.0 * rel_entr(softmax(teacher / 3, axis=1), softmax(student / 3, axis=1)).sum(1).mean()
    ours = soft_loss(
        student_logits=torch.from_numpy(student), teacher_logits=torch.from_numpy(teacher), temperature=3.0
    )
    assert float(ours) == pytest.approx(wanted, rel=1e-12)
