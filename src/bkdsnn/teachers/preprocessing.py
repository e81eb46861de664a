"""Where a teacher gets other images than its weights were made with."""

from bkdsnn import plugins
from bkdsnn.layers.preprocessing import Preprocessing
from bkdsnn.params.read import validated
from bkdsnn.params.schema import Dataset, Normalise, Params


def preprocessing_notes(params: Params) -> list[str]:
    """One line for each teacher whose weights were made with another normalisation, interpolation or crop."""
    notes = []
    for key, part in params.teachers.items():
        module, where = plugins.load("network", part.network), f"teachers.{key}"
        if not hasattr(module.Network, "preprocessing"):
            continue
        settings = validated(module.Settings, part.settings, where=f"{where}.settings")
        own = module.Network.preprocessing(settings)
        found = own and _differences(own, params.datasets[part.dataset], settings)
        if found:
            notes.append(f"{where}: {own.weights} was made with {'; '.join(found)}")
    return notes


def _differences(own: Preprocessing, dataset: Dataset, settings) -> list[str]:
    """What the weights were made with, and, behind it, what the teacher gets."""
    found, data = [], dataset.normalise
    ours = [round(value, 6) for value in (*_of_pixels(data, data.mean), *_of_pixels(data, data.std))]
    if settings.normalise == "dataset" and ours != [round(value, 6) for value in (*own.mean, *own.std)]:
        given = f"{_words(_of_pixels(data, data.mean))}, std {_words(_of_pixels(data, data.std))}"
        found.append(
            f"mean {_words(own.mean)}, std {_words(own.std)}, here the data set's {given} "
            "(settings.normalise: own takes the weights')"
        )
    picture = dataset.settings.get("picture") or {}
    resized = settings.input_size not in (None, picture.get("size"))
    interpolation = settings.interpolation if resized else picture.get("interpolation", own.interpolation)
    if interpolation != own.interpolation:
        found.append(f"{own.interpolation} interpolation, here {interpolation}")
    crop = picture["size"] / picture["resize"] if picture else 1.0
    if abs(crop - own.crop) > 0.005:
        found.append(f"the central {own.crop:.3g} of an image, here {crop:.3g}")
    return found


def _of_pixels(data: Normalise, values: tuple[float, ...]) -> list[float]:
    return [value * data.scale / 255 for value in values]


def _words(values: tuple[float, ...] | list[float]) -> str:
    """One number where all channels have the same."""
    written = [f"{value:.4g}" for value in values]
    return written[0] if len(set(written)) == 1 else "/".join(written)
