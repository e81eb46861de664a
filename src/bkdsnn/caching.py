"""Stores a teacher's outputs for every view of a recipe, one memory-mapped array per output."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.data.batches import Batches
from bkdsnn.params import Augmentation
from bkdsnn.paths import digest, sha256, write_json


def write_cache(
    folder: Path,
    *,
    teacher: Callable[[Batch], NetOutput],
    batches: Batches,
    augmentation: Augmentation,
    dtype: str,
    teacher_digest: str,
) -> None:
    """Writes `index.npy`, one `[views, N, T, ...]` array per output, and last a manifest with their hashes."""
    index = batches.data.splits["train"]
    np.save(folder / "index.npy", index)
    arrays: dict[str, np.ndarray] = {}
    for view in tqdm(range(augmentation.all_views), desc="views", disable=None):
        start = 0
        for batch in batches.ordered("train", view=view, augmentation=augmentation):
            output = teacher(batch)
            for name, tensor in {"logits": output.logits, **output.features}.items():
                rows = tensor.transpose(0, 1).cpu().numpy()  # [B, T, ...]
                if name not in arrays:
                    shape = (augmentation.all_views, len(index), *rows.shape[1:])
                    path = folder / f"{name}.npy"
                    arrays[name] = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
                arrays[name][view, start : start + len(rows)] = rows
            start += len(batch.index)
    for array in arrays.values():
        array.flush()
    write_json(
        folder / "manifest.json",
        {
            "data_sha256": digest(batches.data.folder),
            "samples": len(batches.data.labels),
            "teacher_sha256": teacher_digest,
            "views": augmentation.all_views,
            "shapes": {name: list(array.shape) for name, array in arrays.items()},
            "dtype": dtype,
            "sha256": {name: sha256(folder / f"{name}.npy") for name in ("index", *arrays)},
        },
    )
