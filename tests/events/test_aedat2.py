"""The AEDAT 2.0 reader agrees with SpikingJelly's event by event, and says what is wrong with a bad file."""

import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED

from bkdsnn.errors import InputError
from bkdsnn.events.by_name import read_events
from bkdsnn.events.formats import aedat2
from bkdsnn.events.formats.aedat2 import straight_to_frames, write
from bkdsnn.events.frames import events_to_frames
from bkdsnn.events.recording import Events

HEADER = b"#!AER-DAT2.0\r\n# made by a test\r\n"
SAMPLE = SHARED / "data/events/sample_aedat_header.aedat"


def read(path: Path) -> Events:
    return read_events(path, format="aedat2")


def some_events(count: int, seed: int = 0) -> Events:
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 128, size=(2, count)).astype(np.uint8)
    return Events(np.cumsum(draw.integers(0, 900, count)), *pixels, draw.integers(0, 2, count).astype(np.uint8))


def binary(*words: int) -> bytes:
    return struct.pack(f">{len(words)}I", *words)


def assert_same(found: Events, wanted) -> None:
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("count", [1, 2, 10, 5000])
def test_spikingjelly_reads_the_same_events(tmp_path, count):
    from spikingjelly.datasets.cifar10_dvs import CIFAR10DVS

    wanted = some_events(count, seed=count)
    (tmp_path / "extracted" / "cat").mkdir(parents=True)
    (tmp_path / "raw").mkdir()
    path = tmp_path / "extracted" / "cat" / "one.aedat"
    write(path, wanted)
    CIFAR10DVS.create_raw_from_extracted(tmp_path / "extracted", tmp_path / "raw")
    theirs = np.load(tmp_path / "raw" / "cat" / "one.npz")
    assert_same(read(path), wanted)
    assert_same(read(path), [theirs[name] for name in "txyp"])


@pytest.mark.parametrize(
    "header",
    [b"", b"#\n", HEADER, b"#!AER-DAT2.0\n#\n  # indented\n", b"# \xc3\xa9\r\n"],
    ids=["none", "bare", "crlf", "indented", "utf8"],
)
@pytest.mark.parametrize("stamp", [0, 0x0A230A23, 0x23232323, 0x7FFFFFFF])
def test_header_ends_where_spikingjelly_ends_it(tmp_path, header, stamp):
    from spikingjelly.datasets.cifar10_dvs import _load_origin_data

    path = tmp_path / "a.aedat"
    path.write_bytes(header + binary(0x0A23, stamp, 0x2323, stamp + 5, 0x7F0A, stamp + 5))
    assert_same(read(path), _load_origin_data(path).values())


def test_known_event(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER + binary(10 << 8 | 20 << 1 | 1, 77))
    assert [int(field[0]) for field in read(path)] == [77, 117, 107, 0]


def test_latin1_header_is_skipped(tmp_path):
    """SpikingJelly takes the undecodable line for events; the address layout says that it cannot be."""
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER + b"# User name: Andr\xe9\r\n# end\r\n" + binary(0, 5))
    assert_same(read(path), ([5], [127], [127], [1]))


def test_wrap_around_is_unwrapped_and_survives_a_round_trip(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER + binary(0, 2**32 - 3, 0, 4, 0, 9))
    found = read(path)
    assert found.t.dtype == np.int64
    assert found.t.tolist() == [2**32 - 3, 2**32 + 4, 2**32 + 9]
    write(tmp_path / "b.aedat", found)
    assert_same(read(tmp_path / "b.aedat"), found)


@pytest.mark.parametrize("special", [0x8000, 0x8123, 0x80000000, 0x80000A23])
def test_special_events_of_jaer_are_passed_over_and_counted(tmp_path, special):
    path = tmp_path / "a.aedat"
    path.write_bytes(HEADER + binary(special, 0xFFFFFFFF, 10 << 8, 5, special, 0, 20 << 8, 9, special, 9))
    assert_same(read(path), ([5, 9], [117, 107], [127, 127], [1, 1]))
    assert aedat2.passed_over(path.read_bytes(), where=path) == 3


def test_written_bytes_are_reproducible_and_nothing_else_is_left(tmp_path):
    for name in ("a.aedat", "b.aedat"):
        write(tmp_path / name, some_events(100))
    assert (tmp_path / "a.aedat").read_bytes() == (tmp_path / "b.aedat").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


BAD_FILES = {
    "empty": (b"", "empty"),
    "header only": (HEADER, "no events"),
    "cut in the header": (HEADER + b"# User na", "no events"),
    "other version": (b"#!AER-DAT3.1\r\n" + binary(0, 0), "AER-DAT3.1"),
    "cut in an event": (HEADER + binary(0, 1, 0, 2)[:-3], f"byte {len(HEADER) + 8} has 5 of 8"),
    "cut in the only event": (HEADER + b"\0\0\0", f"byte {len(HEADER)} has 3 of 8"),
    "foreign bits": (HEADER + binary(0, 1, 0x10001, 2), f"event 1 at byte {len(HEADER) + 8} has address 0x10001"),
    "foreign bits after a special event": (
        HEADER + binary(0x8000, 1, 0x10001, 2),
        f"event 0 at byte {len(HEADER) + 8} has address 0x10001",
    ),
    "special events alone": (HEADER + binary(0x8000, 1, 0x80000000, 2), "no events, 2 special events are all"),
    "begins with #": (HEADER + binary(0x23000000, 10), f"event 0 at byte {len(HEADER)} has address 0x23000000"),
    "back in time after a special event": (
        HEADER + binary(0, 9, 0x8000, 9, 0, 8),
        f"event 1 at byte {len(HEADER) + 16} goes back",
    ),
    "back in time": (HEADER + binary(0, 1, 0, 9, 0, 8), f"event 2 at byte {len(HEADER) + 16} goes back"),
}


@pytest.mark.parametrize(("content", "told"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_is_told_in_one_line(tmp_path, content, told):
    path = tmp_path / "bad.aedat"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert told in str(caught.value)
    assert "bad.aedat" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.aedat: cannot be read"):
        read(tmp_path / "none.aedat")


@pytest.mark.skipif(not SAMPLE.exists(), reason="the shared sample recordings are not here")
def test_real_header_without_events():
    with pytest.raises(InputError, match=r"sample_aedat_header\.aedat: no events.*599 bytes"):
        read(SAMPLE)


@pytest.mark.parametrize(
    "change",
    [
        {"x": np.array([0, 128])},
        {"y": np.array([-1, 0])},
        {"p": np.array([0, 2])},
        {"t": np.array([5, 4])},
        {"t": np.array([0, 2**31])},
        {"t": np.array([2**32, 2**32])},
        {"t": np.array([1])},
        dict.fromkeys("txyp", np.array([])),
    ],
    ids=["x", "y", "p", "falling", "pause", "start", "length", "none"],
)
def test_what_the_format_cannot_hold_is_refused(tmp_path, change):
    events = Events(*np.zeros((4, 2), dtype=np.int64))._replace(**change)
    with pytest.raises(InputError, match=r"^[^\n]*a\.aedat: [^\n]*$"):
        write(tmp_path / "a.aedat", events)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("split_by", "duration_us"), [("number", None), ("time", None), ("duration", 40_000)], ids=lambda value: str(value)
)
@pytest.mark.parametrize("size", [(128, 128), (48, 48), (32, 64)], ids=str)
def test_the_straight_way_to_frames_gives_those_of_the_events(tmp_path, split_by, duration_us, size):
    path = tmp_path / "one.aedat"
    crowded = some_events(5000)
    crowded.x[:2000], crowded.y[:2000] = 5, 7  # more than 255 in one cell
    write(path, crowded)
    how = {"time_steps": 4, "split_by": split_by, "duration_us": duration_us, "size": size}
    frames, lost = straight_to_frames(path.read_bytes(), where=path, **how)
    wanted, wanted_lost = events_to_frames(read(path), sensor=(128, 128), **how)
    assert lost == wanted_lost > 0
    assert np.array_equal(frames, wanted)


@pytest.mark.parametrize(
    "words",
    [(0, 0xFFFFFFF0, 0, 5), (0, 9, 0, 3), (0x8000, 1, 0, 2), (0, 1, 0x10000, 2)],
    ids=["wraps around", "goes back", "bit 15", "bit 16"],
)
def test_the_straight_way_leaves_what_is_odd_to_the_long_one(words):
    content = HEADER + binary(*words)
    how = {"time_steps": 1, "split_by": "number", "duration_us": None, "size": (128, 128)}
    assert straight_to_frames(content, where=Path("x"), **how) is None


def test_the_straight_way_leaves_a_recording_too_short_to_be_split_to_the_long_one():
    how = {"time_steps": 4, "split_by": "time", "duration_us": None, "size": (128, 128)}
    assert straight_to_frames(HEADER + binary(0, 1, 0, 2), where=Path("x"), **how) is None
