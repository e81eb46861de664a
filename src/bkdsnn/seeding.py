"""Random numbers that depend on what they are for, never on batch position, rank or what was drawn before."""

import hashlib

import torch
from torch import Tensor

from bkdsnn import environment
from bkdsnn.distributed import launcher

# Constants of splitmix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195), as signed 64-bit numbers.
_GOLDEN, _MIX_1, _MIX_2 = (c - (1 << 64) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed for the purpose that the parts name."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def draw_keys(purpose: str, *, seed: int, epoch: int, index: Tensor) -> Tensor:
    """One int64 key per sample `[B]` for a purpose, from a seed, the epoch (or view) and the sample's index `[B]`."""
    return _mix(index.to(torch.int64) + _mix_scalar(derive_seed(purpose, seed, epoch)))


def uniform(*, keys: Tensor, count: int) -> Tensor:
    """`count` numbers in [0, 1) for each key `[B]`: float32 `[B, count]`, the same on every device."""
    counter = torch.arange(1, count + 1, device=keys.device, dtype=torch.int64)
    bits = _mix(keys[:, None] + counter * _GOLDEN)  # [B, count]
    return _shift(bits, 40).to(torch.float32) * 2.0**-24


def normal(*, keys: Tensor, count: int) -> Tensor:
    """`count` standard normal numbers for each key `[B]`: float32 `[B, count]`."""
    middle = uniform(keys=keys, count=count) + 2.0**-25  # of its interval of 2^-24: never 0 or 1
    return torch.special.ndtri(middle)


def keys_for(purpose: str, *, keys: Tensor) -> Tensor:
    """Other keys `[B]` made from these for a purpose, so that two that draw in a row share no numbers."""
    return _mix(keys ^ derive_seed(purpose))


def make_deterministic(*, threads: int | None, tf32: bool = False) -> None:
    """Lets torch use deterministic kernels only, full float32 unless `tf32`, and so many CPU threads.

    Threads None: this process's part of the cores.
    """
    if (threads := threads or launcher.threads()) is not None:
        torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, without importing the compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs 4 % of a step (make bench)
    torch.backends.cudnn.benchmark = False
    environment.put_default("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32  # torch's own default is True


def _mix(z: Tensor) -> Tensor:
    """The finaliser of splitmix64; int64 products wrap around as they should."""
    z = (z ^ _shift(z, 30)) * _MIX_1
    z = (z ^ _shift(z, 27)) * _MIX_2
    return z ^ _shift(z, 31)


def _mix_scalar(value: int) -> Tensor:
    return _mix(torch.tensor(value, dtype=torch.int64))


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical shift to the right (torch's is arithmetic)."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
