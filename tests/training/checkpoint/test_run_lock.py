"""Who trains and who takes: other code takes nothing, and a process that is gone is not waited for."""

import os
import socket
import threading
import time

import pytest

from bkdsnn.training.checkpoint import run_lock
from bkdsnn.training.checkpoint.files import read_state
from bkdsnn.training.checkpoint.run_lock import claimed

RUN = {"kind": "student", "seed": 0}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def write(folder) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text("{}\n")


def write_deep(folder) -> None:
    folder.mkdir(parents=True)
    (folder / "a").write_text("half")


@pytest.mark.parametrize("code", ["the same", "another"])
def test_who_waits_takes_the_result_of_the_same_code_alone(root, code):
    found = []

    def wait() -> None:
        with claimed(RUN, made_by={"code": code}, target=root / "second") as (_, taken):
            found.append((taken, (root / "second/manifest.json").is_file()))
            if not taken:
                write(root / "second")

    waiting = threading.Thread(target=wait)
    with claimed(RUN, made_by={"code": "the same"}, target=root / "first") as (_, taken):
        assert not taken
        waiting.start()
        while not list(root.glob(".resume/*.waits-*")):
            time.sleep(0.001)
        write(root / "first")
    waiting.join(timeout=10)
    assert found == [(code == "the same",) * 2]
    assert list((root / ".resume").iterdir()) == []


def test_one_that_comes_later_trains_anew_and_others_do_not_meet(root):
    for name in ("first", "second"):
        with claimed(RUN, made_by={}, target=root / name) as (folder, taken):
            assert not taken
            with claimed({**RUN, "seed": 1}, made_by={}, target=root / f"other-{name}") as (other, _):
                assert other != folder
                write(root / f"other-{name}")
            write(root / name)


def test_a_process_that_was_killed_while_it_waited_is_not_waited_for(root):
    with claimed(RUN, made_by={}, target=root / "first") as (folder, _):
        folder.with_suffix(f".waits-999999999@{socket.gethostname()}").touch()
        write(root / "first")
    assert list((root / ".resume").iterdir()) == []


def test_what_a_kill_in_the_hand_over_left_bricks_nothing(root):
    """The copy for others is a folder whose name is like that of a half-written state."""
    with claimed(RUN, made_by={}, target=root / "first") as (folder, _):
        for name in ("result.partial-999999", "result.partial-999999@elsewhere", "result"):
            write_deep(folder / name)
        (folder / "000001.partial-999999").touch()
        assert read_state(folder) is None
        assert [path.name for path in folder.iterdir()] == ["result"]
        write(root / "first")
    assert list((root / ".resume").iterdir()) == []


def test_what_dead_runs_have_left_is_swept_but_for_their_states_and_those_of_the_living(root):
    here, dead = socket.gethostname(), 999999
    unfinished = root / ".resume"
    for key, name in (("0" * 16, "result"), ("1" * 16, "000001-abc.safetensors"), ("2" * 16, "result")):
        write_deep(unfinished / key / name)
        (unfinished / f"{key}.lock").touch()
    (unfinished / f"{'0' * 16}.waits-{dead}@{here}").touch()
    (unfinished / f"{'2' * 16}.waits-{dead}@elsewhere").touch()
    (unfinished / "repro").mkdir()
    (unfinished / "repro.lock").touch()
    write_deep(unfinished / f"x.partial-{dead}@{here}")
    (root / f"mlflow.db.partial-{dead}").touch()
    with claimed(RUN, made_by={}, target=root / "first"):
        write(root / "first")
    left = {"1" * 16, f"{'1' * 16}.lock", "2" * 16, f"{'2' * 16}.lock", f"{'2' * 16}.waits-{dead}@elsewhere"}
    assert {path.name for path in root.iterdir()} == {".resume", "first"}
    assert {path.name for path in unfinished.iterdir()} == {"repro", "repro.lock", *left}


def test_a_disk_without_room_for_the_hand_over_does_not_fail_the_run(root, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    with claimed(RUN, made_by={}, target=root / "first") as (folder, _):
        folder.with_suffix(f".waits-{os.getpid()}@{socket.gethostname()}").touch()
        write(root / "first")
        monkeypatch.setattr(run_lock, "_copy", full)
    assert "could not be handed over ([Errno 28] No space left on device): who waits makes it too" in caplog.text


def test_a_run_that_fails_leaves_its_folder(root):
    def failing() -> None:
        with claimed(RUN, made_by={}, target=root / "first") as (folder, _):
            write(folder)
            raise ValueError("training")

    with pytest.raises(ValueError, match="training"):
        failing()
    assert len(list(root.glob(".resume/*/manifest.json"))) == 1
