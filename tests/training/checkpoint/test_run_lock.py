"""Who trains and who takes: other code takes nothing, and a process that is gone is not waited for."""

import socket
import threading
import time

import pytest

from bkdsnn.training.checkpoint.run_lock import claimed

RUN = {"kind": "student", "seed": 0}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def write(folder) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text("{}\n")


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


def test_a_run_that_fails_leaves_its_folder(root):
    def failing() -> None:
        with claimed(RUN, made_by={}, target=root / "first") as (folder, _):
            write(folder)
            raise ValueError("training")

    with pytest.raises(ValueError, match="training"):
        failing()
    assert len(list(root.glob(".resume/*/manifest.json"))) == 1
