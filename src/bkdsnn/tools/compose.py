"""Composes params.yaml from the catalogue without running anything, exactly as `dvc exp run` would."""

import shutil
import tempfile
from pathlib import Path

from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.files import new_file
from bkdsnn.params.check import check
from bkdsnn.params.read import FILE
from bkdsnn.params.schema import load_params

CONF = Path(__file__).parents[1] / "conf"


def compose(output: Path, overrides: list[str]) -> None:
    """Writes the composition of `conf/config.yaml` with overrides such as `table=digits-blur`, whole or not at all.

    `InputError` for overrides that Hydra does not understand, and for what cannot be composed of them.
    """
    from dvc.utils.hydra import compose_and_dump  # late: `make gpu-check` gets what is composed as a file

    try:
        with new_file(output) as written:
            compose_and_dump(written, str(CONF), None, "config", str(CONF.parents[1]), overrides)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("hydra", "omegaconf"):
            raise
        said = " ".join(str(error).split()).removeprefix("InputError raised while resolving interpolation: ")
        raise InputError(": ".join([*filter(None, [" ".join(overrides)]), said])) from error


def check_table(overrides: list[str]) -> None:
    """`InputError` with the tables there are, where an override names another."""
    tables = sorted(path.stem for path in (CONF / "table").glob("*.yaml"))
    for name in (override.removeprefix("table=") for override in overrides if override.startswith("table=")):
        if name not in tables:
            raise InputError(f"table '{name}': there is none; there are {', '.join(tables)}")


def params(*overrides: str) -> None:
    """Writes params.yaml where it passes what the stage check_params asks; `InputError` with that stage's line."""
    from bkdsnn.teachers.fit import check_fit  # late: torch takes seconds

    check_table(list(overrides))
    with tempfile.TemporaryDirectory() as folder:
        composed = Path(folder) / FILE  # DVC writes YAML where the name ends so
        compose(composed, list(overrides))
        found = load_params(composed)
        check(found)
        check_fit(found)
        with new_file(Path(FILE)) as written:
            shutil.copyfile(composed, written)


if __name__ == "__main__":
    run_stage(params)
