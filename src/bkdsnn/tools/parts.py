"""Every student and teacher of the catalogue at its true size: for the tests, and for what measures them."""

import tempfile
from pathlib import Path

import torch
import yaml
from torch import nn

from bkdsnn import paths, plugins
from bkdsnn.contracts import Shape
from bkdsnn.params.read import validated
from bkdsnn.params.recipe import Augmentation
from bkdsnn.params.schema import Normalise
from bkdsnn.tools.compose import compose

# The end of a part's name says what it looks at: the shape of its inputs, and how many classes there are.
LOOKS_AT: dict[str, tuple[Shape, int]] = {
    "imagenet": ((3, 224, 224), 1000),
    "cifar": ((3, 32, 32), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "cifar10-dvs": ((4, 2, 128, 128), 10),
    "cifar10-dvs-ann": ((4, 2, 128, 128), 10),
    "cifar10-dvs-16": ((16, 2, 128, 128), 10),
    "digits": ((1, 16, 16), 10),
    "dvs": ((4, 2, 16, 16), 10),
    "dvs-16": ((16, 2, 16, 16), 10),
}
NAMES = {kind: paths.catalogue(kind) for kind in ("student", "teacher", "method")}


def looks_at(key: str) -> tuple[Shape, int]:
    """Input shape and classes of a part; KeyError for a name that ends in nothing known."""
    return LOOKS_AT[max((end for end in LOOKS_AT if key.endswith(f"-{end}")), key=len, default=key)]


def composed_parts() -> dict[str, dict[str, dict]]:
    """All `students`, `teachers` and `methods` as a table would compose them; what a table fills in is `any`."""
    lists = [f"{group}=[{','.join(names)}]" for group, names in NAMES.items()]
    filled = [f"teachers.{name}.{key}=any" for name in NAMES["teacher"] for key in ("dataset", "recipe")]
    content = composed("table=tiny", *lists, *filled)
    return {group: content[group] for group in ("students", "teachers", "methods")}


def main_method(methods: dict[str, dict]) -> dict:
    """The part of the method that comparisons are about: the last column of those that say so."""
    return max((part for part in methods.values() if part.get("role") == "main"), key=lambda part: part["column"])


def composed_augmentation(name: str) -> Augmentation:
    """An augmentation of the catalogue."""
    content = composed("table=tiny", f"augmentation@recipes.digits.augmentation={name}")
    return Augmentation(**content["recipes"]["digits"]["augmentation"])


def composed(*overrides: str) -> dict:
    """The composition of the catalogue as a plain dict."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        compose(path, list(overrides))
        return yaml.safe_load(path.read_text(encoding="utf-8"))


def build(part: dict, *, input_shape: Shape, classes: int, normalise: Normalise | None = None) -> nn.Module:
    """The network of a part, with the initial weights of seed 0; normalise: of its data set (None: nothing is done)."""
    module = plugins.load("network", part["network"])
    torch.manual_seed(0)
    settings = validated(module.Settings, part["settings"], where="settings")
    network = module.Network(settings, input_shape=input_shape, classes=classes)
    if hasattr(network, "normalised_by"):
        network.normalised_by(normalise or _as_they_are(input_shape[-3]))
    return network


def _as_they_are(channels: int) -> Normalise:
    return Normalise(scale=1.0, mean=[0.0] * channels, std=[1.0] * channels)
