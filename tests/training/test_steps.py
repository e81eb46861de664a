"""Every method takes a training step with networks of the paper, student and teacher at their true sizes."""

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


@pytest.mark.parametrize(("pair", "name", "changes"), CASES)
def test_a_step_of_student_and_method(parts, pair, name, changes):
    student_key, teacher_key, features = PAIRS[pair]
    shape, classes = looks_at(student_key)
    student = build(parts["students"][student_key], input_shape=shape, classes=classes)
    teacher_network = build(parts["teachers"][teacher_key], input_shape=shape, classes=classes)
    teacher = LiveTeacher(teacher_network, features=list(features.values()))
    index = torch.arange(2)
    batch = Batch(
        inputs=(3 * torch.rand(2, *shape)).floor(),
        labels=torch.tensor([1, classes - 1]),
        index=index,
        draws=draw_keys("method", seed=0, epoch=0, index=index),
        view=0,
    )
    part = parts["methods"][name]
    settings = {**part["settings"], **changes}
    if "features" in settings:
        settings["features"] = features
    module = plugins.load("method", part["method"])
    output = teacher(batch)
    with torch.no_grad():
        shapes = student(batch.inputs).feature_shapes()
    method = module.Method(module.Settings(**settings), student=shapes, teacher=output.feature_shapes())
    learner = Learner(student, method)
    optimiser = make_optimiser(learner, Optimiser(name="sgd", lr=0.01, weight_decay=0.0, momentum=0.9))
    terms = learner(batch, output)
    assert all(term.isfinite() for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.parameters())
    assert all(parameter.grad is None for parameter in teacher_network.parameters())
    before = [parameter.detach().clone() for parameter in method.parameters()]
    optimiser.step()
    assert not any(torch.equal(old, new) for old, new in zip(before, method.parameters(), strict=True))
