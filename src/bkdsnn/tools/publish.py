"""A student as a folder in Hugging Face's layout, or there (`make publish STUDENT=image-bkd-s0 PUSH=1 REPO=me/it`)."""

import re
from pathlib import Path

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.data.arrays import ArrayData
from bkdsnn.errors import InputError
from bkdsnn.export.mlflow_model import write_model
from bkdsnn.export.model_card import read_metrics, write_readme
from bkdsnn.export.student import PUBLISHED, read_student
from bkdsnn.files import new_folder
from bkdsnn.params.schema import Params, load_params
from bkdsnn.params.settings import settings_of
from bkdsnn.tools.export import event_frames

FOLDER = Path("models", "hub")


def publish(key: str = "", push: str = "", repo: str = "") -> None:
    """Writes `models/hub/<table>/<run>`; with PUSH=1 it becomes the newest commit of the repository."""
    if not key:
        raise InputError("STUDENT: wanted the key of a run, such as STUDENT=image-bkd-s0")
    if push not in ("", "0", "1"):
        raise InputError(f"PUSH={push}: wanted 1 (upload) or nothing")
    if push == "1" and not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise InputError(f"REPO={repo}: wanted USER/NAME, the repository on Hugging Face that PUSH=1 uploads to")
    params = load_params()
    run = params.entry("runs", key)
    if theirs := params.students[run.student].weights:
        raise InputError(f"{key}: begins with the weights of others ({theirs}), whose terms are theirs: not published")
    folder = FOLDER / run.table / key
    _write(folder, key, params, name=repo if push == "1" else folder.as_posix())
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}; {size / 1e6:.2f} MB")
    if push == "1":
        _push(folder, repo)


def _write(folder: Path, key: str, params: Params, *, name: str) -> None:
    run = params.runs[key]
    source = paths.student(run.table, key)
    if not source.is_dir():
        raise InputError(f"{source}: not trained yet; run `dvc repro evaluate@{key}` (or `make repro`) first")
    metrics = read_metrics(paths.runs(run.table) / key, of=source)
    data = ArrayData(paths.dataset(run.dataset))
    more = {
        "model_type": "bkdsnn",
        "method_settings": settings_of(run, params),
        "picture": data.manifest["settings"].get("picture"),
        "upright": data.manifest["inputs"]["stored"] == "inputs",
        **event_frames(data),
    }
    with new_folder(folder) as partial:
        card = write_model(partial, key, params, names=PUBLISHED, **more)
        table = paths.tables(params.table)
        write_readme(partial, card, metrics=metrics, table=table, title=params.title, name=name)
        read_student(partial, PUBLISHED)  # what cannot be read back is not kept


def _push(folder: Path, repo: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        api = HfApi()
        api.create_repo(repo, exist_ok=True)
        commit = api.upload_folder(repo_id=repo, folder_path=folder)
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError, ValueError) as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{repo}: not uploaded ({why[:200]}); {folder} is whole; `hf auth login` logs in") from error
    print(commit)


if __name__ == "__main__":
    run_stage(publish)
