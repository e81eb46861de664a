"""Stage fingerprint_raw: what tells the published files of every data set from others; DVC runs it every time."""

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.data.raw_files import fingerprints
from bkdsnn.files import new_folder, write_json
from bkdsnn.params.schema import load_params


def fingerprint_raw() -> None:
    with new_folder(paths.RAW_FINGERPRINTS) as folder:
        for key, found in fingerprints(load_params().datasets, raw=paths.raw_data()).items():
            write_json(folder / f"{key}.json", found)


if __name__ == "__main__":
    run_stage(fingerprint_raw)
