"""Which data and weights a table needs, whether they are there, and where to get them; nothing is fetched."""

from bkdsnn import paths, plugins
from bkdsnn.data.arrays import ArrayData
from bkdsnn.data.files import Expected
from bkdsnn.errors import InputError
from bkdsnn.files import read_json
from bkdsnn.layers.pretrained import HUB, PRETRAINED
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Dataset, Student
from bkdsnn.paths import raw_data


def expected(key: str, dataset: Dataset) -> Expected:
    """What the data set is or will be; `InputError` where its source cannot say before it is prepared."""
    source = plugins.load("source", dataset.source)
    if (data := _prepared(key, dataset)) is not None:
        return Expected(data.input_shape, len(data.classes), len(data.splits["train"]), home="")
    if not hasattr(source, "expected"):
        raise InputError(
            f"datasets.{key}: what '{dataset.source}' holds is known once it is prepared: after "
            f"`make params TABLE=...` of this table, dvc repro prepare_data@{key}"
        )
    return source.expected(validated(source.Settings, dataset.settings, where=f"datasets.{key}.settings"))


def status(key: str, dataset: Dataset, wanted: Expected) -> str:
    """One line: prepared, its files there, or what is missing and where to get it."""
    samples = f"{wanted.train:,} training samples {' x '.join(map(str, wanted.input_shape))}"
    if not wanted.home:
        return f"prepared, {samples}"
    source, root = plugins.load("source", dataset.source), dataset.settings.get("root")
    if root and not (raw_data() / root).exists():
        return f"MISSING: no folder {root}; get it: {wanted.home}"
    try:
        source.check_raw(validated(source.Settings, dataset.settings, where=f"datasets.{key}"), raw=raw_data())
    except InputError as error:
        return f"MISSING: {str(error).partition(';')[0]}; get it: {wanted.home}"
    return f"{'files are there' if root else 'comes with a package'}, not yet prepared; {samples}"


def weights(part: Student) -> str | None:
    """One line on the weights that a student or teacher starts from; None where it starts at random."""
    source = part.weights or part.settings.get("weights")
    if source is None:
        return None
    if source.startswith(HUB) or source == PRETRAINED:
        return f"{source}, downloaded by its training stage (or name a file there)"
    return f"{raw_data() / source}: {'there' if (raw_data() / source).is_file() else 'MISSING'}"


def _prepared(key: str, dataset: Dataset) -> ArrayData | None:
    """The prepared data set, where it is whole and made with these settings."""
    folder = paths.dataset(key)
    if not (folder / "manifest.json").is_file():
        return None
    wanted = {"source": dataset.source, "settings": dataset.settings}
    return ArrayData(folder) if wanted.items() <= read_json(folder / "manifest.json").items() else None
