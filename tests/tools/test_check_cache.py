"""check-cache finds what the hashes cannot: a cache that says something else than the live teacher."""

import pytest
import torch
from conftest import augmentation, write_data

from bkdsnn import plugins
from bkdsnn.data.batches import Batches
from bkdsnn.errors import InputError
from bkdsnn.files import digest
from bkdsnn.teachers.cache_writer import write_cache
from bkdsnn.teachers.cached import CachedTeacher
from bkdsnn.teachers.live import LiveTeacher
from bkdsnn.tools.check_cache import compare

RULES = augmentation(views=2, shift=1)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    data = write_data(tmp_path / "data", shape=(1, 8, 8))
    module = plugins.load("network", "resnet")
    torch.manual_seed(0)
    settings = module.Settings(widths=[4, 8], blocks=[1, 1], stem_stride=1)
    network = module.Network(settings, input_shape=(1, 8, 8), classes=3)
    batches = Batches(data, batch_size=8, device=torch.device("cpu"))
    return tmp_path / "cache", LiveTeacher(network, features=["last"]), batches


def written(world, dtype: str) -> CachedTeacher:
    folder, live, batches = world
    rest = {"augmentation": RULES, "dtype": dtype, "teacher_digest": "t", "code": {}, "rank": 0, "world": 1}
    write_cache(folder, teacher=live, batches=batches, **rest)
    return CachedTeacher(folder, data_digest=digest(batches.data.folder), views=2, device=batches.device)


def compared(world, cached: CachedTeacher) -> dict[str, float]:
    return compare(cached, world[1], batches=world[2], augmentation=RULES)


def test_float32_is_equal_to_the_byte_and_half_within_a_hundredth(world, capsys):
    assert compared(world, written(world, "float32")) == {"logits": 0.0, "last": 0.0}
    assert "8 of 10 batches computed anew; the largest difference (0 is allowed):" in capsys.readouterr().out
    for dtype, rounding in (("float16", 2**-11), ("bfloat16", 2**-8)):
        for difference in compared(world, written(world, dtype)).values():
            assert 0 < difference <= rounding


def test_another_teacher_s_outputs_are_refused(world):
    cached = written(world, "float32")
    with torch.no_grad():
        world[1].network.head.bias.add_(1e-3)
    with pytest.raises(
        InputError, match=r"cache: 'logits' differs from the live teacher by \d\.\de-0\d of its largest"
    ):
        compared(world, cached)


def test_every_byte_is_hashed(world):
    cached = written(world, "float32")
    path = world[0] / "view-001-shard-00000.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="view-001-shard-00000.safetensors: its bytes do not match manifest.json"):
        compared(world, cached)
