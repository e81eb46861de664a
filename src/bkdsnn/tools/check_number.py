"""A row's student with somebody's weights, beside what was published: `make check-number TABLE= ROW= WEIGHTS=`.

Nothing is trained: the row's data set is prepared, and the network is the one that the row describes.
"""

from pathlib import Path

from tqdm import tqdm

from bkdsnn import paths
from bkdsnn.build import built_for, layouts_of, load_part_weights, make_network
from bkdsnn.command import run_stage
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.batches import Batches
from bkdsnn.distributed.device import this_device
from bkdsnn.errors import InputError
from bkdsnn.evaluation.activity import predictions
from bkdsnn.files import sha256
from bkdsnn.layers.layouts import OURS
from bkdsnn.params.recipe import Recipe
from bkdsnn.params.schema import Params, Published, Student, load_params
from bkdsnn.reporting.as_published import Share, share
from bkdsnn.seeding import make_deterministic
from bkdsnn.teachers.fit import foreseen_of
from bkdsnn.tools.compose import check_table
from bkdsnn.tools.repro.params_file import alone, composed, lock_kept
from bkdsnn.tools.repro.processes import dvc_repro
from bkdsnn.tools.repro.row import check_row


def check_number(table: str, row: str, weights: str, layout: str = "", *overrides: str) -> None:
    """Prints both numbers; `overrides` (Hydra's words) change the row. params.yaml and dvc.lock stay.

    layout: whose names the file has; by default the official ones where the network has a table of them.
    """
    check_table([f"table={table}"])
    path = _file(weights)
    with alone(), lock_kept(), composed([f"table={table}", *overrides]):
        params = load_params()
        check_row(row, table, params)
        entry = params.rows[row]
        part = _with_weights(params.students[entry.student], path, layout)
        _check(part, entry.dataset, params)
        dvc_repro(f"prepare_data@{entry.dataset}")
        data = ArrayData(paths.dataset(entry.dataset))
    print(f"{path}: SHA-256 {part.weights_sha256}, layout {part.layout}")
    print(f"{entry.student} (as the row has it; a file says none of what has no weights): {_words(part.settings)}")
    found = _evaluated(part, data, params.recipes[entry.recipe])
    samples = f"{len(data.splits['test'])} test samples of {entry.dataset}, float32"
    print(f"ours       {found.top1:.2f} %, 95 % interval {found.low:.2f} to {found.high:.2f} (Wilson; {samples})")
    print(f"published  {_compared(entry.published, found)}")


def _file(weights: str) -> Path:
    """A path as the shell sees it, or below the folder of the data sets."""
    places = [Path(weights), paths.raw_data() / weights]
    if found := [place for place in places if weights and place.is_file()]:
        return found[0].resolve()
    raise InputError(f"WEIGHTS={weights}: there is no such file, here or in {paths.raw_data()}")


def _with_weights(part: Student, path: Path, layout: str) -> Student:
    known = [name for name in layouts_of(part.network) if name != OURS]
    layout = layout or (known or [OURS])[0]
    return Student(**{**part.model_dump(), "weights": str(path), "weights_sha256": sha256(path), "layout": layout})


def _check(part: Student, dataset: str, params: Params) -> None:
    """Whether the weights fit, where that can be known before the data set is there."""
    known = foreseen_of(dataset, params)
    if known.input_shape and known.classes:
        shape, normalise = known.input_shape, params.datasets[dataset].normalise
        network = built_for(part, input_shape=shape, classes=known.classes, normalise=normalise, seed=0)
        load_part_weights(network, part)


def _evaluated(part: Student, data: ArrayData, recipe: Recipe) -> Share:
    make_deterministic(threads=recipe.threads)
    device = this_device(portable=recipe.portable)
    network = make_network(part, data=data, seed=0).to(device)
    batches = Batches(data, batch_size=recipe.batch_size, accumulate=recipe.accumulate, device=device)
    found = predictions(network, tqdm(batches.plain("test"), desc="batches of the test split", disable=None))
    return share(100.0 * float((found.predicted == found.actual).mean()), len(found.actual))


def _words(settings: dict, prefix: str = "") -> str:
    """Settings in one line, `neuron.tau 2.0` for what lies deeper."""
    return ", ".join(
        _words(value, f"{prefix}{name}.") if isinstance(value, dict) else f"{prefix}{name} {value}"
        for name, value in settings.items()
    )


def _compared(published: Published | None, ours: Share) -> str:
    if published is None:
        return "nothing: the row is not in the paper"
    if published.value is None:
        return f"not found ({published.source})"
    where = "within" if ours.low <= published.value <= ours.high else "outside"
    difference = f"ours - published {ours.top1 - published.value:+z.2f}"
    return f"{published.value:.2f} % ({published.source}, grade {published.grade}): {where} the interval; {difference}"


if __name__ == "__main__":
    run_stage(check_number)
