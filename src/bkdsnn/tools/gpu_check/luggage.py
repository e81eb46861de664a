"""What `make gpu-check` takes along to a machine without DVC, Hydra and network: `.gpu/`, filled by `make gpu-pack`."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bkdsnn import environment
from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.files import new_file, new_folder, read_json, write_json

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / ".gpu"
COMPOSED, DATA, PACKAGES = FOLDER / "composed.json", FOLDER / "data", FOLDER / "packages"
TABLE, DATASET = "digits", "digits"  # a real table, of whose rows those of this data set are trained
# What a machine with torch, triton, timm, numba, pandas, pyarrow and pytest lacks.
_LACKING = (
    "spikingjelly pydantic pydantic_core lightning-fabric lightning-utilities loguru annotated-types typing-inspection "
    "scipy"
)
_PYTHON = "3.12"
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64")


def content() -> dict:
    """All that was composed: `parts` of the catalogue, `params` of the table, `augmentation` of CIFAR."""
    if not COMPOSED.is_file():
        raise InputError(f"{COMPOSED}: missing: `make gpu-pack`, where DVC is installed, makes it; take .gpu along")
    return read_json(COMPOSED)


def can_compose() -> bool:
    """Whether DVC and Hydra are installed here."""
    return all(importlib.util.find_spec(name) for name in ("dvc", "hydra"))


def compose() -> None:
    """Writes what the checks need of the catalogue, and the table's data, beside each other."""
    from bkdsnn.tools.parts import composed, composed_augmentation, composed_parts

    table = composed(f"table={TABLE}")
    params = composed(f"table={TABLE}", *changes_of(table))
    FOLDER.mkdir(exist_ok=True)
    augmentation = composed_augmentation("cifar").model_dump(mode="json")
    with new_file(COMPOSED) as file:
        write_json(file, {"parts": composed_parts(), "params": params, "augmentation": augmentation})
    _prepare(params)


def changes_of(table: dict) -> list[str]:
    """What makes of the table one for a GPU: one seed, the rows of one data set, and no portable recipe."""
    others = [f"~rows.{key}" for key, row in table["rows"].items() if row["dataset"] != DATASET]
    return ["seeds=[0]", *others, *(f"recipes.{key}.portable=false" for key in table["recipes"])]


def given_environment() -> dict[str, str]:
    """All variables, with a `PYTHONPATH` that leads to our modules from any folder."""
    given = environment.everything()
    entries = given.get("PYTHONPATH", "src").split(os.pathsep)
    return {**given, "PYTHONPATH": os.pathsep.join(str(ROOT / entry) for entry in entries if entry)}


def _prepare(params: dict) -> None:
    """The table's data set, by the stage that prepares it."""
    with tempfile.TemporaryDirectory() as name, new_folder(DATA / DATASET) as target:
        (Path(name) / "params.yaml").write_text(json.dumps(params), encoding="utf-8")
        command = [sys.executable, str(ROOT / "stages/prepare_data.py"), DATASET]
        options = {"cwd": name, "env": {**given_environment(), "DVC_ROOT": name}}
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        if done.returncode != 0:
            raise InputError(f"prepare_data: {done.stderr.strip()[-300:]}")
        shutil.copytree(Path(name) / "data" / DATASET, target, dirs_exist_ok=True)


def fetch() -> None:
    """The packages that the machine lacks, in the versions of requirements.lock, for its Python."""
    pinned = dict(re.findall(r"^([\w-]+)(==\S+)$", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M))
    wanted = [f"{name}{pinned[name]}" for name in _LACKING.split()]
    with new_folder(PACKAGES) as target:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--target", str(target), "--python-version", _PYTHON]
        command += [word for platform in _PLATFORMS for word in ("--platform", platform)]
        if subprocess.run([*command, *wanted], check=False).returncode != 0:
            raise InputError("the packages could not be fetched, see above")


def gpu_pack() -> None:
    compose()
    fetch()
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{FOLDER}: {size / 1e6:.0f} MB: take it along with the checkout, and run `make gpu-check` there")


if __name__ == "__main__":
    run_stage(gpu_pack)
