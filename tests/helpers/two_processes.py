"""Run by torchrun or alone for test_scale_out: trains small students, notes what every step saw and left; tries layers.

`python two_processes.py DATA RESULT` writes `RESULT/<rank>.json`.
"""

import copy
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from small_training import RECIPE, SETTINGS
from spikingjelly.activation_based import layer
from torch import nn

from bkdsnn import plugins
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.distributed import launcher
from bkdsnn.distributed.batch_statistics import maximum, synchronise_batch_norm, whole_rows
from bkdsnn.distributed.fabric import make_fabric
from bkdsnn.layers.fused.batch_norms import make_exact
from bkdsnn.methods import bkd
from bkdsnn.seeding import make_deterministic
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.training import loop

METHOD = {
    "label_smoothing": 0.0,
    "features": {"last": "last"},
    "feature_weight": 1e-3,
    "blur_ratio": 0.15,
    "rescale_teacher": False,
    "restore": True,
    "blurred": "student",
}
CASES = {"plain": {}, "rescaled": {"rescale_teacher": True}}
CASES["swapped"] = {"rescale_teacher": True, "blurred": "teacher"}


class Noting(loop.Learner):
    """A learner that notes what it is given, the terms it gives, and what every step leaves, to the byte."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__(*parts)
        self.steps: list[dict] = []
        self.spoilt = False

    def forward(self, batch, teacher_output):
        terms = super().forward(batch, teacher_output)
        if self.spoilt and len(self.steps) == 1 and launcher.rank() == launcher.world_size() - 1:
            terms["task"] = terms["task"] * float("nan")
        values = {name: float(term.detach()) for name, term in terms.items()}
        self.steps.append({"index": batch.index.tolist(), "draws": batch.draws.tolist(), "terms": values})
        return terms

    def note_state(self, *_) -> None:
        for part in ("student", "method"):  # parameters and the batch norms' buffers; the method's restoration block
            state = getattr(self, part).state_dict()
            text = b"".join(state[name].numpy().tobytes() for name in sorted(state))
            self.steps[-1][part] = hashlib.sha256(text).hexdigest()


make_optimiser = loop.make_optimiser


def make_noting(learner: Noting, settings):
    optimiser = make_optimiser(learner, settings)
    optimiser.register_step_post_hook(learner.note_state)
    return optimiser


def train(data: ArrayData, changes: dict, *, spoilt: bool = False, accumulate: int = 1) -> dict:
    recipe = RECIPE.model_copy(update={"batch_size": 15, "accumulate": accumulate})  # 40 samples: 15, 15, 10
    fabric = make_fabric(precision=recipe.precision, device=torch.device("cpu"))
    torch.manual_seed(0)
    student, teacher = (plugins.load("network", name) for name in ("sew_resnet", "resnet"))
    shape = {"input_shape": (1, 8, 8), "classes": 3}
    network = teacher.Network(teacher.Settings(widths=[4, 6], blocks=[1, 1], stem_stride=1), **shape)
    method = bkd.Method(bkd.Settings(**METHOD | changes), student={"last": (8, 4, 4)}, teacher={"last": (6, 4, 4)})
    learner = Noting(student.Network(student.Settings(**SETTINGS), **shape), method)
    learner.spoilt = spoilt
    trained = loop.train(
        learner,
        fabric=fabric,
        teacher=LiveTeacher(network, features=["last"]),
        batches=Batches(data, batch_size=recipe.batch_size, accumulate=accumulate, device=fabric.device),
        recipe=recipe,
        seed=0,
        on_epoch=lambda record, seconds: None,
    )
    return {"steps": learner.steps, "history": trained.history}


def told(data: ArrayData) -> str:
    """What a process says when the loss of the second step is no number, on the last process alone."""
    try:
        train(data, {}, spoilt=True)
    except Exception as error:
        return str(error)
    return "nothing"


def mine(whole: torch.Tensor, dim: int) -> torch.Tensor:
    index = np.array_split(np.arange(whole.shape[dim]), launcher.world_size())[launcher.rank()]
    return whole.index_select(dim, torch.from_numpy(index)).requires_grad_()


def deviations() -> dict[str, float]:
    """By how much a layer over shares of a batch (3 and 2 samples) differs from itself over all of it, in doubles."""
    random = torch.Generator().manual_seed(0)
    layers = {
        "multi-step": layer.BatchNorm2d(3, step_mode="m"),
        "threshold-dependent": layer.ThresholdDependentBatchNorm2d(0.7, 1.0, num_features=3),
        "plain": nn.BatchNorm2d(3),
        "exact": layer.BatchNorm2d(3, step_mode="m"),
        "cumulative, not affine": nn.BatchNorm2d(3, momentum=None, affine=False),
    }
    found = {}
    for name, alone in layers.items():
        shape, dim = ((2, 5, 3, 4, 4), 1) if hasattr(alone, "step_mode") else ((5, 3, 4, 4), 0)
        alone = alone.double()
        shared = copy.deepcopy(alone)
        if name == "exact":
            make_exact(shared)
        synchronise_batch_norm(shared, processes=launcher.world_size(), device=torch.device("cpu"))
        for _ in range(2):
            inputs, wanted = (torch.randn(shape, generator=random, dtype=torch.float64) for _ in range(2))
            whole, part = inputs.clone().requires_grad_(), mine(inputs, dim)
            out_whole, out_part = alone(whole), shared(part)
            (out_whole * wanted).sum().backward()
            (out_part * mine(wanted, dim).detach()).sum().backward()
        pairs = [(out_part, mine(out_whole.detach(), dim)), (part.grad, mine(whole.grad, dim))]
        pairs += [(shared.state_dict()[key].double(), value.double()) for key, value in alone.state_dict().items()]
        pairs += [(shared.eval()(part), mine(alone.eval()(whole).detach(), dim))]
        found[name] = max(float((one - other).detach().abs().max()) for one, other in pairs)
    whole = torch.tensor([1.0, 3.0, 2.0, 3.0, 0.0, 3.0], dtype=torch.bfloat16)
    part = mine(whole, 0)
    (2 * maximum(part) / launcher.world_size()).backward()
    found["maximum"] = float((part.grad - mine(2 / 3 * (whole == 3), 0)).detach().abs().max())
    rows = torch.arange(10.0).view(5, 2)
    found["rows"] = float((whole_rows(mine(rows, 0)) - rows).abs().max())
    return found


if __name__ == "__main__":
    loop.make_optimiser = make_noting
    make_deterministic(threads=1)
    data = ArrayData(Path(sys.argv[1]))
    notes = {name: train(data, changes) for name, changes in CASES.items()}
    notes |= {"in parts": train(data, {}, accumulate=3), "deviations": deviations(), "told": told(data)}
    (Path(sys.argv[2]) / f"{launcher.rank()}.json").write_text(json.dumps(notes))
