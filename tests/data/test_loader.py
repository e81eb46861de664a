"""Worker processes: what goes wrong there is one line here, no wait is without end, and none outlives its parent."""

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import pytest
import torch
from conftest import ROOT, augmentation
from torch.utils.data import Dataset

from bkdsnn.data import loader
from bkdsnn.data.batches import Batches
from bkdsnn.data.processes import in_processes
from bkdsnn.data.views import View, Views
from bkdsnn.errors import InputError


class Made(Dataset):
    """Views by a function of the job."""

    def __init__(self, make) -> None:
        self.make = make

    def __getitem__(self, job: int) -> View:
        return View(torch.full((2,), self.make(job)), None, None, None, torch.zeros(2))


def arriving(make, jobs: int = 4) -> list[int]:
    made = loader.make_loader(Made(make), jobs=list(range(jobs)), workers=2)
    try:
        return [int(view.pixels[0]) for view in loader.arriving(made)]
    finally:  # as the boundary does; torch would wait five seconds for each
        for child in multiprocessing.active_children():
            child.terminate()
            child.join()


def raising(error: Exception):
    def make(job: int) -> int:
        if job == 2:
            raise error
        return job

    return make


def test_views_arrive_in_order():
    assert arriving(lambda job: 10 * job) == [0, 10, 20, 30]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("images/a.png: damaged"), "images/a.png: damaged"),
        (OSError(30, "Read-only file system", "a"), "a: the file system is read-only"),
        (MemoryError("Unable to allocate 7 GiB"), "out of memory (Unable to allocate 7 GiB); smaller"),
    ],
    ids=["input", "system", "memory"],
)
def test_an_error_in_a_worker_is_the_line_that_it_would_be_here(error, line):
    with pytest.raises(InputError) as caught:
        arriving(raising(error))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_mistake_of_ours_in_a_worker_is_a_traceback():
    with pytest.raises(ZeroDivisionError, match="Traceback"):
        arriving(raising(ZeroDivisionError()))


def test_shared_memory_that_fills_is_told_by_who_could_not_write(monkeypatch):
    def full(_):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(InputError, match=r"/dev/shm: .*BKDSNN_WORKERS=0 needs none.* --shm-size"):
        arriving(lambda job: job)


def test_a_small_shared_memory_is_told_before_anything_waits(monkeypatch, data):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setenv("BKDSNN_WORKERS", "2")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(65536, 0, 65536))
    batches = Batches(data, batch_size=16, device=torch.device("cpu"))
    with pytest.raises(InputError, match=r"^/dev/shm: shared memory has 0.07 MB free, batches take 1.06 MB for 2 wo"):
        next(batches.shuffled(epoch=0, seed=0, augmentation=augmentation(erase=0.5)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 2**21))
    loader.check_room(Views(data, augmentation(erase=0.5)), samples=16, workers=2)


@pytest.mark.parametrize(
    ("cores", "free_batches", "files", "workers"),
    [
        (2, 0.5, 64, None),
        (2, 3, 64, 2),
        (8, 8, 64, 8),
        (64, 1000, 1 << 20, 64),
        (64, 41, 1 << 20, 20),
        (64, 9, 1 << 20, 8),
        (64, 1000, 1024, 32),
        (64, 1000, resource.RLIM_INFINITY, 64),
    ],
)
def test_workers_are_the_cores_and_more_than_8_what_the_machine_has_room_for(
    monkeypatch, data, cores, free_batches, files, workers
):
    views, usage = Views(data, augmentation(erase=0.5)), namedtuple("usage", "total used free")
    free = loader._QUEUES + int(free_batches * loader._bytes_ahead(views, 16 << 10))
    monkeypatch.delenv("BKDSNN_WORKERS", raising=False)
    monkeypatch.setattr(loader, "cores", lambda: cores)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, files))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, free))
    if workers is None:
        with pytest.raises(InputError, match="for 2 workers"):
            loader.workers_for(views, samples=16 << 10)
        return
    assert loader.workers_for(views, samples=16 << 10) == workers


def test_as_many_files_may_be_open_as_workers_need(monkeypatch):
    allowed = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: allowed.append(limits))
    for workers in (8, 64, 200):
        loader._allow_files(workers * loader._FILES)
    assert allowed == [(2304, 4096), (4096, 4096)]


def test_workers_that_make_nothing_are_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(loader, "_LOOK_EVERY", 0.05)
    monkeypatch.setattr(loader, "_LOOKS", 2)
    with pytest.raises(InputError, match=r"no batch from the worker processes for .*BKDSNN_WORKERS=0 needs none"):
        arriving(lambda job: time.sleep(1) or job, jobs=2)


SERVING = """
import os, signal, sys, time
from multiprocessing import get_context
from bkdsnn.data.processes import serve
def work():
    serve()
    print(os.getpid(), flush=True)
    time.sleep(60)
helper = get_context("fork").Process(target=work)
helper.start()
if sys.stdin.readline().strip() == "terminate":
    helper.terminate()
    helper.join(10)
    print(helper.exitcode, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def parent():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", SERVING], env=environment, text=True, **pipes)
    yield process
    process.kill()
    process.communicate()


def is_over(process: int) -> bool:
    """Whether a process has ended; one that nobody has waited for still has a number."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="by Linux's means")
def test_a_helper_ends_by_its_parent_alone(parent):
    helper = int(parent.stdout.readline())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # as one to all processes of a job
        os.kill(helper, number)
    time.sleep(0.2)
    assert not is_over(helper)
    parent.stdin.write("terminate\n")
    parent.stdin.flush()
    assert parent.stdout.readline() == "0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="by Linux's means")
def test_a_helper_does_not_outlive_a_parent_that_was_killed(parent):
    helper = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while not is_over(helper):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def square(number: int) -> int:
    return number**2


def test_many_files_are_worked_on_in_order():
    jobs = ((number,) for number in range(20))
    assert list(in_processes(square, jobs, total=20, what="squares", workers=2)) == [n**2 for n in range(20)]
