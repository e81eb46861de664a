import numpy as np
import torch

from bkdsnn.seeding import derive_seed, draw_keys, make_deterministic, uniform


def test_uniform_equals_splitmix64_written_with_python_integers():
    mask = (1 << 64) - 1

    def splitmix(state: int) -> int:
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    keys = [3, -7, 2**62]
    drawn = uniform(keys=torch.tensor(keys), count=4)
    for row, key in enumerate(keys):
        for column in range(4):
            bits = splitmix((key + (column + 1) * 0x9E3779B97F4A7C15) & mask)
            assert drawn[row, column].item() == (bits >> 40) / 2**24


def test_uniform_is_uniform():
    drawn = uniform(keys=draw_keys("method", seed=0, epoch=0, index=torch.arange(2000)), count=100).numpy()
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    chi_square = ((counts - 10000) ** 2 / 10000).sum()
    assert chi_square < 43.8  # 0.1 % of chi-square with 19 degrees of freedom
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.08
    assert drawn.min() >= 0
    assert drawn.max() < 1


def test_a_draw_depends_on_seed_epoch_and_index_and_not_on_the_place_in_the_batch():
    index = torch.tensor([5, 9, 2])
    keys = draw_keys("method", seed=1, epoch=3, index=index)
    assert torch.equal(draw_keys("method", seed=1, epoch=3, index=index.flip(0)).flip(0), keys)
    others = [
        draw_keys("shift", seed=1, epoch=3, index=index),
        draw_keys("method", seed=2, epoch=3, index=index),
        draw_keys("method", seed=1, epoch=4, index=index),
    ]
    assert all((keys != other).all() for other in others)
    assert len(set(keys.tolist())) == 3


def test_derived_seeds_name_their_purpose():
    assert derive_seed("order", 1, 2) != derive_seed("order", 12)
    assert 0 <= derive_seed("x") < 2**63


def test_float32_is_float32_unless_tf32_is_asked_for():
    def found() -> tuple:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    make_deterministic(threads=None, tf32=True)
    assert found() == ("high", True)
    make_deterministic(threads=None)
    assert found() == ("highest", False)
