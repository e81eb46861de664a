"""The keeper in one process: whatever is interrupted goes on to the same bytes, and what is refused is named."""

import random

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from small_training import RECIPE, run, same

from bkdsnn.errors import InputError
from bkdsnn.training.checkpoint import checkpointer
from bkdsnn.training.checkpoint.checkpointer import Keeper
from bkdsnn.training.checkpoint.files import read_state, states, write_state
from bkdsnn.training.checkpoint.state import made_by

STEPS = 3  # an epoch's: 40 samples in batches of 16
SGD = {"name": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.9}
PLAIN_SGD = {**SGD, "momentum": 0.0}


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    monkeypatch.setenv("BKDSNN_CHECKPOINT_MINUTES", "0")


@pytest.fixture
def keeper(tmp_path):
    code = {"src/bkdsnn/training/loop.py": "a"}
    return lambda fabric: Keeper(tmp_path / "states", made_by=made_by(fabric, code=code), fabric=fabric)


def recipe(optimiser: dict | None, precision: str):
    changed = RECIPE.model_dump() | {"precision": precision} | ({"optimiser": optimiser} if optimiser else {})
    return type(RECIPE)(**changed)


@pytest.mark.parametrize("optimiser", [None, SGD, PLAIN_SGD], ids=["adamw", "sgd", "plain sgd"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_interrupted_twice_it_ends_with_the_same_bytes(data, keeper, optimiser, precision):
    chosen = recipe(optimiser, precision)
    unbroken = run(data, recipe=chosen)
    for steps in (STEPS + 1, 3):  # in the second epoch, in the third
        with pytest.raises(KeyboardInterrupt):
            run(data, recipe=chosen, keeper=keeper, stop_after=steps)
        torch.randn(3), np.random.rand(3), random.random()  # noqa: NPY002
    resumed = run(data, recipe=chosen, keeper=keeper)
    assert same(resumed, unbroken)
    assert [list(record) for record in resumed.history] == [list(record) for record in unbroken.history]


def test_the_scale_of_float16_goes_on_too(data, keeper, tmp_path, monkeypatch):
    """On a CPU the engine refuses float16; its parts are there all the same."""

    def fabric(**_) -> Fabric:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        return Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])

    monkeypatch.setattr("small_training.make_fabric", fabric)
    unbroken = run(data)
    with pytest.raises(KeyboardInterrupt):
        run(data, keeper=keeper, stop_after=5)
    assert read_state(tmp_path / "states")[1]["precision"]["scale"] == 4096.0
    assert same(run(data, keeper=keeper), unbroken)


def test_every_random_generator_goes_on_where_it_was(data, keeper):
    with pytest.raises(KeyboardInterrupt):
        run(data, keeper=keeper, stop_after=4)
    draws = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(data, keeper=keeper, stop_after=0)
        draws.append((torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()))  # noqa: NPY002
        torch.manual_seed(9), np.random.seed(9), random.seed(9)  # noqa: NPY002
    assert draws[0] == draws[1]


def test_a_run_that_was_over_is_not_trained_again(data, keeper):
    finished = run(data, keeper=keeper)
    assert same(run(data, keeper=keeper, stop_after=0), finished)


def test_short_epochs_are_not_all_saved(data, keeper, monkeypatch, tmp_path):
    monkeypatch.setenv("BKDSNN_CHECKPOINT_MINUTES", "10")
    monkeypatch.setattr(checkpointer, "_SAVING", 1e-9)
    run(data, keeper=keeper)
    assert [path.name[:6] for path in states(tmp_path / "states")] == ["000000"]
    monkeypatch.setattr(checkpointer, "_SAVING", 1e9)
    run(data, keeper=keeper)
    assert [path.name[:6] for path in states(tmp_path / "states")] == ["000002", "000003"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"torch": "1.0"}, f"torch (1.0, here {torch.__version__})"),
        ({"device": "cuda", "processes": 2}, "device (cuda, here cpu) and processes (2, here 1)"),
        ({"code": {"src/bkdsnn/training/loop.py": "x"}}, "code (src/bkdsnn/training/loop.py)"),
    ],
)
def test_a_state_that_something_else_made_is_refused_by_name(data, keeper, tmp_path, caplog, changed, told):
    folder = tmp_path / "states"
    with pytest.raises(KeyboardInterrupt):
        run(data, keeper=keeper, stop_after=4)
    tensors, facts = read_state(folder)
    makers = facts["made_by"]
    facts["made_by"] = {**makers, **changed, "code": {**makers["code"], **changed.get("code", {})}}
    write_state(folder, tensors, facts)
    assert same(run(data, keeper=keeper), run(data))
    assert caplog.messages == [f"{folder}: was made by other {told}: not used, training starts anew"]


def test_a_disk_that_fills_is_told_and_ends_nothing(data, keeper, tmp_path, caplog, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(data, keeper=keeper, stop_after=4)
    before = states(tmp_path / "states")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("bkdsnn.training.checkpoint.files.save_file", full)
        trained = run(data, keeper=keeper)
    assert same(trained, run(data))
    assert states(tmp_path / "states") == before
    expected = f"{tmp_path / 'states'}: no state was saved ([Errno 28] No space left on device); training goes on"
    assert {record.message for record in caplog.records if record.levelname == "WARNING"} == {expected}


def test_a_step_whose_loss_is_no_number_is_in_no_state(data, keeper, tmp_path):
    with pytest.raises(InputError, match="epoch 0, step 0: the loss term 'feature' is inf"):
        run(data, keeper=keeper, spoil=True)
    assert [path.name[:6] for path in states(tmp_path / "states")] == ["000000"]


@pytest.mark.parametrize("minutes", ["often", "-1", "nan", "inf"])
def test_minutes_that_are_no_number_are_told(data, keeper, monkeypatch, minutes):
    monkeypatch.setenv("BKDSNN_CHECKPOINT_MINUTES", minutes)
    with pytest.raises(InputError, match=f"BKDSNN_CHECKPOINT_MINUTES: '{minutes}' is no number of minutes"):
        run(data, keeper=keeper)
