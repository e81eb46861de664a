"""Stores a teacher's outputs for every view of a recipe; several processes may share the work, a killed one goes on.

A shard is a run of samples of one view. It begins and ends where a batch does, so that the teacher sees the same
batches whoever asks it: the bytes depend neither on the number of processes nor on interruptions.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.data.batches import Batches
from bkdsnn.data.views import view_count
from bkdsnn.errors import InputError
from bkdsnn.files import digest, new_folder, sha256, write_json
from bkdsnn.params.recipe import Augmentation
from bkdsnn.teachers.cache_plan import Plan, Shard, check_room
from bkdsnn.teachers.shard_store import ShardStore

log = logging.getLogger(__name__)


def write_cache(
    target: Path,
    *,
    teacher: Callable[[Batch], NetOutput],
    batches: Batches,
    augmentation: Augmentation,
    dtype: str,
    teacher_digest: str,
    code: dict[str, str],
    rank: int,
    world: int,
) -> None:
    """Writes the folder `target`: `index.npy`, the shards, and last a manifest with their hashes.

    code: the digests of what makes the outputs. Process `rank` of `world` makes every world-th shard; the first one
    also makes what the others have not, and then the folder. Raises `InputError` where the outputs would not fit the
    disk or the dtype.
    """
    if rank and (target / "manifest.json").is_file():
        return  # the first process was done before this one had started
    index = batches.data.splits["train"]
    first = stored_rows(
        teacher(next(batches.ordered(0, batches.batch_size, view=0, augmentation=augmentation))), dtype=dtype
    )
    shapes = {name: tuple(rows.shape[1:]) for name, rows in first.items()}
    plan = Plan(view_count(augmentation), len(index), shapes, dtype, batches.batch_size)
    manifest = {
        "data_sha256": digest(batches.data.folder),
        "samples": len(batches.data.labels),
        "teacher_sha256": teacher_digest,
        "views": plan.views,
        "outputs": {name: list(shape) for name, shape in shapes.items()},
        "dtype": dtype,
        "shard_samples": plan.shard_samples,
    }
    if rank == 0:
        log.info("%s", plan)
    with ShardStore(_key(manifest, augmentation, plan.batch_size, first, code)) as store:
        check_room(plan, written=store.bytes(), places=(store.folder, target.parent))
        mine = plan.shards()[rank::world]
        others = [] if rank else [shard for n, shard in enumerate(plan.shards()) if n % world][::-1]
        _fill(
            store,
            tqdm(mine + others, desc="shards", disable=True if rank else None),
            rows=lambda shard: _shard_rows(shard, store, teacher, batches, augmentation, dtype),
        )
        if rank == 0:
            _publish(target, store, plan.shards(), index=index, manifest=manifest)
        if (target / "manifest.json").is_file():
            store.clear()


def stored_rows(output: NetOutput, *, dtype: str) -> dict[str, Tensor]:
    """A batch's outputs as a shard has them: `[B, T, ...]` on the CPU; `InputError` where a value does not fit."""
    rows = {}
    for name, tensor in {"logits": output.logits, **output.features}.items():
        rows[name] = tensor.transpose(0, 1).to("cpu", getattr(torch, dtype)).contiguous()  # [B, T, ...]
        if not rows[name].isfinite().all():
            advice = "; use cache.dtype bfloat16 or float32" if tensor.isfinite().all() else ""
            raise InputError(f"the teacher's output '{name}' is not finite in {dtype}{advice}")
    return rows


def _fill(store: ShardStore, shards: tqdm, *, rows: Callable[[Shard], dict[str, Tensor] | None]) -> None:
    """Makes the shards that the store lacks; one is written while the next is computed."""
    with ThreadPoolExecutor(1) as writer:
        writing: Future | None = None
        for shard in shards:
            while not store.holds(shard.name):
                computed = rows(shard)
                if computed is not None:
                    if writing is not None:
                        writing.result()
                    writing = writer.submit(lambda name, rows: store.write(name, save(rows)), shard.name, computed)
                    break
        if writing is not None:
            writing.result()


def _shard_rows(
    shard: Shard,
    store: ShardStore,
    teacher: Callable[[Batch], NetOutput],
    batches: Batches,
    augmentation: Augmentation,
    dtype: str,
) -> dict[str, Tensor] | None:
    """A shard's outputs, or None as soon as another process has finished it."""
    parts = []
    for batch in batches.ordered(shard.start, shard.stop, view=shard.view, augmentation=augmentation):
        if store.lists(shard.name):
            return None
        parts.append(stored_rows(teacher(batch), dtype=dtype))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _publish(target: Path, store: ShardStore, shards: list[Shard], *, index: np.ndarray, manifest: dict) -> None:
    """Makes the folder of the finished shards, the manifest last."""
    with new_folder(target) as folder:
        np.save(folder / "index.npy", index)
        digests = {"index.npy": sha256(folder / "index.npy")}
        digests |= {f"{shard.name}.safetensors": store.put(shard.name, folder) for shard in shards}
        sizes = {name: (folder / name).stat().st_size for name in digests}
        write_json(folder / "manifest.json", {**manifest, "bytes": sizes, "sha256": digests})


def _key(
    manifest: dict, augmentation: Augmentation, batch_size: int, first: dict[str, Tensor], code: dict[str, str]
) -> str:
    """What the shards depend on. The first batch's outputs speak for the machine, the threads and the versions."""
    rules = augmentation.model_dump(mode="json")
    depends = {**manifest, "augmentation": rules, "batch_size": batch_size, "code": code}
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode() + save(first)).hexdigest()
