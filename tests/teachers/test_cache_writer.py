"""Writing a cache: the same bytes from one process, from two, and after a kill; what would not fit is refused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT, augmentation, write_data
from safetensors.torch import load_file

from bkdsnn import plugins
from bkdsnn.contracts import NetOutput
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.errors import InputError
from bkdsnn.teachers import cache_plan, cache_writer
from bkdsnn.teachers.cache_plan import Plan, check_room
from bkdsnn.teachers.cache_writer import write_cache
from bkdsnn.teachers.live import LiveTeacher

AUGMENTATION = augmentation(views=2, shift=1)
SHARDS = 6  # 2 views of 40 samples: batches of 8, two of them a shard


@pytest.fixture(autouse=True)
def _small(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(cache_plan, "SHARD_SAMPLES", 20)
    write_data(tmp_path / "data", shape=(1, 8, 8))


class Teacher(LiveTeacher):
    """A small teacher that counts its batches and may stop or wait at each."""

    def __init__(self, *, at_batch=lambda count: None) -> None:
        module = plugins.load("network", "resnet")
        torch.manual_seed(0)
        settings = module.Settings(widths=[4, 8], blocks=[1, 1], stem_stride=1)
        super().__init__(module.Network(settings, input_shape=(1, 8, 8), classes=3), features=["last"])
        self.count = 0
        self._at_batch = at_batch

    def __call__(self, batch) -> NetOutput:
        self._at_batch(self.count)
        self.count += 1
        return super().__call__(batch)


def write(
    tmp_path, name: str, *, teacher=None, rank=0, world=1, dtype="float32", rules=AUGMENTATION, code=None
) -> dict[str, bytes]:
    """Writes a cache and returns its files."""
    teacher = teacher or Teacher()
    batches = Batches(ArrayData(tmp_path / "data"), batch_size=8, device=torch.device("cpu"))
    write_cache(
        tmp_path / name,
        teacher=teacher,
        batches=batches,
        augmentation=rules,
        dtype=dtype,
        teacher_digest="t",
        code=code or {},
        rank=rank,
        world=world,
    )
    return {path.name: path.read_bytes() for path in (tmp_path / name).glob("*")}


def kept(tmp_path) -> list[str]:
    """The shards that wait for the rest."""
    return sorted(path.name.split(".")[0] for path in tmp_path.glob(".resume/*/view-*"))


def stop_at(number: int):
    """Fails at a batch; the first one only looks at the shapes."""

    def at_batch(count: int) -> None:
        if count == number:
            raise KeyboardInterrupt

    return at_batch


def test_a_cache_is_whole_batches_in_shards_and_a_manifest(tmp_path):
    files = write(tmp_path, "cache")
    assert len(files) == SHARDS + 2
    manifest = json.loads(files["manifest.json"])
    assert (manifest["views"], manifest["shard_samples"]) == (2, 16)
    assert manifest["outputs"] == {"logits": [1, 3], "last": [1, 8, 4, 4]}
    sizes = [len(load_file(tmp_path / f"cache/view-001-shard-0000{n}.safetensors")["last"]) for n in range(3)]
    assert sizes == [16, 16, 8]
    assert not list(tmp_path.glob(".resume/*"))


def test_a_transformer_s_cache_holds_vectors(tmp_path):
    module = plugins.load("network", "timm_model")
    settings = module.Settings(
        model="vit_tiny_patch16_224",
        options={"img_size": 8, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2},
        taps={"last": "norm", "first": "blocks.0"},
        tokens="class",
        input_size=8,
        interpolation="bicubic",
        weights=None,
        weights_sha256=None,
        new_head=False,
    )
    network = module.Network(settings, input_shape=(1, 8, 8), classes=3)
    files = write(tmp_path, "cache", teacher=LiveTeacher(network, features=["last"]))
    assert json.loads(files["manifest.json"])["outputs"] == {"logits": [1, 3], "last": [1, 24]}
    stored = load_file(tmp_path / "cache/view-000-shard-00000.safetensors")
    assert {name: tuple(rows.shape) for name, rows in stored.items()} == {"logits": (16, 1, 3), "last": (16, 1, 24)}


def test_after_an_interruption_the_finished_shards_are_kept_and_the_bytes_are_the_same(tmp_path):
    unbroken = write(tmp_path, "unbroken")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "broken", teacher=Teacher(at_batch=stop_at(6)))  # in the second view's first shard
    assert len(kept(tmp_path)) == 3
    assert not (tmp_path / "broken").exists()
    second = Teacher()
    assert write(tmp_path, "broken", teacher=second) == unbroken
    assert second.count == 1 + 5  # the look at the shapes, and the second view's batches
    assert kept(tmp_path) == []


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""])
def test_a_damaged_shard_is_found_and_made_again(tmp_path, caplog, damage):
    unbroken = write(tmp_path, "unbroken")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "broken", teacher=Teacher(at_batch=stop_at(6)))
    (path,) = tmp_path.glob(".resume/*/view-000-shard-00001.*")
    path.write_bytes(damage(path.read_bytes()))
    second = Teacher()
    assert write(tmp_path, "broken", teacher=second) == unbroken
    assert second.count == 1 + 5 + 2
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        f"{path.name}: truncated or altered after it was written: it is made again"
    ]


def test_other_params_teachers_or_code_never_find_the_shards(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "cache", teacher=Teacher(at_batch=stop_at(6)))
    assert len(kept(tmp_path)) == 3
    another = Teacher()
    with torch.no_grad():
        next(another.network.parameters()).mul_(2)
    write(tmp_path, "weights", teacher=another)
    half, other_rules = Teacher(), Teacher()
    write(tmp_path, "dtype", teacher=half, dtype="float16")
    write(tmp_path, "augmentation", teacher=other_rules, rules=augmentation(views=2, shift=1, flip=0.5))
    code = Teacher()
    write(tmp_path, "code", teacher=code, code={"src/bkdsnn/data/augment.py": "a"})
    assert [t.count for t in (another, half, other_rules, code)] == [11] * 4
    assert len(kept(tmp_path)) == 3


def test_two_processes_write_the_same_bytes_and_share_the_work(tmp_path):
    alone = write(tmp_path, "alone")
    slow = [Teacher(at_batch=lambda count: time.sleep(0.05)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(write, tmp_path, "shared", teacher=slow[n], rank=n, world=2) for n in range(2)]
        for job in jobs:
            job.result()
    assert {path.name: path.read_bytes() for path in (tmp_path / "shared").glob("*")} == alone
    assert all(4 <= teacher.count <= 9 for teacher in slow)  # 10 batches and each one's look at the shapes
    assert kept(tmp_path) == []


def test_the_first_process_does_what_the_others_left(tmp_path):
    alone = write(tmp_path, "alone")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "shared", teacher=Teacher(at_batch=stop_at(3)), rank=1, world=2)
    assert kept(tmp_path) == ["view-000-shard-00001"]
    first = Teacher()
    assert write(tmp_path, "shared", teacher=first, rank=0, world=2) == alone
    assert first.count == 1 + 8
    late = Teacher()
    write(tmp_path, "shared", teacher=late, rank=1, world=2)
    assert late.count == 0


def test_a_shard_is_written_while_the_next_is_computed(tmp_path, monkeypatch):
    next_one = threading.Event()
    plain = cache_writer.ShardStore.write

    def slow(self, name: str, content: bytes) -> None:
        assert name.endswith("shard-00002") or next_one.wait(timeout=5), "nothing was computed meanwhile"
        plain(self, name, content)

    monkeypatch.setattr(cache_writer.ShardStore, "write", slow)
    write(tmp_path, "cache", teacher=Teacher(at_batch=lambda count: next_one.set() if count == 3 else None))


KILLED = """
import sys, time
sys.path[:0] = ["src", "tests", "tests/helpers", "tests/teachers"]
from pathlib import Path
import test_cache_writer
test_cache_writer.cache_plan.SHARD_SAMPLES = 20
slow = test_cache_writer.Teacher(at_batch=lambda count: time.sleep(0.1))
test_cache_writer.write(Path(sys.argv[1]), "cache", teacher=slow)
"""


def test_after_a_kill_the_cache_has_the_same_bytes(tmp_path):
    """SIGKILL as soon as two shards are there, in the midst of the third."""
    environment = {**os.environ, "DVC_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, env=environment)
    deadline = time.monotonic() + 60
    while len(kept(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 2 <= len(kept(tmp_path)) < SHARDS
    rest = Teacher()
    broken = write(tmp_path, "cache", teacher=rest)
    assert rest.count < 11
    assert broken == write(tmp_path, "unbroken")
    assert not list(tmp_path.glob(".resume/*"))


PLAN = Plan(views=4, samples=300, shapes={"logits": (1, 10), "last": (1, 64, 4, 4)}, dtype="float32", batch_size=32)


def test_the_size_is_printed_before_anything_is_written(tmp_path, caplog):
    caplog.set_level("INFO")
    assert str(PLAN) == "teacher outputs: 4 views x 300 samples, logits 10 + last [64,4,4]: 5.0 MB float32"
    frames = Plan(2, 9000, {"logits": (4, 10), "last": (4, 128)}, "bfloat16", 32)
    assert str(frames) == "teacher outputs: 2 views x 9000 samples x 4 steps, logits 10 + last 128: 19.9 MB bfloat16"
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "cache", teacher=Teacher(at_batch=stop_at(1)))
    (told,) = (record.message for record in caplog.records)
    assert told == "teacher outputs: 2 views x 40 samples, logits 3 + last [8,4,4]: 0.0 MB float32"
    assert kept(tmp_path) == []


def test_what_does_not_fit_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_plan.shutil, "disk_usage", lambda place: SimpleNamespace(free=1_004_000_000))
    with pytest.raises(InputError) as told:
        check_room(PLAN, written=0, places=(tmp_path / "not" / "yet",))
    assert str(told.value) == (
        f"{PLAN} does not fit the disk of {tmp_path}: 1.0 GB are free, 1.0 GB of them stay free; "
        "change augmentation.views, cache.dtype float16, or cache.enabled: false"
    )
    check_room(PLAN, written=1_000_000, places=(tmp_path,))  # 4 MB are left to write


def test_a_limit_that_was_set_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("BKDSNN_CACHE_LIMIT_GB", "0.004")
    with pytest.raises(InputError, match=r"5.0 MB float32 is more than BKDSNN_CACHE_LIMIT_GB=0.004 allows; change aug"):
        check_room(PLAN, written=0, places=(tmp_path,))
    monkeypatch.setenv("BKDSNN_CACHE_LIMIT_GB", "0.005")
    check_room(PLAN, written=0, places=(tmp_path,))
    monkeypatch.setenv("BKDSNN_CACHE_LIMIT_GB", "little")
    with pytest.raises(InputError, match="^BKDSNN_CACHE_LIMIT_GB: 'little' is no number of GB: the most"):
        check_room(PLAN, written=0, places=(tmp_path,))


def test_what_float16_cannot_hold_is_refused(tmp_path):
    teacher = Teacher()
    with torch.no_grad():
        teacher.network.head.bias.fill_(1e5)
    with pytest.raises(
        InputError, match="^the teacher's output 'logits' is not finite in float16; use cache.dtype bfl"
    ):
        write(tmp_path, "cache", teacher=teacher, dtype="float16")
    assert not (tmp_path / "cache").exists()
