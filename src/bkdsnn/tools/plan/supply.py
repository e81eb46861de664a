"""Whether data are made as fast as steps take them: what a core makes a second, measured on data made up for it."""

import tempfile
from math import ceil
from pathlib import Path

from bkdsnn import plugins
from bkdsnn.contracts import Shape
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.files import Expected
from bkdsnn.data.foreseen import foreseen
from bkdsnn.data.views import Views
from bkdsnn.distributed.launcher import cores
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Dataset, Params
from bkdsnn.tools.loading import made_a_second, photos, random_images
from bkdsnn.tools.plan.lines import Line

_SAMPLES = 80  # of a packed data set


def print_supply(params: Params, shapes: dict[str, Expected], lines: list[Line], *, flops: float) -> None:
    """Prints, for every data set with a recipe, the samples a second that are made, and that its fastest step takes."""
    users: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        if line.measured:
            for part in (params.rows.get(key) or params.teachers[key] for key in line.rows):
                users.setdefault((part.dataset, part.recipe), []).append(line)
    print("Samples a second: made by a core and by all here (without disk and network), and taken by the fastest step")
    print(f"  {'data set, recipe':38} {'a core':>8} {f'{cores()} cores':>9} {'step here':>9} {'on a GPU':>9}")
    for (key, recipe), found in users.items():
        here = max(line.job.part / sum(line.step_seconds()) for line in found)
        gpu = max(flops / line.flop_of_sample() for line in found)
        with tempfile.TemporaryDirectory() as folder:
            data = _made_up(params.datasets[key], shapes[key].input_shape, Path(folder) / "data")
            rules = params.recipes[recipe].augmentation
            core, cheap = made_a_second(data, rules), Views(data, rules).is_cheap
        made = core * (1 if cheap else cores())
        said = verdict(core=core, made=made, here=here, gpu=gpu, cheap=cheap)
        print(f"  {f'{key}, {recipe}':38} {core:8,.0f} {made:9,.0f} {here:9,.0f} {gpu:9,.0f}{said}")


def verdict(*, core: float, made: float, here: float, gpu: float, cheap: bool) -> str:
    """Where data, not the device, set the time, and how many cores would change that (cheap: one makes them all)."""
    said = "; data, not the step, set the time here" if made < here else ""
    if made >= gpu:
        return said
    wanted = "" if cheap else f" with fewer than {ceil(gpu / core):,} cores"
    return f"{said}; data, not the GPU, would set it there{wanted}"


def _made_up(dataset: Dataset, shape: Shape, folder: Path) -> ArrayData:
    """Data of a set's shape: photos where it stays in its files, else noise."""
    source, normalise = plugins.load("source", dataset.source), dataset.normalise.model_dump()
    if foreseen(source, validated(source.Settings, dataset.settings, where="")).packed:
        return random_images(folder, shape=shape, samples=_SAMPLES, normalise=normalise)
    return photos(folder, picture=dataset.settings["picture"], normalise=normalise)
