"""Composes params.yaml from the catalogue without running anything, exactly as `dvc exp run` would."""

import sys
from pathlib import Path

from dvc.utils.hydra import compose_and_dump

from bkdsnn.params import FILE

CONF = Path(__file__).parents[1] / "conf"


def compose(output: Path, overrides: list[str]) -> None:
    """Writes the composition of `conf/config.yaml` with Hydra overrides such as `table=digits-blur`."""
    compose_and_dump(output, str(CONF), None, "config", str(CONF.parents[1]), overrides)


if __name__ == "__main__":
    compose(Path(FILE), sys.argv[1:])
