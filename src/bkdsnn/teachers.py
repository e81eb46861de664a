"""Three ways to have a teacher, one call: `teacher(batch)`, without gradient, always in eval mode."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.errors import InputError
from bkdsnn.paths import read_json, sha256


def shard_name(view: int, number: int) -> str:
    """What a shard of a cache is called."""
    return f"view-{view:03}-shard-{number:05}"


class NoTeacher:
    """The teacher of a row that has none."""

    def __call__(self, batch: Batch) -> None:
        return None


class LiveTeacher:
    """Runs the teacher's network on every batch and keeps the features that are asked for.

    `look` gives the teacher's own inputs for a batch (another cut of the same recordings); by default the student's.
    """

    def __init__(
        self, network: nn.Module, *, features: list[str], look: Callable[[Batch], Tensor] = lambda batch: batch.inputs
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.features = features
        self.look = look

    def __call__(self, batch: Batch) -> NetOutput:
        inputs = self.look(batch)
        with torch.inference_mode():
            output = self.network(inputs)
        for name in self.features:
            if name not in output.features:
                raise InputError(f"the teacher has no feature '{name}': it has {', '.join(output.features)}")
        # Clones, as no loss may keep a tensor of inference mode for its backward.
        features = {name: output.features[name].clone() for name in self.features}
        return NetOutput(logits=output.logits.clone(), features=features)


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
