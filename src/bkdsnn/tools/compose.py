"""Composes params.yaml from the catalogue without running anything, exactly as `dvc exp run` would."""

import sys
from pathlib import Path

from dvc.utils.hydra import compose_and_dump

from bkdsnn.params import FILE


def compose(output: Path, overrides: list[str]) -> None:
    """Writes the composition of `conf/config.yaml` with Hydra overrides such as `table=digits-blur`."""
    source = Path(__file__).parents[2]
    compose_and_dump(output, str(source / "bkdsnn" / "conf"), None, "config", str(source), overrides)


if __name__ == "__main__":
    compose(Path(FILE), sys.argv[1:])
