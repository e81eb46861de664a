"""Stage prepare_data@<dataset>: from the data set as published to arrays and a manifest."""

from pathlib import Path

from bkdsnn import catalogue
from bkdsnn.data.arrays import write_manifest
from bkdsnn.params import load_params, validated
from bkdsnn.paths import new_folder, raw_data
from bkdsnn.stage import run_stage


def prepare_data(key: str) -> None:
    dataset = load_params().entry("datasets", key)
    source = catalogue.load("source", dataset.source)
    settings = validated(source.Settings, dataset.settings, where=f"datasets.{key}.settings")
    with new_folder(Path("data") / key) as folder:
        prepared = source.prepare(settings, raw=raw_data(), folder=folder)
        write_manifest(folder, prepared, settings=dataset.settings, normalise=dataset.normalise)


if __name__ == "__main__":
    run_stage(prepare_data)
