"""Every method takes a training step with networks of the paper, student and teacher at their true sizes."""

import copy
from functools import cache

import pytest
import torch

from bkdsnn import plugins
from bkdsnn.contracts import Batch
from bkdsnn.params.recipe import Optimiser
from bkdsnn.seeding import draw_keys
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.tools.parts import NAMES, build, composed_parts, looks_at
from bkdsnn.training.loop import Learner
from bkdsnn.training.optimiser import make_optimiser

STAGES = {f"stage{number}": f"stage{number}" for number in (1, 2, 3, 4)}
PAIRS = {
    "map to vector": ("spikingformer-4-256-cifar", "vit-small-cifar", {"last": "last"}),
    "map to map": ("sew-resnet-cifar10-dvs", "sew-resnet-cifar10-dvs-ann", {"layer9": "layer9"}),
    "layer by layer": ("sew-resnet-18-imagenet", "resnet-18-imagenet", STAGES),
}
OF_MAPS = ("samd", "ckdsnn")  # a vector has no positions to compare
CASES = [pytest.param("map to vector", name, {}) for name in NAMES["method"] if name not in OF_MAPS]
CASES += [pytest.param("map to map", name, {}) for name in NAMES["method"]]
CASES += [pytest.param("layer by layer", name, {}, marks=pytest.mark.slow) for name in ("bkd", "lasnn", "mixed")]
CASES += [
    pytest.param("map to map", "bkd", {"blurred": "teacher"}),
    pytest.param("map to map", "bkd", {"restore": False}),
]


@pytest.fixture(scope="module")
def parts():
    return composed_parts()


class Pair:
    """A student, a batch, and what the student's feature shapes are and its teacher says of it."""

    def __init__(self, parts, student: str, teacher: str, features: dict[str, str]) -> None:
        shape, classes = looks_at(student)
        self.student = build(parts["students"][student], input_shape=shape, classes=classes)
        self.teacher = build(parts["teachers"][teacher], input_shape=shape, classes=classes)
        index = torch.arange(2)
        self.batch = Batch(
            inputs=(3 * torch.rand(2, *shape)).floor(),
            labels=torch.tensor([1, classes - 1]),
            index=index,
            draws=draw_keys("method", seed=0, epoch=0, index=index),
            view=0,
        )
        self.output = LiveTeacher(self.teacher, features=list(features.values()))(self.batch)
        with torch.no_grad():
            self.shapes = self.student(self.batch.inputs).feature_shapes()


@pytest.fixture(scope="module")
def pair_of(parts):
    """The pair of a name, made once for all its methods."""
    return cache(lambda name: Pair(parts, *PAIRS[name]))


@pytest.mark.parametrize(("pair", "name", "changes"), CASES)
def test_a_step_of_student_and_method(parts, pair_of, pair, name, changes):
    made = pair_of(pair)
    part = parts["methods"][name]
    settings = {**part["settings"], **changes}
    if "features" in settings:
        settings["features"] = PAIRS[pair][2]
    module = plugins.load("method", part["method"])
    method = module.Method(module.Settings(**settings), student=made.shapes, teacher=made.output.feature_shapes())
    learner = Learner(copy.deepcopy(made.student), method)
    optimiser = make_optimiser(learner, Optimiser(name="sgd", lr=0.01, weight_decay=0.0, momentum=0.9))
    terms = learner(made.batch, made.output)
    assert all(term.isfinite() for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.parameters())
    assert all(parameter.grad is None for parameter in made.teacher.parameters())
    before = [parameter.detach().clone() for parameter in method.parameters()]
    optimiser.step()
    assert not any(torch.equal(old, new) for old, new in zip(before, method.parameters(), strict=True))
