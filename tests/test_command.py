"""The boundary: what ends a stage or tool is one line and an exit code, but a mistake of ours is a traceback."""

import errno
import logging
import lzma
import multiprocessing.connection
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors import SafetensorError

from bkdsnn import command, errors
from bkdsnn.errors import InputError

FULL = "the disk is full; make room there"
MEMORY = "out of memory ("
GONE = "a helper process was ended from outside, mostly since memory ran out ("


@pytest.fixture(autouse=True)
def unchanged(monkeypatch):
    """What the boundary sets in a process is afterwards as it was."""
    before = {number: signal.getsignal(number) for number in command.launcher.endings()}
    level = logging.getLogger("bkdsnn").level
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr(sys, "argv", ["work"])
    monkeypatch.setattr(command, "_received", [])
    yield
    logging.getLogger("bkdsnn").setLevel(level)
    for number, handler in before.items():
        signal.signal(number, handler)


def told(error: BaseException) -> str:
    """The line that a stage ends with where this is raised."""

    def work() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        command.run_stage(work)
    assert isinstance(end.value.code, str), "exit code 1 and the line on stderr"
    assert "\n" not in end.value.code
    return end.value.code


SYSTEM = [
    (OSError(errno.ENOSPC, "No space left on device", "models/a"), f"work: models/a: {FULL}"),
    (
        OSError(errno.EDQUOT, "Disk quota exceeded", "models/a"),
        "work: models/a: the disk is full: the quota is used up",
    ),
    (
        OSError(errno.EROFS, "Read-only file system", "models/a.partial-7@host/b"),
        "work: models/a: the file system is re",
    ),
    (PermissionError(errno.EACCES, "Permission denied", Path("data")), "work: data: no right to read or write here"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), f"work: {'x' * 300}: the name is too long"),
    (OSError(errno.EMFILE, "Too many open files"), "work: too many open files; raise `ulimit -n`"),
    (OSError(errno.EIO, "Input/output error", b"raw/caf\xe9"), "work: raw/caf\udce9: Input/output error"),
    (OSError(errno.ENOSPC, "No space left on device", "from", None, "models/to"), f"work: models/to: {FULL}"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "git"), "work: git: No such file or directory"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), f"work: {MEMORY}[Errno 12] Cannot allocate memory)"),
]
FULL_BY_TEXT = [
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    OSError("1797 requested and 1520 written"),
    OSError("[Errno 28] Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),
    RuntimeError("[enforce fail at inline_container.cc:664] PytorchStreamWriter failed writing: file write failed"),
]
NO_MEMORY = [
    MemoryError(),
    MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64"),
    MemoryError("Allocation failed (probably too large)."),  # numba
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to al"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("CUDA error: CUSOLVER_STATUS_ALLOC_FAILED"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("MPS backend out of memory"),
    RuntimeError("unable to mmap 123 bytes from file <x>: Cannot allocate memory (12)"),
    RuntimeError("std::bad_alloc"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
]
DAMAGED = [
    SafetensorError("Error while deserializing header: HeaderTooLarge"),
    zipfile.BadZipFile("Bad CRC-32 for file 'a.npy'"),
    zlib.error("Error -3 while decompressing data: invalid stored block lengths"),
    lzma.LZMAError("Corrupt input data"),
    EOFError("Compressed file ended before the end-of-stream marker was reached"),
]
KILLED = [
    RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
    RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"),
]


@pytest.mark.parametrize(("error", "line"), SYSTEM, ids=lambda value: getattr(value, "strerror", ""))
def test_an_error_of_the_system_names_the_path_and_what_helps(error, line):
    assert told(error).startswith(line)


@pytest.mark.parametrize("error", FULL_BY_TEXT, ids=lambda error: type(error).__name__)
def test_a_full_disk_that_a_library_hides_in_its_text_names_the_fullest_folder(error, monkeypatch):
    monkeypatch.setattr(errors, "_ROOM", float("inf"))
    assert told(error).endswith(f": {FULL}")
    monkeypatch.setattr(errors, "_ROOM", 0)
    assert told(error) == f"work: {FULL} ({error})"


@pytest.mark.parametrize("error", NO_MEMORY, ids=str)
def test_memory_that_does_not_suffice_is_one_line_wherever_it_happens(error):
    assert told(error).startswith(f"work: {MEMORY}")


@pytest.mark.parametrize("error", DAMAGED, ids=str)
def test_a_damaged_file_is_named_where_a_library_does_not(tmp_path, error):
    file = tmp_path / "a.npz"
    file.touch()

    def work() -> None:
        path = file
        assert path
        raise error

    with pytest.raises(SystemExit, match=f"^work: {file}: damaged, or no file of its kind"):
        command.run_stage(work)


@pytest.mark.parametrize("error", KILLED, ids=str)
def test_a_helper_that_the_kernel_killed_is_told(error):
    assert told(error).startswith(f"work: {GONE}")


def test_a_connection_that_breaks_off_is_a_helper_s_between_processes_and_no_server_s(tmp_path):
    def hand_over() -> None:
        multiprocessing.connection.Client(str(address), family="AF_UNIX")

    address = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(address))  # and nobody listens
    with pytest.raises(SystemExit) as end:
        command.run_stage(hand_over)
    assert str(end.value.code).startswith(f"hand_over: {GONE}")
    assert GONE not in told(ConnectionRefusedError(111, "Connection refused", "server"))


@pytest.mark.parametrize(
    "error", [ValueError("ours"), RuntimeError("ours"), KeyError("a"), EOFError(), BrokenPipeError()]
)
def test_a_mistake_of_ours_stays_a_traceback(error):
    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        command.run_stage(work)


def test_debugging_shows_where_a_line_came_from(monkeypatch, capsys):
    monkeypatch.setenv("BKDSNN_DEBUG", "on")
    assert told(InputError("wrong")) == "work: wrong"
    assert "Traceback" in capsys.readouterr().err


def test_arguments_that_do_not_fit_are_told(monkeypatch):
    def work(key: str, target: str = "") -> None:
        raise AssertionError

    with pytest.raises(SystemExit, match="work: takes key, target, got nothing"):
        command.run_stage(work)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cleans_up_and_ends_with_one_line_and_its_code(number, capsys):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it, and what runs under that keeps to it
    cleaned = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # a scheduler asks again
            cleaned.append(True)

    with pytest.raises(SystemExit) as end:
        command.run_stage(work)
    assert (end.value.code, cleaned) == (128 + number, [True])
    assert capsys.readouterr().err == f"work: {number.name}: stopped; the same command goes on\n"


SCRIPT = """
import sys, time
from bkdsnn.command import begin, run_stage
def work():
    print("94 ± 2 → µJ ☃", flush=True)
    if sys.stdin.read(1) == "x":
        for _ in range(10):
            print("y" * 10**5, flush=True)
begin()
{}
run_stage(work)
"""


def start(importing: str = "", **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **options.pop("environment", {})}
    code = [sys.executable, "-c", SCRIPT.format(importing)]
    return subprocess.Popen(code, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_a_terminal_without_a_sign_shows_its_code():
    process = start(stdout=subprocess.PIPE, environment={"PYTHONIOENCODING": "ascii"})
    assert process.communicate()[0] == "94 \\xb1 2 \\u2192 \\xb5J \\u2603\n"
    assert process.returncode == 0


def test_a_reader_that_leaves_ends_the_program_without_a_word():
    process = start(stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.communicate("x")[1] == ""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    ("importing", "code", "line"),
    [
        ("import os; os.kill(os.getpid(), 2)", 130, "-c: SIGINT: stopped; the same command goes on\n"),
        ("import os; os.kill(os.getpid(), 15)", 143, "-c: SIGTERM: stopped; the same command goes on\n"),
        ("raise MemoryError", 1, "-c: out of memory (MemoryError); smaller batches or networks, or fewer processes"),
    ],
)
def test_imports_take_seconds_and_are_within_the_boundary(importing, code, line):
    process = start(importing, stdout=subprocess.DEVNULL)
    assert process.communicate()[1].startswith(line)
    assert process.returncode == code


def test_a_launcher_s_variables_that_are_no_numbers_are_told(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "many")
    assert told(ValueError()).startswith("work: SLURM_STEP_NUM_TASKS: 'many' is no whole number")


def test_numbers_hidden_in_texts_that_are_no_errors_of_the_system_change_nothing():
    def work() -> None:
        np.zeros(3).reshape(28, 1)

    with pytest.raises(ValueError, match="reshape"):
        command.run_stage(work)


def test_ctrl_c_while_a_tool_s_imports_go_on_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    tool = [sys.executable, "-m", "bkdsnn.tools.plan.table"]
    ended = subprocess.run(tool, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "table: SIGINT: stopped; the same command goes on\n")
