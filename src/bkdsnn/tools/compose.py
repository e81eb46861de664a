"""Composes params.yaml from the catalogue without running anything, exactly as `dvc exp run` would."""

import sys
from pathlib import Path

from dvc.utils.hydra import compose_and_dump

from bkdsnn.errors import InputError
from bkdsnn.params.read import FILE

CONF = Path(__file__).parents[1] / "conf"


def compose(output: Path, overrides: list[str]) -> None:
    """Writes the composition of `conf/config.yaml` with Hydra overrides such as `table=digits-blur`.

    `InputError` where they cannot be.
    """
    try:
        compose_and_dump(output, str(CONF), None, "config", str(CONF.parents[1]), overrides)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("hydra", "omegaconf"):
            raise
        said = " ".join(str(error).split()).removeprefix("InputError raised while resolving interpolation: ")
        raise InputError(f"{' '.join(overrides)}: {said}") from error


def check_table(overrides: list[str]) -> None:
    """`InputError` with the tables there are, where an override names another."""
    tables = sorted(path.stem for path in (CONF / "table").glob("*.yaml"))
    for name in (override.removeprefix("table=") for override in overrides if override.startswith("table=")):
        if name not in tables:
            raise InputError(f"table '{name}': there is none; there are {', '.join(tables)}")


if __name__ == "__main__":
    try:
        check_table(sys.argv[1:])
        compose(Path(FILE), sys.argv[1:])
    except InputError as error:
        sys.exit(f"compose: {error}")
