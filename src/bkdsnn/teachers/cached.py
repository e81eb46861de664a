"""A teacher whose outputs were stored: `teacher(batch)` reads them."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from bkdsnn.contracts import Batch, NetOutput, Shape
from bkdsnn.errors import InputError
from bkdsnn.files import read_json, sha256


def shard_name(view: int, number: int) -> str:
    """What a shard of a cache is called."""
    return f"view-{view:03}-shard-{number:05}"


class CachedTeacher:
    """Reads the teacher's outputs for (view, sample) from a folder that `cache_features` wrote.

    Shards are memory-mapped, and hashed once, when they are first read. Raises `InputError` where the bytes do not
    match the manifest; for a missing file, or one that was cut off, at once.
    """

    def __init__(self, folder: Path, *, data_digest: str, views: int, device: torch.device) -> None:
        self.folder = folder
        self.manifest = read_json(folder / "manifest.json")
        if self.manifest.get("data_sha256") != data_digest or self.manifest.get("views") != views:
            raise InputError(f"{folder}: made of other data or views than this run's; {self._rebuild}")
        for name, size in self.manifest["bytes"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise InputError(f"{path}: missing or cut off; {self._rebuild}")
        index = np.load(self.checked("index.npy"))
        self._row = np.full(self.manifest["samples"], -1)
        self._row[index] = np.arange(len(index))
        self._device = device
        self._shards: dict[str, dict[str, Tensor]] = {}

    def __call__(self, batch: Batch) -> NetOutput:
        rows = self._row[batch.index.numpy()]
        if (rows < 0).any():
            raise InputError(
                f"sample {int(batch.index[rows < 0][0])} is not in the teacher's cache (training split only)"
            )
        dtype = getattr(torch, self.manifest["dtype"])
        outputs = {
            name: torch.empty(len(rows), *shape, dtype=dtype) for name, shape in self.manifest["outputs"].items()
        }
        numbers, places = np.divmod(rows, self.manifest["shard_samples"])
        for number in np.unique(numbers):
            here = numbers == number
            shard = self._shard(shard_name(batch.view, number))
            for name, output in outputs.items():
                output[torch.from_numpy(here)] = shard[name][torch.from_numpy(places[here])]
        # [B, T, ...] as stored becomes [T, B, ...]
        outputs = {name: output.to(self._device).float().transpose(0, 1) for name, output in outputs.items()}
        return NetOutput(logits=outputs.pop("logits"), features=outputs)

    def feature_shapes(self) -> dict[str, Shape]:
        """The shape `(C, H, W)` or `(C,)` of every feature."""
        return {name: tuple(shape[1:]) for name, shape in self.manifest["outputs"].items() if name != "logits"}

    def checked(self, name: str) -> Path:
        """A file of the folder, once its bytes were found to be those of the manifest."""
        path = self.folder / name
        if sha256(path) != self.manifest["sha256"][name]:
            raise InputError(f"{path}: its bytes do not match manifest.json; {self._rebuild}")
        return path

    def _shard(self, name: str) -> dict[str, Tensor]:
        """The mapped outputs `[samples, T, ...]` of a shard."""
        if name not in self._shards:
            self._shards[name] = load_file(self.checked(f"{name}.safetensors"))
        return self._shards[name]

    @property
    def _rebuild(self) -> str:
        return f"rebuild it with `dvc repro --force --single-item cache_features@{self.folder.name}`"
