"""Run by torchrun (or alone) for test_scale_out: trains a small student under BKD, notes what every step saw and left.

`python two_processes.py DATA RESULT CHANGES`: CHANGES of the method's settings as JSON; RESULT gets `<rank>.json`.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import torch
from test_training import RECIPE, SETTINGS

from bkdsnn import catalogue, launch, training
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.fabric import make_fabric
from bkdsnn.methods import bkd
from bkdsnn.seeding import make_deterministic
from bkdsnn.teachers import LiveTeacher

METHOD = {
    "label_smoothing": 0.0,
    "features": {"last": "last"},
    "feature_weight": 1e-3,
    "blur_ratio": 0.15,
    "rescale_teacher": False,
    "restore": True,
    "blurred": "student",
}


class Noting(training.Learner):
    """A learner that notes what it is given and the terms it gives."""

    def __init__(self, *parts: torch.nn.Module) -> None:
        super().__init__(*parts)
        self.steps: list[dict] = []

    def forward(self, batch, teacher_output):
        terms = super().forward(batch, teacher_output)
        self.steps.append(
            {
                "index": batch.index.tolist(),
                "draws": batch.draws.tolist(),
                "terms": {name: float(term) for name, term in terms.items()},
            }
        )
        return terms

    def note_state(self, *_) -> None:
        """Adds what the step has left, to the byte: parameters, buffers (batch statistics), the restoration block."""
        for part in ("student", "method"):
            state = getattr(self, part).state_dict()
            text = b"".join(state[name].numpy().tobytes() for name in sorted(state))
            self.steps[-1][part] = hashlib.sha256(text).hexdigest()


def train(data: ArrayData, changes: dict) -> dict:
    recipe = RECIPE.model_copy(update={"batch_size": 15})
    make_deterministic(threads=1)
    fabric = make_fabric(precision=recipe.precision, accelerator="cpu")
    torch.manual_seed(0)
    student, teacher = (catalogue.load("network", name) for name in ("sew_resnet", "resnet"))
    shape = {"input_shape": (1, 8, 8), "classes": 3}
    network = teacher.Network(teacher.Settings(widths=[4, 6], blocks=[1, 1], stem_stride=1), **shape)
    method = bkd.Method(bkd.Settings(**METHOD | changes), student={"last": (8, 4, 4)}, teacher={"last": (6, 4, 4)})
    learner = Noting(student.Network(student.Settings(**SETTINGS), **shape), method)
    make = training.make_optimiser

    def make_noting(module, settings):
        optimiser = make(module, settings)
        optimiser.register_step_post_hook(learner.note_state)
        return optimiser

    training.make_optimiser = make_noting
    trained = training.train(
        learner,
        fabric=fabric,
        teacher=LiveTeacher(network, features=["last"]),
        batches=Batches(data, batch_size=recipe.batch_size, device=fabric.device),
        recipe=recipe,
        seed=0,
        on_epoch=lambda record, seconds: None,
    )
    return {"steps": learner.steps, "history": trained.history, "processes": fabric.world_size}


if __name__ == "__main__":
    notes = train(ArrayData(Path(sys.argv[1])), json.loads(sys.argv[3]))
    (Path(sys.argv[2]) / f"{launch.rank()}.json").write_text(json.dumps(notes))
    assert os.environ["OMP_NUM_THREADS"]
