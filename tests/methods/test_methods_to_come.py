"""What a method may ask for beside two outputs, each with a toy in the real loop, broken off and resumed."""

from types import SimpleNamespace

import pytest
import torch
from small_training import RECIPE, run, same
from torch import nn
from torch.nn import functional as F

from bkdsnn import plugins
from bkdsnn.build import make_method
from bkdsnn.contracts import NetOutput
from bkdsnn.distributed.batch_statistics import whole_rows
from bkdsnn.methods import ce
from bkdsnn.methods._losses import soft_loss, task_loss
from bkdsnn.params.schema import MethodPart
from bkdsnn.training.checkpoint.checkpointer import Keeper
from bkdsnn.training.checkpoint.state import made_by

SAMPLES, CLASSES, STEPS = 60, 3, 3  # of `data`; an epoch's: 40 samples in batches of 16
CHANNELS = 6  # the teacher's last map


class Toy(nn.Module):
    """The task alone."""

    def __init__(self, *_: object, **shapes: object) -> None:
        super().__init__()

    def forward(self, *, student, teacher, labels, draws):
        return {"task": task_loss(logits=student.logits, labels=labels, label_smoothing=0.0)}


class Growing(Toy):
    """Its weight depends on the epoch."""

    def begin_epoch(self, epoch, *, epochs):
        self.share = epoch / epochs

    def forward(self, *, student, teacher, **others):
        terms = super().forward(student=student, teacher=teacher, **others)
        return terms | {"feature": self.share * student.features["last"].square().mean()}


class LearningHead(Toy):
    """A classifier of the teacher's map that learns the task and teaches the student."""

    def begin_training(self, *, samples, classes):
        self.head = nn.Linear(CHANNELS, classes)

    def forward(self, *, student, teacher, labels, draws):
        said = self.head(teacher.features["last"].mean((0, 3, 4)))
        logits = soft_loss(student_logits=student.logits.mean(0), teacher_logits=said.detach(), temperature=2.0)
        terms = super().forward(student=student, teacher=teacher, labels=labels, draws=draws)
        return terms | {"head": F.cross_entropy(said, labels), "logits": logits}


class Remembering(Toy):
    """What was said of each sample, which is what is said the next time."""

    def begin_training(self, *, samples, classes):
        self.register_buffer("memory", torch.full((samples, classes), 1 / classes))

    def begin_step(self, *, index):
        self.index = index

    def forward(self, *, student, **others):
        said = student.logits.mean(0).softmax(1)
        pull = (said - self.memory[self.index]).square().mean()
        self.memory[whole_rows(self.index)] = whole_rows(said)
        return super().forward(student=student, **others) | {"memory": pull}


class OfTwoTeachers(Toy):
    """The mean of two teachers' logits, and the second one's map."""

    def forward(self, *, student, teacher, **others):
        both = [teacher.features[f"{name}-logits"].mean(0) for name in ("first", "second")]
        logits = soft_loss(student_logits=student.logits.mean(0), teacher_logits=sum(both) / 2, temperature=2.0)
        maps = student.features["last"].mean((0, 2)) - teacher.features["second-last"].mean((0, 2))
        terms = super().forward(student=student, teacher=teacher, **others)
        return terms | {"logits": logits, "feature": maps.square().mean()}


class TwoTeachers(nn.Module):
    """Two networks as one, whose logits are features too."""

    def __init__(self) -> None:
        super().__init__()
        module = plugins.load("network", "resnet")
        torch.manual_seed(5)
        self.members = nn.ModuleDict(
            {
                name: module.Network(
                    module.Settings(widths=[4, width], blocks=[1, 1], stem_stride=1), input_shape=(1, 8, 8), classes=3
                )
                for name, width in (("first", 4), ("second", 7))
            }
        )

    def forward(self, inputs):
        outputs = {name: member(inputs) for name, member in self.members.items()}
        features = {f"{name}-logits": output.logits for name, output in outputs.items()}
        features |= {f"{name}-last": output.features["last"] for name, output in outputs.items()}
        features["last"] = features["first-last"]
        return NetOutput(sum(output.logits for output in outputs.values()) / 2, features)


TOYS = (Growing, LearningHead, Remembering)


@pytest.fixture
def made(monkeypatch):
    """`made(Toy)`: a method as stages make it; the training's state is saved after every step."""
    monkeypatch.setenv("BKDSNN_CHECKPOINT_MINUTES", "0")

    def made(kind: type) -> nn.Module:
        found = SimpleNamespace(Settings=ce.Settings, Method=kind)
        size = {"samples": SAMPLES, "classes": CLASSES}
        with monkeypatch.context() as patched:
            patched.setattr(plugins, "load", lambda *_: found)
            part = MethodPart(method="toy", settings={})
            return make_method(part, {"label_smoothing": 0.0}, student={}, teacher={}, **size, seed=0)

    return made


@pytest.mark.parametrize("kind", TOYS)
def test_what_it_holds_is_saved_and_goes_on_in_a_run_that_was_broken_off(data, tmp_path, made, kind):
    def keeper(fabric):
        return Keeper(tmp_path / "states", made_by=made_by(fabric, code={}), fabric=fabric)

    whole, parted = made(kind), made(kind)
    unbroken = run(data, method=whole)
    with pytest.raises(KeyboardInterrupt):
        run(data, method=parted, keeper=keeper, stop_after=STEPS + 1)
    resumed = made(kind)
    assert same(run(data, method=resumed, keeper=keeper), unbroken)
    ours, theirs = whole.state_dict(), resumed.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_weight_may_depend_on_the_epoch(data, made):
    history = run(data, method=made(Growing)).history
    assert history[0]["feature"] == 0
    assert all(record["feature"] > 0 for record in history[1:])


def test_a_head_of_the_teacher_learns_under_the_optimiser(data, made):
    method = made(LearningHead)
    before = method.head.weight.detach().clone()
    history = run(data, method=method).history
    assert not torch.equal(method.head.weight, before)
    assert history[-1]["head"] < history[0]["head"]


def test_a_sample_s_state_is_its_own_whatever_the_order(data, made):
    method = made(Remembering)
    run(data, method=method)
    seen = torch.from_numpy(data.splits["train"])
    untouched = torch.full((CLASSES,), 1 / CLASSES)
    changed = (method.memory != untouched).any(1)
    assert changed[seen].all()
    assert changed.sum() == len(seen)
    assert torch.allclose(method.memory.sum(1), torch.ones(SAMPLES))


@pytest.mark.parametrize("cached", [False, True], ids=["live", "cached"])
def test_two_teachers_are_one_network_that_says_what_both_say(data, tmp_path, made, monkeypatch, cached):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    features = ("first-logits", "second-logits", "second-last")
    history = run(
        data,
        method=made(OfTwoTeachers),
        network=TwoTeachers(),
        features=features,
        cache=tmp_path / "cache" if cached else None,
        recipe=RECIPE,
    ).history
    assert set(history[0]) >= {"task", "logits", "feature"}
    assert history[-1]["feature"] < history[0]["feature"]
