"""Three ways to have a teacher, one call: `teacher(batch)`, without gradient, always in eval mode."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bkdsnn.contracts import Batch, NetOutput
from bkdsnn.errors import InputError
from bkdsnn.paths import read_json, sha256


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

    Arrays are memory-mapped, `[views, N, T, ...]`, N in the order of `index.npy`. Raises `InputError` where the bytes
    do not match the manifest.
    """

    def __init__(self, folder: Path, *, data_digest: str, views: int, device: torch.device) -> None:
        manifest = read_json(folder / "manifest.json")
        rebuild = f"rebuild it with `dvc repro --force --single-item cache_features@{folder.name}`"
        if manifest.get("data_sha256") != data_digest or manifest.get("views") != views:
            raise InputError(f"{folder}: made of other data or views than this run's; {rebuild}")
        for name, digest in manifest["sha256"].items():
            path = folder / f"{name}.npy"
            if not path.is_file() or sha256(path) != digest:
                raise InputError(f"{path}: its bytes do not match manifest.json; {rebuild}")
        self._arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in manifest["sha256"]}
        self._device = device
        index = self._arrays.pop("index")
        self._row = np.full(manifest["samples"], -1)
        self._row[index] = np.arange(len(index))

    def __call__(self, batch: Batch) -> NetOutput:
        rows = self._row[batch.index.numpy()]
        if (rows < 0).any():
            raise InputError(
                f"sample {int(batch.index[rows < 0][0])} is not in the teacher's cache (training split only)"
            )
        outputs = {name: self._read(array[batch.view][rows]) for name, array in self._arrays.items()}
        return NetOutput(logits=outputs.pop("logits"), features=outputs)

    def _read(self, rows: np.ndarray) -> Tensor:
        """`[B, T, ...]` as stored becomes `[T, B, ...]` float32 on the device."""
        return torch.from_numpy(rows).to(self._device).float().transpose(0, 1)
