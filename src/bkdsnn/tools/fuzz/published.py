"""Images, parquet files, archives and weights as others publish them."""

import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from bkdsnn import plugins
from bkdsnn.data.archives import extract
from bkdsnn.data.decoding import SUFFIXES, opened
from bkdsnn.data.images import Picture, fitted
from bkdsnn.tools.fuzz.target import Target

_PICTURE = {"size": 8, "resize": 8, "interpolation": "bilinear"}


def _image(suffix: str, *, seed: int = 0, side: int = 16) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, Image.registered_extensions()[suffix])
    return buffer.getvalue()


def _write_images(folder: Path) -> None:
    for suffix in SUFFIXES:
        (folder / f"a{suffix}").write_bytes(_image(suffix))


def _read_image(_folder: Path, path: Path) -> None:
    fitted(opened(path.read_bytes(), where=str(path)), Picture(**_PICTURE))


def _write_parquet(folder: Path) -> None:
    import pandas

    for first, part in ((0, "train"), (8, "test")):
        images = [{"bytes": _image(".png", seed=first + row, side=8), "path": None} for row in range(8)]
        table = pandas.DataFrame({"img": images, "label": [number % 2 for number in range(8)]})
        table.to_parquet(folder / f"{part}.parquet")


def _read_parquet(folder: Path, _changed: Path) -> None:
    settings = {"root": folder.name, "train": "train*", "test": "test*", "classes": ["a", "b"], "picture": _PICTURE}
    _prepare("parquet", {**settings, "split": {"validation": 2, "seed": 0}, "skip_corrupt": 0}, folder)


def _prepare(source: str, settings: dict, folder: Path) -> None:
    module, out = plugins.load("source", source), _empty(folder.parent / "out")
    module.prepare(module.Settings.model_validate(settings), raw=folder.parent, folder=out)


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _write_archives(folder: Path) -> None:
    content = b"0123456789" * 300
    for name, method in {
        "stored": zipfile.ZIP_STORED,
        "deflated": zipfile.ZIP_DEFLATED,
        "lzma": zipfile.ZIP_LZMA,
    }.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as file:
            for member in ("a/b.bin", "a/c.bin"):
                file.writestr(zipfile.ZipInfo(member), content, method)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for member in ("a/b.bin", "a/c.bin"):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    (folder / "plain.tar").write_bytes(buffer.getvalue())
    (folder / "gzip.tar.gz").write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
    (folder / "xz.tar.xz").write_bytes(lzma.compress(buffer.getvalue()))


def _read_archive(folder: Path, path: Path) -> None:
    extract(path, _empty(folder.parent / "out"))


@cache
def _state() -> dict:
    import torch

    draw = torch.Generator().manual_seed(0)
    shapes = {"stem.weight": (4, 3, 3, 3), "head.weight": (10, 4), "head.bias": (10,)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def _write_weights(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file(_state(), folder / "a.safetensors")
    torch.save(_state(), folder / "zipped.pth")
    torch.save(_state(), folder / "legacy.pth", _use_new_zipfile_serialization=False)


def _read_weights(_folder: Path, path: Path) -> None:
    from bkdsnn.layers.weights import read_weights

    read_weights(path, expected_sha256=None)


TARGETS = [
    Target("images", _write_images, _read_image),
    Target("parquet", _write_parquet, _read_parquet, names=False),
    Target("archives", _write_archives, _read_archive),
    Target("weights", _write_weights, _read_weights),
]
