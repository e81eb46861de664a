"""Every student of the catalogue under the main method: loss and gradients on the CPU and on the device."""

import json

import torch
from torch import Tensor, nn

from bkdsnn.build import feature_shapes, make_method
from bkdsnn.command import run_stage
from bkdsnn.contracts import Batch, NetOutput, Shape
from bkdsnn.distributed.device import this_device
from bkdsnn.params.schema import MethodPart
from bkdsnn.seeding import draw_keys, make_deterministic
from bkdsnn.tools.gpu_check import luggage
from bkdsnn.tools.gpu_check.compared import difference, seen
from bkdsnn.tools.gpu_check.rows import Row, attempt, tell
from bkdsnn.tools.parts import build, looks_at, main_method
from bkdsnn.training.loop import Learner

CPU = torch.device("cpu")
BATCH = 2
_SMALL = {224: 64}  # sides of a rehearsal's inputs


def students(argument: str) -> None:
    """A rehearsal looks at one student of each network, and at smaller inputs."""
    small, parts = json.loads(argument)["small"], luggage.content()["parts"]
    make_deterministic(threads=None)
    first = {part["network"]: name for name, part in reversed(parts["students"].items())}
    for name, part in parts["students"].items():
        shape, classes = looks_at(name)
        if small and name not in first.values():
            continue
        if small:
            shape = (*shape[:-2], *(_SMALL.get(side, side) for side in shape[-2:]))
        with attempt(name):
            tell(_student(name, part, shape, classes, MethodPart(**main_method(parts["methods"]))))


def _student(name: str, part: dict, shape: Shape, classes: int, method: MethodPart) -> Row:
    learner, batch, taught = _made(part, shape, classes, method)

    def work(module: nn.Module, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        here = batch._replace(
            inputs=batch.inputs.to(device, dtype), labels=batch.labels.to(device), draws=batch.draws.to(device)
        )
        features = {key: value.to(device, dtype) for key, value in taught.features.items()}
        terms = module(here, NetOutput(taught.logits.to(device, dtype), features))
        return {f"loss {key}": value for key, value in terms.items()}

    device, found = this_device(portable=False), {}
    for dtype in (torch.float64, torch.float32):
        found[dtype] = difference(seen(learner, work, CPU, dtype), seen(learner, work, device, dtype))
    double, single = found.values()
    numbers = {"float64": double._asdict(), "float32": single._asdict()}
    said = f"float64: {double.in_words()}; float32: loss {single.outputs:.1e}, {single.spikes} differ"
    return Row(name, said, double.exact, numbers)


def _made(part: dict, shape: Shape, classes: int, method: MethodPart) -> tuple[Learner, Batch, NetOutput]:
    """A student with its method, a batch, and the outputs of a teacher that there is not."""
    student = build(part, input_shape=shape, classes=classes)
    shapes = feature_shapes(student, input_shape=shape)
    teacher = {"last": shapes["last"]}
    size = {"samples": BATCH, "classes": classes}
    made = make_method(method, method.settings, student=shapes, teacher=teacher, **size, seed=0)
    learner = Learner(student, made).train()
    torch.manual_seed(0)
    index = torch.arange(BATCH)
    draws = draw_keys("method", seed=0, epoch=0, index=index)
    batch = Batch(inputs=torch.randn(BATCH, *shape), labels=index % classes, index=index, draws=draws, view=0)
    taught = NetOutput(logits=torch.randn(1, BATCH, classes), features={"last": torch.rand(1, BATCH, *teacher["last"])})
    return learner, batch, taught


if __name__ == "__main__":
    run_stage(students)
