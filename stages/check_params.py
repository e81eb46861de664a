"""Stage check_params: the whole of params.yaml is checked before any work starts, and dealt out as cards."""

import logging

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.files import new_folder, write_json
from bkdsnn.params.cards import all_cards
from bkdsnn.params.check import check
from bkdsnn.params.schema import load_params

log = logging.getLogger("bkdsnn")


def check_params() -> None:
    from bkdsnn.teachers.fit import check_fit  # torch, seconds of imports, after what needs none of it
    from bkdsnn.teachers.preprocessing import preprocessing_notes
    from bkdsnn.tools.compose import check_same_runs

    params = load_params()
    check(params)
    check_fit(params)
    check_same_runs(params)
    for note in preprocessing_notes(params):
        log.warning(note)
    with new_folder(paths.CARDS) as folder:
        for (kind, key), card in all_cards(params).items():
            (folder / kind).mkdir(exist_ok=True)
            write_json(folder / kind / f"{key}.json", card)


if __name__ == "__main__":
    run_stage(check_params)
