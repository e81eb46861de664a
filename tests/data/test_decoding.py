"""Every kind of image becomes the pixels that a viewer shows, or is refused by name."""

import errno
import io

import numpy as np
import pytest
from PIL import Image

from bkdsnn.data.decoding import SUFFIXES, check_header, opened
from bkdsnn.errors import InputError

RANDOM = np.random.default_rng(0)


def encoded(image: Image.Image, format: str = "PNG", **how) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **how)
    return buffer.getvalue()


def pixels(content: bytes, **how) -> np.ndarray:
    return np.asarray(opened(content, where="x", **how))


def refused(content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        opened(content, where="x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_greys_keep_their_high_byte(format):
    deep = (np.arange(256).reshape(16, 16) * 256 + 7).astype("u2")
    found = pixels(encoded(Image.fromarray(deep), format))
    assert np.array_equal(found, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_white_are_refused(mode, tmp_path):
    content = encoded(Image.new(mode, (4, 4), 3), "TIFF")
    assert refused(content).startswith(f"x: has pixels of mode {mode}, of which no value is white; store 8 or 16 bits")
    (tmp_path / "0.tif").write_bytes(content)
    with pytest.raises(InputError, match=f"0.tif: has pixels of mode {mode}"):
        check_header(tmp_path / "0.tif")


def see_through() -> dict[str, bytes]:
    """Left half orange or grey, right half see-through over a black that nobody sees."""
    alpha = Image.new("L", (4, 2), 255)
    alpha.paste(0, (2, 0, 4, 2))
    colour, grey = Image.new("RGB", (4, 2), (250, 100, 50)), Image.new("L", (4, 2), 100)
    for image, black in ((colour, (0, 0, 0)), (grey, 0)):
        image.paste(black, (2, 0, 4, 2))
    palette = colour.quantize(2)
    behind = palette.getpixel((3, 0))
    return {
        "RGBA": encoded(Image.merge("RGBA", (*colour.split(), alpha))),
        "LA": encoded(Image.merge("LA", (grey, alpha))),
        "P": encoded(palette, transparency=behind),
        "RGB": encoded(colour, transparency=(0, 0, 0)),
        "L": encoded(grey, transparency=0),
        "GIF": encoded(palette, "GIF", transparency=behind),
    }


@pytest.mark.parametrize("mode", see_through())
def test_what_is_behind_see_through_parts_is_white(mode):
    found = pixels(see_through()[mode])
    assert (found[:, 2:] == 255).all()
    assert (found[:, :2] == ((250, 100, 50) if mode in ("RGBA", "P", "RGB", "GIF") else 100)).all()


def test_an_opaque_alpha_channel_changes_no_pixel():
    image = Image.fromarray(RANDOM.integers(0, 256, (8, 8, 3)).astype(np.uint8))
    assert np.array_equal(pixels(encoded(image.convert("RGBA"))), np.asarray(image))


def test_cmyk_is_what_pillow_makes_of_it():
    image = Image.fromarray(RANDOM.integers(0, 256, (8, 8, 4)).astype(np.uint8), mode="CMYK")
    assert np.array_equal(pixels(encoded(image, "TIFF")), np.asarray(image.convert("RGB")))


def test_a_picture_is_turned_as_its_exif_data_say_but_as_stored_where_that_is_asked_for():
    image = Image.fromarray(RANDOM.integers(0, 256, (4, 8, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    content = encoded(image, exif=exif)
    assert np.array_equal(pixels(content), np.rot90(np.asarray(image), -1))
    assert np.array_equal(pixels(content, upright=False), np.asarray(image))


def test_exif_data_that_cannot_be_read_turn_nothing():
    image = Image.new("RGB", (4, 8))
    assert pixels(encoded(image, "JPEG", exif=b"Exif\0\0nonsense")).shape == (8, 4, 3)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_pictures_in_one_file_are_refused(format):
    images = [Image.fromarray(RANDOM.integers(0, 256, (8, 8, 3)).astype(np.uint8)) for _ in range(3)]
    content = encoded(images[0], format, save_all=True, append_images=images[1:])
    assert refused(content) == "x: holds 3 pictures, wanted one"


def test_a_line_of_pixels_is_refused():
    assert refused(encoded(Image.new("RGB", (1, 101)))) == "x: is 1 x 101 pixels, wanted at most 100 to 1"


def test_what_only_other_programs_decode_is_no_image():
    assert refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n") == "x: no readable image"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_that_is_read_can_be(suffix):
    image = Image.new("L", (8, 8), 255) if suffix == ".pgm" else Image.new("RGB", (8, 8), "white")
    format = Image.registered_extensions()[suffix]
    assert (pixels(encoded(image, format)) > 250).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "AVIF"])
def test_flipped_bytes_are_an_image_or_one_line(format):
    whole = encoded(Image.fromarray(RANDOM.integers(0, 256, (16, 16, 3)).astype(np.uint8)), format)
    for _ in range(100):
        content = np.frombuffer(whole, dtype=np.uint8).copy()
        content[RANDOM.integers(0, len(content), 3)] = RANDOM.integers(0, 256, 3)
        told = ""
        try:
            opened(content[: RANDOM.integers(1, len(content) + 1)].tobytes(), where="x")
        except InputError as error:
            told = str(error)
        assert "\n" not in told
        assert told[:3] in ("", "x: ")


def test_a_machine_out_of_handles_is_no_damaged_image(tmp_path, monkeypatch):
    def no_handles(*_args, **_how) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Image, "open", no_handles)
    with pytest.raises(OSError, match="Too many open files"):
        opened(tmp_path / "0.png", where="0.png")
