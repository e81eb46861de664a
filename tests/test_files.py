import errno
import os
import signal
import socket
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from bkdsnn.errors import InputError
from bkdsnn.files import check_writable, digest, new_file, new_folder, read_json, sweep, write_csv, write_json


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"

    def fail():
        with new_folder(target) as folder:
            (folder / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with new_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(RuntimeError):
        fail()
    assert (target / "a").read_text() == "1"


def test_json_has_one_layout_and_damage_is_told_in_one_line(tmp_path):
    path = tmp_path / "m.json"
    write_json(path, {"b": 1, "a": [0.1]})
    first = path.read_bytes()
    write_json(path, {"a": [0.1], "b": 1})
    assert path.read_bytes() == first
    assert read_json(path) == {"a": [0.1], "b": 1}
    path.write_bytes(first[:-4])
    with pytest.raises(InputError, match=r"m\.json: no readable JSON") as told:
        read_json(path)
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"a": float("nan")})


def test_where_nothing_can_be_written_it_is_told_before_the_work(tmp_path):
    check_writable(tmp_path / "models/a")
    assert list(tmp_path.rglob("*")) == [tmp_path / "models"]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        check_writable(tmp_path / "file/a")


def test_csv_keeps_floats_in_full(tmp_path):
    write_csv(tmp_path / "a.csv", {"x": [0.1 + 0.2], "n": [3]})
    assert (tmp_path / "a.csv").read_text() == "x,n\n0.30000000000000004,3\n"


def test_a_folder_without_manifest_has_no_digest(tmp_path):
    with pytest.raises(InputError, match="not whole"):
        digest(tmp_path)


HALF = """
import sys, time
from pathlib import Path
from bkdsnn.files import new_folder
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "a").write_text("half")
    print(flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_swept_by_the_next_and_what_a_living_one_writes_is_not(tmp_path):
    started = [subprocess.Popen([sys.executable, "-c", HALF, tmp_path / n], stdout=subprocess.PIPE) for n in "ab"]
    for process in started:
        process.stdout.readline()
    started[0].send_signal(signal.SIGKILL)
    started[0].wait()
    host = socket.gethostname()
    for stays in (f"c.partial-{started[0].pid}@elsewhere", f"c.partial-{os.getpid()}"):
        (tmp_path / stays).mkdir()
    for goes in (f"c.partial-{started[0].pid}", f"c.partial-old-{started[0].pid}@{host}"):
        (tmp_path / goes).mkdir()
    (tmp_path / f"c.partial-{os.getpid()}@{host}").mkdir()  # nobody holds it: the number has come again
    (tmp_path / f"d.partial-{started[0].pid}@{host}").touch()
    sweep(tmp_path)
    living = f"b.partial-{started[1].pid}@{host}"
    assert {path.name for path in tmp_path.iterdir()} == {
        living,
        f"c.partial-{started[0].pid}@elsewhere",
        f"c.partial-{os.getpid()}",
    }
    started[1].kill()
    started[1].wait()
    with new_folder(tmp_path / "b") as folder:
        (folder / "a").write_text("whole")
    assert not (tmp_path / living).exists()


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("before")

    def fail():
        with new_file(target) as path:
            path.write_text("half")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert (target.read_text(), len(list(tmp_path.iterdir()))) == ("before", 1)
    with new_file(target) as path:
        path.write_text("after")
    assert (target.read_text(), len(list(tmp_path.iterdir()))) == ("after", 1)


@pytest.mark.parametrize(
    "error",
    [
        OSError("1797 requested and 1520 written"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=["numpy", "safetensors", "system"],
)
def test_a_full_disk_is_told_with_the_folder_that_was_written_also_by_a_library(tmp_path, error):
    with pytest.raises(OSError, match="requested|No space") as told, new_folder(tmp_path / "out"):
        raise error
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(tmp_path / "out"))
