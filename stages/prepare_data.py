"""Stage prepare_data@<dataset>: from the data set as published to arrays and a manifest."""

from bkdsnn import portable
from bkdsnn.command import begin, run_stage

if __name__ == "__main__":
    begin()
    portable.use()  # before numpy and torch are imported

from bkdsnn import paths, plugins
from bkdsnn.files import new_folder
from bkdsnn.params.read import validated
from bkdsnn.params.schema import load_params


def prepare_data(key: str) -> None:
    from bkdsnn.data.arrays import write_manifest  # late: an idle process has left without torch

    dataset = load_params().entry("datasets", key)
    source = plugins.load("source", dataset.source)
    settings = validated(source.Settings, dataset.settings, where=f"datasets.{key}.settings")
    with new_folder(paths.dataset(key)) as folder:
        write_manifest(folder, source.prepare(settings, raw=paths.raw_data(), folder=folder), dataset=dataset)


if __name__ == "__main__":
    run_stage(prepare_data)
