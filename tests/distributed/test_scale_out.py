"""One run by several processes: torchrun with two, and two that believe to be nodes of SLURM; how errors end them."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT, write_data

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--no-python", "--nproc-per-node=2", sys.executable]
CASES = ("plain", "rescaled", "swapped")


def start(*command: str, **environment: str) -> subprocess.Popen:
    path = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests", "tests/helpers"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BKDSNN_", "SLURM_"))}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """What `two_processes` noted: of one process, and of each of two under torchrun."""
    folder = tmp_path_factory.mktemp("scale-out")
    write_data(folder / "data", shape=(1, 8, 8))
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    script = str(ROOT / "tests/helpers/two_processes.py")
    running = [
        start(*head, script, str(folder / "data"), str(folder / name))
        for name, head in (("one", [sys.executable]), ("two", TORCHRUN))
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    return [json.loads((folder / name).read_text()) for name in ("one/0.json", "two/0.json", "two/1.json")]


def steps(notes, case):
    return list(zip(*(process[case]["steps"] for process in notes), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_see_the_global_batches_of_one_in_its_order_with_its_draws(notes, case):
    for one, first, second in steps(notes, case):
        assert one["index"] == first["index"] + second["index"]
        assert one["draws"] == first["draws"] + second["draws"]
    assert [len(first["index"]) for _, first, _ in steps(notes, case)] == [8, 8, 5] * 3
    assert [len(second["index"]) for _, _, second in steps(notes, case)] == [7, 7, 5] * 3


@pytest.mark.parametrize("case", CASES)
def test_weights_and_batch_statistics_are_equal_to_the_byte_after_every_step(notes, case):
    assert len(steps(notes, case)) == 9
    assert all(first["student"] == second["student"] for _, first, second in steps(notes, case))


@pytest.mark.parametrize("case", CASES)
def test_the_restoration_block_is_trained_in_sync_unlike_the_official_one(notes, case):
    assert all(first["method"] == second["method"] for _, first, second in steps(notes, case))
    assert len({first["method"] for _, first, _ in steps(notes, case)}) == 9


@pytest.mark.parametrize("case", CASES)
def test_losses_of_the_first_steps_are_those_of_one_process(notes, case):
    for one, first, second in steps(notes, case)[:5]:
        for term, value in one["terms"].items():
            shares = [len(part["index"]) * part["terms"][term] for part in (first, second)]
            assert sum(shares) / len(one["index"]) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_both_processes_record_the_means_of_the_whole_batches(notes, case):
    one, first, second = (process[case]["history"] for process in notes)
    assert first == second
    for name in ("task", "feature", "loss"):
        assert first[0][name] == pytest.approx(one[0][name], rel=1e-4)
    assert [record["validation_top1"] for record in first] == [record["validation_top1"] for record in one]


def test_two_processes_share_every_part_of_a_batch_and_its_statistics(notes):
    for one, first, second in (parts := steps(notes, "in parts")):
        assert one["index"] == first["index"] + second["index"]
        assert one["draws"] == first["draws"] + second["draws"]
        assert (len(first["index"]), len(second["index"])) == (3, 2)
    assert len(parts) == 8 * 3  # of batches of 15, 15 and 10
    done = [(first["student"], second["student"]) for _, first, second in parts if "student" in first]
    assert len(done) == 9
    assert all(ours == theirs for ours, theirs in done)
    alone, *histories = (process["in parts"]["history"] for process in notes)
    assert histories[0] == histories[1]
    for name in ("task", "feature", "loss"):
        assert histories[0][0][name] == pytest.approx(alone[0][name], rel=1e-4)


def test_layers_over_shares_of_a_batch_are_those_over_all_of_it(notes):
    for deviations in (process["deviations"] for process in notes):
        assert len(deviations) == 7
        assert max(value for name, value in deviations.items() if name != "maximum") < 1e-12
        assert deviations["maximum"] < 2e-3  # bfloat16


def test_a_loss_that_is_no_number_on_one_process_stops_both_at_the_same_step(notes):
    (message,) = {process["told"] for process in notes}
    assert message.startswith("epoch 0, step 1: the loss term 'task' is nan")


FAILING = """
import sys
import torch
from bkdsnn.distributed import launcher
from bkdsnn import command
from bkdsnn.errors import InputError
from bkdsnn.distributed.fabric import make_fabric

def fails(who):
    fabric = make_fabric(precision="32-true", device=torch.device("cpu"))
    if who == "all" or launcher.rank() == 1:
        raise InputError(f"said by {who}")
    fabric.barrier()

command._PATIENCE = 8.0
command.run_stage(fails, parallel=True)
"""


@pytest.mark.parametrize("who", ["all", "one"])
def test_an_error_of_all_or_of_one_process_ends_both_with_one_line(tmp_path, who):
    (tmp_path / "failing.py").write_text(FAILING)
    process = start(*TORCHRUN, str(tmp_path / "failing.py"), who)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert re.findall(r"^fails: .*$", said, re.MULTILINE) == [f"fails: said by {who}"]
    assert "[rank" not in said  # no traceback of ours; torchrun's own summary is not ours


STEP = """
from bkdsnn.distributed import launcher
from bkdsnn.distributed.fabric import make_fabric
import torch

fabric = make_fabric(precision="32-true", device=torch.device("cpu"))
numbers = fabric.all_reduce(torch.tensor([1 + launcher.rank()]), reduce_op="sum")
print(f"{fabric.global_rank} of {fabric.world_size}, node {fabric.node_rank}: {numbers.item()}")
"""


def test_two_steps_of_srun_on_two_nodes_find_each_other():
    """With the variables that srun sets; SLURM itself is not there."""
    both = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NNODES": "2"}
    both |= {"SLURM_NTASKS_PER_NODE": "1", "SLURM_LOCALID": "0", "MASTER_ADDR": "127.0.0.1"}
    numbers = ("0", "1")
    running = [start(sys.executable, "-c", STEP, **both, SLURM_PROCID=n, SLURM_NODEID=n) for n in numbers]
    said = [process.communicate(timeout=60)[0] for process in running]
    assert said == ["0 of 2, node 0: 3\n", "1 of 2, node 1: 3\n"]


@pytest.mark.parametrize("stage", ["check_params", "prepare_data", "evaluate", "evaluate_teacher", "build_tables"])
def test_an_idle_process_leaves_at_once_without_torch(stage):
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); print('torch' in sys.modules)"
    process = start(sys.executable, "-c", code, f"stages/{stage}.py", RANK="1", WORLD_SIZE="2")
    assert process.communicate(timeout=60)[0] == "False\n"
    assert process.returncode == 0


def test_training_is_shared_and_nothing_that_cannot_be():
    sharing = {path.stem for path in (ROOT / "stages").glob("*.py") if "parallel=True" in path.read_text()}
    assert sharing - {"cache_features"} == {"train_teacher", "train_student"}
