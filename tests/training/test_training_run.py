"""What a run that cannot go on says: memory, a loss that is no number; and what the tracker hears."""

from pathlib import Path

import pytest
import torch
from conftest import NEURON, write_data
from small_training import RECIPE

from bkdsnn.build import feature_shapes, make_method, make_network
from bkdsnn.contracts import Batch
from bkdsnn.errors import InputError
from bkdsnn.params.schema import MethodPart, Student
from bkdsnn.teachers.live import NoTeacher
from bkdsnn.tracking.tracker import NoTracker
from bkdsnn.training import run

SETTINGS = {"time_steps": 2, "widths": [4, 8], "blocks": [1, 1], "stem_stride": 1, "neuron": NEURON}
PARTS = ("data", "teacher", "student", "backward")


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """`fit(teacher)` trains a small network by cross-entropy in a project of its own."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("BKDSNN_TRACKING", "off")
    monkeypatch.setenv("BKDSNN_ACCELERATOR", "cpu")
    data = write_data(tmp_path / "data", shape=(1, 8, 8))
    engine = run.Engine(data, RECIPE)
    student = make_network(Student(network="sew_resnet", settings=SETTINGS), data=data, seed=0)
    part = MethodPart(method="ce", settings={})
    shapes = feature_shapes(student, input_shape=data.input_shape)
    method = make_method(part, {"label_smoothing": 0.0}, student=shapes, teacher={}, samples=60, classes=3, seed=0)

    def call(teacher=NoTeacher()) -> None:  # noqa: B008 (holds nothing)
        run.fit(
            engine,
            name="a-s0",
            kind="student",
            seed=0,
            code={},
            params={"recipe": RECIPE.model_dump()},
            student=student,
            method=method,
            teacher=teacher,
            teacher_digest=None,
            target=tmp_path / "model",
        )

    call.student = student
    return call


def test_out_of_memory_names_batch_parts_and_time_steps_and_what_helps(fit):
    def greedy(batch: Batch) -> None:
        torch.empty(1 << 50)

    with pytest.raises(InputError) as told:
        fit(greedy)
    assert str(told.value).startswith(
        "out of memory with batch_size 16, accumulate 1, T = 2, precision 32-true: raise the recipe's accumulate to 2 "
        "(the same batch, in more parts), lower time_steps, or use bf16-mixed ("
    )
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried\nto"), MemoryError()])
def test_every_kind_of_out_of_memory_is_told(fit, error):
    def greedy(batch: Batch) -> None:
        raise error

    with pytest.raises(InputError, match="^out of memory with batch_size 16, accumulate 1, T = 2"):
        fit(greedy)


def test_another_error_stays_what_it_is(fit):
    def broken(batch: Batch) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="^shapes differ$"):
        fit(broken)


def test_a_loss_that_is_no_number_names_the_last_state_before_it(fit, tmp_path, monkeypatch):
    monkeypatch.setenv("BKDSNN_CHECKPOINT_MINUTES", "0")

    def spoiling(batch: Batch) -> None:
        if len(list(tmp_path.glob(".resume/*/*-*.safetensors"))) == 2:  # the first state, and one after a step
            fit.student.head.bias.data.fill_(float("nan"))

    with pytest.raises(InputError) as told:
        fit(spoiling)
    (newest,) = tmp_path.glob(".resume/*/000001-*.safetensors")
    assert str(told.value) == (
        f"epoch 0, step 1: the loss term 'task' is nan; lower the lr; the last state before it is {newest}"
    )


def test_the_tracker_hears_of_time_and_memory_and_the_results_do_not(fit, tmp_path, monkeypatch):
    heard = []

    class Listening(NoTracker):
        def metrics(self, values: dict[str, float], *, step: int = 0) -> None:
            heard.append(values)

    monkeypatch.setattr(run, "training_tracker", lambda **_: Listening())
    fit()
    assert len(heard) == RECIPE.epochs
    for values in heard:
        parts = sum(values[f"step_ms.{part}"] for part in PARTS)
        assert 0 < 3 * parts <= 1e3 * values["epoch_seconds"]
        assert 40 / values["samples_per_second"] == pytest.approx(3e-3 * parts, rel=0.5)
        assert 50 < values["peak_memory_mib"] < 50_000
    written = (tmp_path / "model/history.csv").read_text().splitlines()[0]
    assert written == "epoch,lr,task,loss,validation_top1"
    assert not list(Path(tmp_path).glob(".resume/*"))
