"""A trained network: what training leaves, and the folder in which it is kept."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from bkdsnn.build import built
from bkdsnn.data.arrays import ArrayData
from bkdsnn.errors import InputError
from bkdsnn.files import digest, read_json, sha256, write_csv, write_json
from bkdsnn.layers.tensors import read_tensors
from bkdsnn.params.schema import Student


@dataclass(frozen=True)
class Trained:
    """Weights after the last epoch and after the epoch chosen on the validation split, and one record per epoch.

    Without epochs (a network taken as it is) both are the initial weights, and best_epoch is -1.
    """

    last: dict[str, Tensor]
    best: dict[str, Tensor]
    best_epoch: int
    history: list[dict[str, float]]


def save_trained(folder: Path, trained: Trained, *, data: ArrayData, teacher: str | None, made_with: dict) -> None:
    """Writes weights after the last and the best epoch, the history, and last a manifest with their hashes."""
    for name in ("last", "best"):
        save_file(getattr(trained, name), folder / f"{name}.safetensors")
    names = trained.history[0] if trained.history else ("epoch", "validation_top1")
    columns = {name: [record[name] for record in trained.history] for name in names}
    write_csv(folder / "history.csv", columns)
    write_json(
        folder / "manifest.json",
        {
            "best_epoch": trained.best_epoch,
            "epochs": len(trained.history),
            "data_sha256": digest(data.folder),
            "teacher_sha256": teacher,
            "made_with": made_with,
            "sha256": {name: sha256(folder / name) for name in ("last.safetensors", "best.safetensors", "history.csv")},
        },
    )


def checked(folder: Path, name: str) -> Path:
    """A file of a trained network's folder; `InputError` where its bytes are not those of the manifest."""
    path, digests = folder / name, read_json(folder / "manifest.json").get("sha256")
    if not isinstance(digests, dict) or not path.is_file() or sha256(path) != digests.get(name):
        stage = "train_teacher" if folder.parent.name == "teachers" else "train_student"
        remedy = f"run `dvc repro -f -s {stage}@{folder.name}`"  # DVC looks at sizes and times alone
        raise InputError(f"{path}: missing, or its bytes do not match manifest.json; {remedy} to train again")
    return path


def load_trained(folder: Path, part: Student, *, data: ArrayData, which: str) -> nn.Module:
    """A trained network, `which` = last or best; `InputError` where the file does not fit its manifest or network."""
    path = checked(folder, f"{which}.safetensors")
    network = built(part, data=data, seed=0)
    try:
        network.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise InputError(
            f"{path}: does not fit the network '{part.network}': {' '.join(str(error).split())}"
        ) from error
    return network.eval()
