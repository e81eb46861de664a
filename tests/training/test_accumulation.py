"""`accumulate`: a batch in parts has the samples, draws, loss and gradients of the whole one."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import NEURON, augmentation
from pydantic import ValidationError
from small_training import RECIPE, run, same
from spikingjelly.activation_based import layer

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.data import parts
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.fabric import make_fabric
from bkdsnn.layers.spiking import NeuronSettings, SpikingNetwork, encode, make_neuron
from bkdsnn.methods import mixed
from bkdsnn.params.recipe import Recipe
from bkdsnn.training import loop

MIXUP = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "switch_probability": 0.5, "probability": 1.0, "off_epoch": None}
# 40 samples: 16, 16, 8
PLAIN = RECIPE.model_copy(
    update={
        "optimiser": RECIPE.optimiser.model_copy(update={"name": "sgd"}),
        "augmentation": augmentation(views=2, shift=1, mixup=MIXUP),
    }
)


class WithoutNorm(SpikingNetwork):
    """A convolution, a neuron and a linear head."""

    time_steps = 2

    def __init__(self) -> None:
        super().__init__()
        self.stem = layer.Conv2d(1, 6, 3, stride=2, padding=1, step_mode="m")
        self.neuron = make_neuron(NeuronSettings(**NEURON))
        self.head = layer.Linear(6, 3, step_mode="m")

    def forward(self, inputs):
        spikes = self.neuron(encode(self.stem, inputs, time_steps=self.time_steps))
        return NetOutput(logits=self.head(spikes.mean((3, 4))), features={"last": spikes})


def teacher(batch: Batch) -> NetOutput:
    maps = torch.nn.functional.avg_pool2d(batch.inputs, 2).expand(-1, 4, -1, -1)[None]  # [1, B, 4, 4, 4]
    return NetOutput(logits=maps[:, :, :3].mean((3, 4)), features={"last": maps})


def trained(data, recipe: Recipe) -> SimpleNamespace:
    """What was trained with `mixed`, the inputs that the student saw, and the gradient of every step."""
    torch.manual_seed(0)
    settings = mixed.Settings(
        label_smoothing=0.1,
        features={"last": "last"},
        feature_weight=1e-3,
        blur_ratio=0.4,
        rescale_teacher=False,
        restore=True,
        blurred="student",
        logits_weight=1.0,
        temperature=2.0,
    )
    method = mixed.Method(settings, student={"last": (6, 4, 4)}, teacher={"last": (4, 4, 4)})
    learner, seen, gradients = loop.Learner(WithoutNorm(), method), [], []
    learner.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    learner.student.head.weight.register_post_accumulate_grad_hook(lambda weight: gradients.append(weight.grad.clone()))
    fabric = make_fabric(precision=recipe.precision, device=torch.device("cpu"))
    batches = Batches(data, batch_size=recipe.batch_size, accumulate=recipe.accumulate, device=fabric.device)
    found = loop.train(
        learner, fabric=fabric, teacher=teacher, batches=batches, recipe=recipe, seed=0, on_epoch=lambda *_: None
    )
    return SimpleNamespace(trained=found, seen=seen, gradients=gradients)


@pytest.fixture
def whole(data):
    return trained(data, PLAIN)


@pytest.mark.parametrize(("accumulate", "sizes"), [(2, [8] * 5), (8, [2] * 20), (16, [1] * 40)])
def test_without_batch_norm_parts_give_the_samples_loss_and_gradients_of_the_whole_batch(
    data, whole, accumulate, sizes
):
    found = trained(data, PLAIN.model_copy(update={"accumulate": accumulate}))
    assert [len(batch.index) for batch in found.seen] == sizes * PLAIN.epochs
    for field in ("inputs", "labels", "index", "draws"):
        ours, theirs = (torch.cat([getattr(batch, field) for batch in one.seen]) for one in (found, whole))
        assert torch.equal(ours, theirs)
    first = found.gradients[accumulate - 1]  # once the last part of the first batch was added
    assert first.norm() > 1e-3
    torch.testing.assert_close(first, whole.gradients[0], rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(found.trained.history, whole.trained.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    for name, weights in whole.trained.last.items():
        torch.testing.assert_close(found.trained.last[name], weights, rtol=1e-3, atol=1e-5)


def test_parts_of_different_sizes_count_by_their_samples(data):
    """40 samples in batches of 15: 15, 15, and 10 in parts of 4, 3 and 3."""
    recipe = PLAIN.model_copy(update={"batch_size": 15})
    whole, found = trained(data, recipe), trained(data, recipe.model_copy(update={"accumulate": 3}))
    assert [len(batch.index) for batch in found.seen] == [5] * 8 * recipe.epochs
    found = trained(data, recipe.model_copy(update={"accumulate": 5}))
    assert [len(batch.index) for batch in found.seen] == [*[3] * 10, 3, 3, 2, 2] * recipe.epochs
    for ours, theirs in zip(found.trained.history, whole.trained.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_one_part_is_the_batch_itself():
    index = torch.arange(3)
    batch = Batch(inputs=torch.zeros(3, 1), labels=index, index=index, draws=index, view=0)
    ((piece, taught),) = parts.in_parts(batch, None, part=4)
    assert piece is batch
    assert taught is None


def test_every_process_has_its_share_of_every_part(monkeypatch):
    index, found = np.arange(10), []
    monkeypatch.setattr(parts, "world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(parts, "rank", lambda rank=rank: rank)
        found.append([share.tolist() for share in parts.shares(index, part=4)])
        assert len(parts.shares(index, part=1)) == 5  # with less than a sample for each process there is no part
    assert found == [[[0, 1], [4, 5], [7, 8]], [[2, 3], [6], [9]]]


def test_batch_norms_see_a_part_so_that_the_same_parts_give_the_same_bytes_and_others_do_not(data):
    recipe = RECIPE.model_copy(update={"accumulate": 2})
    halves = run(data, recipe=recipe)
    assert same(run(data, recipe=recipe), halves)
    assert halves.history != run(data).history


def test_a_number_of_parts_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ValidationError, match="accumulate 3 does not divide batch_size 16"):
        Recipe(**{**RECIPE.model_dump(), "accumulate": 3})


@pytest.mark.parametrize(("samples", "accumulate", "smallest"), [(40, 1, 8), (40, 2, 8), (42, 4, 3), (33, 1, 1)])
def test_the_smallest_part_of_an_epoch_is_of_its_last_batch(samples, accumulate, smallest):
    recipe = RECIPE.model_copy(update={"accumulate": accumulate})
    assert parts.smallest_part(samples, recipe=recipe) == smallest
