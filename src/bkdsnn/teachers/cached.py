"""A teacher whose outputs were stored: `teacher(batch)` reads them."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError
from torch import Tensor

from bkdsnn.contracts import Batch, NetOutput, Shape
from bkdsnn.data.arrays import read_array
from bkdsnn.distributed.device import to_device
from bkdsnn.errors import InputError
from bkdsnn.files import read_json, sha256
from bkdsnn.layers.tensors import read_tensors


def shard_name(view: int, number: int) -> str:
    """What a shard of a cache is called."""
    return f"view-{view:03}-shard-{number:05}"


class _Manifest(BaseModel):
    """What a cache's manifest must hold."""

    samples: PositiveInt
    shard_samples: PositiveInt = Field(lt=2**31)
    dtype: Literal["float32", "float16", "bfloat16"]
    outputs: dict[str, list[PositiveInt]]
    bytes: dict[str, NonNegativeInt]
    sha256: dict[str, str]
    teacher_sha256: str


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
        self._check_manifest()
        for name, size in self.manifest["bytes"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise InputError(f"{path}: missing or cut off; {self._rebuild}")
        index = self._index()
        self._order = np.argsort(index)
        self._sorted = index[self._order]
        self._device = device
        self._shards: dict[str, dict[str, Tensor]] = {}

    def __call__(self, batch: Batch) -> NetOutput:
        wanted = batch.index.numpy()
        place = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        if (missing := self._sorted[place] != wanted).any():
            raise InputError(f"sample {int(wanted[missing][0])} is not in the teacher's cache (training split only)")
        rows = self._order[place]
        numbers, places = np.divmod(rows, self.manifest["shard_samples"])
        shards = {number: self._shard(shard_name(batch.view, number)) for number in np.unique(numbers)}
        dtype = getattr(torch, self.manifest["dtype"])
        outputs = {
            name: torch.empty(len(rows), *shape, dtype=dtype) for name, shape in self.manifest["outputs"].items()
        }
        for number, shard in shards.items():
            here = numbers == number
            for name, output in outputs.items():
                output[torch.from_numpy(here)] = shard[name][torch.from_numpy(places[here])]
        # [B, T, ...] as stored becomes [T, B, ...]
        outputs = {name: to_device(output, self._device).float().transpose(0, 1) for name, output in outputs.items()}
        return NetOutput(logits=outputs.pop("logits"), features=outputs)

    def feature_shapes(self) -> dict[str, Shape]:
        """The shape `(C, H, W)` or `(C,)` of every feature."""
        return {name: tuple(shape[1:]) for name, shape in self.manifest["outputs"].items() if name != "logits"}

    def checked(self, name: str) -> Path:
        """A file of the folder, once its bytes were found to be those of the manifest."""
        path = self.folder / name
        if name not in self.manifest["sha256"] or sha256(path) != self.manifest["sha256"][name]:
            raise InputError(f"{path}: its bytes do not match manifest.json; {self._rebuild}")
        return path

    def _shard(self, name: str) -> dict[str, Tensor]:
        """The mapped outputs `[samples, T, ...]` of a shard."""
        if name not in self._shards:
            shard = read_tensors(self.checked(f"{name}.safetensors"))
            here = len(self._order) - int(name.rpartition("-")[2]) * self.manifest["shard_samples"]
            rows = min(here, self.manifest["shard_samples"])
            for output, shape in self.manifest["outputs"].items():
                if output not in shard or shard[output].shape != (rows, *shape):
                    place = f"{self.folder / name}.safetensors"
                    raise InputError(f"{place}: not {output[:80]!r} [{rows}, ...]; {self._rebuild}")
            self._shards[name] = shard
        return self._shards[name]

    def _index(self) -> np.ndarray:
        """The samples in the order in which they are stored."""
        index = read_array(self.checked("index.npy"), remedy=self._rebuild)
        if index.ndim != 1 or not len(index) or index.dtype.kind != "i":
            raise InputError(f"{self.folder / 'index.npy'}: no list of samples; {self._rebuild}")
        return np.array(index)

    def _check_manifest(self) -> None:
        try:
            _Manifest.model_validate(self.manifest, strict=True)
        except ValidationError as error:
            where = ".".join(map(ascii, error.errors()[0]["loc"]))
            raise InputError(f"{self.folder / 'manifest.json'}: {where} is not as written; {self._rebuild}") from error

    @property
    def _rebuild(self) -> str:
        return f"rebuild it with `dvc repro --force --single-item cache_features@{self.folder.name}`"
