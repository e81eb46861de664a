"""Stage prepare_data@<dataset>: from the data set as published to arrays and a manifest."""

import logging
from pathlib import Path

from bkdsnn import catalogue
from bkdsnn.params import load_params, validated
from bkdsnn.paths import new_folder, raw_data, read_json
from bkdsnn.stage import run_stage

log = logging.getLogger("bkdsnn")


def prepare_data(key: str) -> None:
    from bkdsnn.data.arrays import manifest_head, write_manifest  # late: an idle process has left without torch

    dataset = load_params().entry("datasets", key)
    source = catalogue.load("source", dataset.source)
    settings = validated(source.Settings, dataset.settings, where=f"datasets.{key}.settings")
    head = manifest_head(dataset, raw=source.raw_fingerprint(settings, raw=raw_data()))
    target = Path("data") / key
    if (target / "manifest.json").is_file() and head.items() <= read_json(target / "manifest.json").items():
        log.info("%s is there, made of the same files with the same settings", target)
        return
    with new_folder(target) as folder:
        write_manifest(folder, source.prepare(settings, raw=raw_data(), folder=folder), head=head)


if __name__ == "__main__":
    run_stage(prepare_data)
