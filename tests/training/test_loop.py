"""The loop: same seed same bytes, the choice of the epoch, and what stops it."""

import pytest
import torch
from conftest import write_data
from small_training import RECIPE, SETTINGS, run, same

from bkdsnn.errors import InputError
from bkdsnn.files import new_folder
from bkdsnn.methods import bkd
from bkdsnn.params.recipe import Optimiser
from bkdsnn.params.schema import Student
from bkdsnn.trained import checked, load_trained, save_trained
from bkdsnn.training.optimiser import learning_rate, make_optimiser


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data", shape=(1, 8, 8))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_number_of_loader_workers_changes_no_byte(data, monkeypatch, workers):
    alone = run(data)
    monkeypatch.setenv("BKDSNN_WORKERS", workers)
    assert same(run(data), alone)


def test_a_cached_teacher_gives_the_bytes_of_a_live_one(data, tmp_path):
    """For batches of one size: 40 samples in fives of 8."""
    recipe = RECIPE.model_copy(update={"batch_size": 8})
    assert same(run(data, recipe=recipe, cache=tmp_path / "cache"), run(data, recipe=recipe))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(data):
    first, again, other = run(data), run(data), run(data, seed=1)
    assert same(first, again)
    assert first.history != other.history


def test_every_epoch_is_recorded_by_term(data):
    history = run(data).history
    assert [record["epoch"] for record in history] == [0, 1, 2]
    for record in history:
        assert record["loss"] == pytest.approx(record["task"] + record["feature"], rel=1e-6)
        assert set(record) == {"epoch", "lr", "task", "feature", "loss", "validation_top1"}


def test_a_method_is_told_the_epoch_and_a_weight_of_its_own_may_depend_on_it(data, monkeypatch):
    def begin_epoch(method: bkd.Method, epoch: int, *, epochs: int) -> None:
        weight = 1.0 if epoch == 0 else 1e-9
        method.settings = method.settings.model_copy(update={"feature_weight": weight})
        told.append((epoch, epochs))

    told: list[tuple[int, int]] = []
    monkeypatch.setattr(bkd.Method, "begin_epoch", begin_epoch, raising=False)
    schedule = RECIPE.schedule.model_copy(update={"cooldown_epochs": 1})
    history = run(data, recipe=RECIPE.model_copy(update={"schedule": schedule})).history
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert history[0]["feature"] > 1e6 * history[1]["feature"] > 0


def test_the_best_epoch_is_the_first_with_the_highest_validation_accuracy(data):
    trained = run(data)
    accuracies = [record["validation_top1"] for record in trained.history]
    assert trained.best_epoch == accuracies.index(max(accuracies))


def test_bf16_trains_through_the_same_path(data):
    trained = run(data, recipe=RECIPE.model_copy(update={"precision": "bf16-mixed"}))
    assert trained.last["head.weight"].dtype == torch.float32
    assert trained.history[-1]["loss"] > 0


def test_a_loss_that_is_no_number_stops_with_epoch_step_and_term(data):
    with pytest.raises(InputError, match="epoch 0, step 0: the loss term 'feature' is inf"):
        run(data, spoil=True)


def test_the_learning_rate_warms_up_and_follows_the_cosine():
    recipe = RECIPE.model_copy(update={"epochs": 10})
    rates = [learning_rate(epoch=epoch, recipe=recipe) for epoch in range(10)]
    assert rates[0] == 0.001
    assert rates[5] == pytest.approx(0.0055)  # half-way down from 0.01 to 0.001
    assert rates[1] == max(rates)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_biases_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    settings = Optimiser(name="sgd", lr=0.1, weight_decay=0.5, momentum=0.9)
    decay = {group["weight_decay"]: sum(p.numel() for p in group["params"]) for group in
             make_optimiser(network, settings).param_groups}  # fmt: skip
    assert decay == {0.5: 4, 0.0: 6}


def test_weights_are_read_back_and_a_changed_file_is_refused(data, tmp_path):
    part = Student(network="sew_resnet", settings=SETTINGS)
    with new_folder(tmp_path / "run") as folder:
        save_trained(folder, run(data), data=data, teacher=None, made_with={})
    with new_folder(tmp_path / "again") as folder:
        save_trained(folder, run(data), data=data, teacher=None, made_with={})
    files = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert files == ["best.safetensors", "history.csv", "last.safetensors", "manifest.json"]
    for name in files:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    network = load_trained(tmp_path / "run", part, data=data, which="last")
    assert not network.training
    wider = Student(network="sew_resnet", settings={**SETTINGS, "widths": [4, 9]})
    with pytest.raises(InputError, match="does not fit the network 'sew_resnet'") as told:
        load_trained(tmp_path / "run", wider, data=data, which="last")
    assert "\n" not in str(told.value)
    path = tmp_path / "run" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    history = tmp_path / "run" / "history.csv"
    assert checked(tmp_path / "run", "history.csv") == history
    history.write_text(history.read_text().replace("0", "1"), encoding="utf-8")
    with pytest.raises(InputError, match=r"history.csv: missing, or its bytes do not match.*train_student@run"):
        checked(tmp_path / "run", "history.csv")
    with pytest.raises(InputError, match=r"last.safetensors: missing, or its bytes do not match"):
        load_trained(tmp_path / "run", part, data=data, which="last")
