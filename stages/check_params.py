"""Stage check_params: the whole of params.yaml is checked before any work starts."""

from pathlib import Path

from bkdsnn.checking import check
from bkdsnn.params import load_params
from bkdsnn.paths import new_folder
from bkdsnn.stage import run_stage


def check_params() -> None:
    check(load_params())
    with new_folder(Path("data/params_checked")) as folder:
        (folder / "ok").write_text("params.yaml holds together\n")


if __name__ == "__main__":
    run_stage(check_params)
