"""Composes params.yaml from the catalogue without running anything, exactly as `dvc exp run` would."""

from pathlib import Path

from bkdsnn.command import run_stage
from bkdsnn.errors import InputError
from bkdsnn.files import new_file
from bkdsnn.params.read import FILE

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


def _params(*overrides: str) -> None:
    check_table(list(overrides))
    compose(Path(FILE), list(overrides))


if __name__ == "__main__":
    run_stage(_params)
