"""An image's bytes become RGB pixels, as a viewer shows them; what has no such pixels is an `InputError`."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bkdsnn.data.files import OF_THE_MACHINE
from bkdsnn.errors import InputError

SUFFIXES = (".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
SUFFIXES += (".ppm", ".pgm", ".pbm", ".pnm")
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF", "AVIF")  # by content; Pillow's others start programs
_LONGEST = 100  # times the shorter side: beyond it the shorter side is no picture's, and resizing fills the memory


def opened(
    content: bytes | Path,
    *,
    where: str,
    upright: bool = True,
    undecoded: Callable[[Image.Image], object] | None = None,
) -> Image.Image:
    """A decoded RGB image, turned as its EXIF data say (`upright`); `InputError` names it where it is damaged.

    `undecoded` sees the image, whose size is known, before its pixels are: it may ask for fewer of them (`draft`).
    """
    if content == b"":
        raise InputError(f"{where}: no readable image (it has no bytes; a path alone is not followed)")
    source = content if isinstance(content, Path) else io.BytesIO(content)
    with _named(where), Image.open(source, formats=_FORMATS) as image:
        _check_kind(image)
        if undecoded is not None:
            undecoded(image)
        image.load()
        deep = _is_deep(image)
        pixels = _upright(image) if upright else image
        return _on_white(_high_byte(pixels) if deep else pixels)


def check_header(path: Path) -> None:
    """`InputError` where a file does not begin as an image; a picture that is cut off later is found in training."""
    with _named(str(path)), Image.open(path, formats=_FORMATS) as image:
        _check_kind(image)


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except UnidentifiedImageError as error:  # whose text holds an address in memory
        raise InputError(f"{where}: no readable image") from error
    except Exception as error:  # decoders fail on damaged bytes with whatever they meet first
        if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
            raise
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where}: no readable image ({why})") from error


def _check_kind(image: Image.Image) -> None:
    if image.mode in ("I", "F") and not _is_deep(image):
        raise InputError(f"has pixels of mode {image.mode}, of which no value is white; store 8 or 16 bits a channel")
    pictures = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a camera's JPEG and its preview
    if pictures > 1:
        raise InputError(f"holds {pictures} pictures, wanted one")
    if max(image.size) > _LONGEST * min(image.size):
        raise InputError(f"is {image.width} x {image.height} pixels, wanted at most {_LONGEST} to 1")


def _is_deep(image: Image.Image) -> bool:
    """Whether its greys have 16 bits, which Pillow would cut off at 255."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def _high_byte(image: Image.Image) -> Image.Image:
    """16-bit greys as 8-bit ones, as Pillow reads 16-bit colours."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the pixels are whole; EXIF data that cannot be read turn nothing
        return image


def _on_white(image: Image.Image) -> Image.Image:
    """The image in RGB; what is behind see-through parts is white, not the colour that happens to be stored there."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
