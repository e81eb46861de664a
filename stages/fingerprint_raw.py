"""Stage fingerprint_raw: what tells the published files of every data set from others; DVC runs it every time."""

from bkdsnn import paths
from bkdsnn.command import run_stage
from bkdsnn.data.raw_files import fingerprint
from bkdsnn.files import new_folder, write_json
from bkdsnn.params.schema import load_params


def fingerprint_raw() -> None:
    raw = paths.raw_data()
    with new_folder(paths.RAW_FINGERPRINTS) as folder:
        for key, dataset in load_params().datasets.items():
            root = dataset.settings.get("root")
            write_json(folder / f"{key}.json", fingerprint(raw / root) if root else {"files": 0})


if __name__ == "__main__":
    run_stage(fingerprint_raw)
