"""AEDAT 4, EVT 2.0 and EVT 3.0: what their libraries read, and what is looked at before they do."""

import struct
from pathlib import Path

import numpy as np
import pytest

from bkdsnn import plugins
from bkdsnn.errors import InputError
from bkdsnn.events.by_name import read_events
from bkdsnn.events.format import Format
from bkdsnn.events.formats import _library, aedat4, evt2, evt3
from bkdsnn.events.recording import Events
from bkdsnn.tools.fuzz import encoders, recordings

SENSOR = (128, 130)
NEWER = {"aedat4": aedat4, "evt2": evt2, "evt3": evt3}
WHERE = Path("a.file")
EVENTS = Events(*(np.array(field) for field in ([70, 70, 200, 5000], [1, 129, 3, 4], [5, 6, 127, 8], [1, 0, 1, 1])))


def encoded(format: str, events: Events = EVENTS) -> bytes:
    return getattr(encoders, format)(events, sensor=SENSOR)


def library_of(format: str):
    return pytest.importorskip(NEWER[format].LIBRARY)


def assert_same(found: Events, wanted: Events) -> None:
    for name, field in found._asdict().items():
        np.testing.assert_array_equal(field, getattr(wanted, name))
    assert [str(field.dtype) for field in found] == ["int64", "uint16", "uint16", "uint8"]


@pytest.mark.parametrize("format", NEWER)
def test_a_missing_package_is_named_with_its_extra_before_a_file_is_opened(format, monkeypatch):
    monkeypatch.setattr("bkdsnn.events.format.find_spec", lambda name: None)
    library = NEWER[format].LIBRARY
    with pytest.raises(InputError) as caught:
        read_events(Path("none"), format=format)
    told = f"format: {format} needs the package {library} (extra `events`): pip install {library}"
    assert str(caught.value) == told


def test_formats_that_need_no_package_do_not_ask_for_one(monkeypatch):
    monkeypatch.setattr("bkdsnn.events.format.find_spec", lambda name: None)
    for format in set(plugins.names("format")) - set(NEWER):
        assert Format.of(plugins.load("format", format)).name == format


@pytest.mark.parametrize("format", NEWER)
@pytest.mark.parametrize("events", [EVENTS, recordings.events(20_000)], ids=["few", "many"])
def test_known_events(tmp_path, format, events):
    library_of(format)
    (tmp_path / "a").write_bytes(encoded(format, events))
    assert_same(read_events(tmp_path / "a", format=format), events)


@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
@pytest.mark.parametrize("index", [True, False])
def test_aedat4_is_the_first_stream_of_events_and_the_others_are_counted(codec, index):
    library_of("aedat4")
    content = encoders.aedat4(EVENTS, recordings.events(7), sensor=SENSOR, codec=codec, packets=3, index=index)
    assert_same(aedat4.decode(content, where=WHERE), EVENTS)
    assert aedat4.passed_over(content, where=WHERE) == 7
    assert aedat4.sensor_of(content, where=WHERE) == SENSOR


@pytest.mark.parametrize("version", ["evt2", "evt3"])
def test_evt_is_what_the_library_writes(tmp_path, version):
    """In runs of one row, which it may write as vectors."""
    faery = library_of(version)
    events = np.zeros(600, dtype=faery.EVENTS_DTYPE)
    events["t"] = 1_000_000 + np.arange(600) // 60 * 700
    events["x"], events["y"], events["on"] = np.arange(600) % 60 * 2, np.arange(600) // 60, np.arange(600) // 300
    with faery.evt.Encoder(tmp_path / "a", version, False, SENSOR[::-1], True) as encoder:
        encoder.write({"events": events})
    found = read_events(tmp_path / "a", format=version)
    assert_same(found, Events(*(events[name].astype(int) for name in ("t", "x", "y", "on"))))
    assert NEWER[version].sensor_of((tmp_path / "a").read_bytes(), where=WHERE) == SENSOR


HEADER3 = b"% evt 3.0\n% geometry 130x128\n% end\n"
HEADER2 = b"% evt 2.0\n"


def words(*values: int, kind: str = "<u2") -> bytes:
    return np.array(values, dtype=kind).tobytes()


def test_evt3_vectors_rows_and_polarities_are_kept_between_words():
    library_of("evt3")
    time, row, base = (0x8001, 0x6002), 0x0007, 0x3800 | 20  # 1 << 12 | 2 us, y = 7, ON from x = 20
    content = HEADER3 + words(*time, row, base, 0x4000 | 0b1000_0000_0001, 0x5000 | 0b0000_0010, 0x6003, 0x2000 | 9)
    t, x, y, p = evt3.decode(content, where=WHERE)
    assert t.tolist() == [4098, 4098, 4098, 4099]
    assert (x.tolist(), y.tolist(), p.tolist()) == ([20, 31, 33, 9], [7] * 4, [1, 1, 1, 0])


def test_evt_words_before_there_is_a_time_and_triggers_are_passed_over():
    for module, content in (
        (evt3, HEADER3 + words(0x0001, 0x2001, 0x4001, 0x8001, 0x6000, 0xA001, 0x2002)),
        (evt2, HEADER2 + words(1 << 28 | 7, 2, 8 << 28 | 64, 10 << 28 | 3 << 22, 4 << 22 | 2 << 11, kind="<u4")),
    ):
        assert module.passed_over(content, where=WHERE) == 3
        library_of(module.__name__.rpartition(".")[2])
        found = module.decode(content, where=WHERE)
        assert (found.t.tolist(), found.x.tolist()) == ([4096] if module is evt3 else [4100], [2])


@pytest.mark.parametrize(
    ("format", "wrap", "content"),
    [
        ("evt2", 2**34, HEADER2 + words(0x8FFFFFFF, 63 << 22, 0x80000000, 5 << 22, kind="<u4")),
        ("evt3", 2**24, HEADER3 + words(0x8FF0, 0x8FFF, 0x6FFF, 0, 0x2001, 0x8000, 0x6005, 0x2001)),
    ],
)
def test_a_wrap_around_of_the_counter_is_undone(format, wrap, content):
    library_of(format)
    assert NEWER[format].decode(content, where=WHERE).t.tolist() == [wrap - 1, wrap + 5]


def test_evt3_times_that_the_library_loses_are_told():
    """It takes the upper bits for a wrap-around only where they go from all ones to zero."""
    library_of("evt3")
    content = HEADER3 + words(0x8100, 0x8F00, 0x6001, 0, 0x2001, 0x8001, 0x6005, 0x2001)
    with pytest.raises(InputError, match=r"a\.file: faery does not follow its times up to 16781317 us"):
        evt3.decode(content, where=WHERE)


def test_header_lines_end_where_words_begin():
    """The first word begins with %, and has a line's end in it; without a line % end, a control character too."""
    library_of("evt2")
    for end, time in ((b"", 0x0A0125), (b"% end\n", 0x0A0A25)):
        content = b"% evt 2.0\n% geometry 640x480\n" + end + words(8 << 28 | time, 3 << 22 | 5 << 11 | 9, kind="<u4")
        found = evt2.decode(content, where=WHERE)
        assert (found.t.tolist(), found.x.tolist(), found.y.tolist()) == ([(time << 6) + 3], [5], [9])
        assert evt2.sensor_of(content, where=WHERE) == (480, 640)


@pytest.mark.parametrize(
    ("line", "sensor"),
    [
        (b"% geometry 1280x720\n", (720, 1280)),
        (b"% format EVT3;height=720;width=1280\n", (720, 1280)),
        (b"% format EVT3;width=640;height=480\n", (480, 640)),
        (b"% format EVT3\n", None),
    ],
)
def test_what_an_evt_header_says_of_the_sensor(line, sensor):
    assert evt3.sensor_of(b"% evt 3.0\n" + line + b"% end\n\0\0", where=WHERE) == sensor


def altered(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) == 1
    return content.replace(old, new)


START = len(encoders.aedat4(sensor=SENSOR))
BEFORE_THE_LIBRARY = {
    "aedat4, other": ("aedat4", b"x" * 99, "does not begin with #!AER-DAT4.0"),
    "aedat4, cut in its size": ("aedat4", b"#!AER-DAT4.0\r\n\1", "truncated, its header has 0 of 1 bytes"),
    "aedat4, cut header": ("aedat4", encoded("aedat4")[:100], "truncated, its header has 82 of"),
    "aedat4, huge header": (
        "aedat4",
        b"#!AER-DAT4.0\r\n" + b"\xff" * 50,
        "truncated, its header has 46 of 4294967295 bytes",
    ),
    "aedat4, table elsewhere": ("aedat4", altered(encoded("aedat4"), b"\x18\0\0\0IOHE", b"\xff" * 8), "is damaged"),
    "aedat4, other compression": (
        "aedat4",
        altered(encoded("aedat4"), struct.pack("<iiq", 16, 0, -1), struct.pack("<iiq", 16, 9, -1)),
        "its header is damaged",
    ),
    "aedat4, tags in tags": (
        "aedat4",
        encoders.aedat4_header("<dv>" + "<node>" * 50_000),
        "its header has more than 4096 tags",
    ),
    "aedat4, index elsewhere": (
        "aedat4",
        encoders.aedat4_header("<dv></dv>", end=1 << 40),
        "its packets end at 1099511627776 by its header",
    ),
    "aedat4, tiny packet": (
        "aedat4",
        encoders.aedat4(sensor=SENSOR) + struct.pack("<II", 0, 4) + b"tiny",
        "has 4 bytes of content, too few",
    ),
    "aedat4, cut packet": ("aedat4", encoded("aedat4")[:-5], "truncated, the packet at byte"),
    "aedat4, cut packet header": ("aedat4", encoded("aedat4") + b"\0\0", "truncated, the packet header at byte"),
    "aedat4, huge packet": (
        "aedat4",
        encoders.aedat4(sensor=SENSOR) + b"\0\0\0\0\xff\xff\xff\xff",
        f"truncated, the packet at byte {START} has 0 of 4294967295",
    ),
    "aedat4, other codec": (
        "aedat4",
        encoders.aedat4(sensor=SENSOR, codec="lz4") + struct.pack("<II", 0, 8) + b"notalz4!",
        f"the packet at byte {START} cannot be unpacked",
    ),
    "evt2, no header": ("evt2", words(1, 2, kind="<u4"), "no header lines with %, so no RAW file of Prophesee"),
    "evt3, no version": ("evt3", b"% date 2026\n% end\n\0\0", "its header does not say its version"),
    "evt2, header only": ("evt2", HEADER2, "no events, the header is all there is (10 bytes)"),
    "evt2, truncated": ("evt2", encoded("evt2")[:-1], "has 3 of 4 bytes"),
    "evt3, truncated": ("evt3", encoded("evt3")[:-1], "has 1 of 2 bytes"),
    "evt2, no time": (
        "evt2",
        HEADER2 + words(1 << 28 | 7, kind="<u4"),
        "none of its 1 words has the time's upper bits",
    ),
    "evt2, back": (
        "evt2",
        HEADER2 + words(8 << 28, 9 << 22, 8 << 22, kind="<u4"),
        "event 1 at byte 18 goes back in time, from 9 to 8 us",
    ),
    "evt2, upper bits back": (
        "evt2",
        HEADER2 + words(8 << 28 | 5, 0, 8 << 28 | 4, 0, kind="<u4"),
        "event 1 at byte 22 goes back in time, from 320 to 256 us",
    ),
    "evt3, back": (
        "evt3",
        HEADER3 + words(0x8000, 0x6009, 0x2001, 0x6008, 0x2001),
        f"event 1 at byte {len(HEADER3) + 6} goes back in time, from 9 to 8 us",
    ),
}


@pytest.mark.parametrize("case", BEFORE_THE_LIBRARY)
def test_damage_is_told_in_one_line_before_the_library_sees_it(case):
    format, content, told = BEFORE_THE_LIBRARY[case]
    with pytest.raises(InputError) as caught:
        NEWER[format].decode(content, where=WHERE)
    assert str(caught.value).startswith("a.file: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_aedat4_that_would_be_unpacked_to_far_more_than_its_file_is_refused(monkeypatch, codec):
    monkeypatch.setattr("bkdsnn.events.recording._SMALL", 1000)
    monkeypatch.setattr("bkdsnn.events.recording._LARGEST_RATIO", 2)
    zeros = encoders.packed(bytes(4 << 20), codec)
    content = encoders.aedat4(sensor=SENSOR, codec=codec) + struct.pack("<II", 0, len(zeros)) + zeros
    with pytest.raises(InputError, match=r"a\.file: would be unpacked to more than [\d,]+ bytes"):
        aedat4.decode(content, where=WHERE)


def no_events(format: str) -> bytes:
    return {
        "aedat4": encoders.aedat4(EVENTS._replace(**dict.fromkeys("txyp", np.array([], int))), sensor=SENSOR),
        "evt2": HEADER2 + words(8 << 28, 10 << 28, kind="<u4"),
        "evt3": HEADER3 + words(0x8000, 0x6001, 0x0001, 0x4000),
    }[format]


@pytest.mark.parametrize(
    ("format", "content", "told"),
    [
        *((format, no_events(format), "no events") for format in NEWER),
        (
            "aedat4",
            encoded("aedat4", EVENTS._replace(t=np.array([5, 6, 4, 7]))),
            "event 2 goes back in time, from 6 to",
        ),
        ("aedat4", altered(encoded("aedat4"), b'"EVTS"'.replace(b'"', b">", 1)[:5] + b"<", b">FRME<"), "no stream of"),
        ("aedat4", encoders.aedat4_header("<dv></dv>"), "damaged, aedat says: the description has no output node"),
        ("evt3", encoded("evt3", EVENTS._replace(x=EVENTS.x + 1)), "damaged, faery says: x overflow (x=130"),
        ("evt2", encoded("evt2", EVENTS._replace(y=EVENTS.y + 1)), "damaged, faery says: y overflow (y=128"),
    ],
)
def test_what_the_library_finds_wrong_is_told_in_one_line(format, content, told):
    library_of(format)
    with pytest.raises(InputError) as caught:
        NEWER[format].decode(content, where=WHERE)
    assert str(caught.value).startswith("a.file: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", NEWER)
def test_a_header_that_says_another_sensor_than_the_data_set_has_is_refused(format):
    library_of(format)
    known = Format.of(NEWER[format])
    known.check_sensor(encoded(format), SENSOR, where=WHERE)
    with pytest.raises(InputError) as caught:
        known.check_sensor(encoded(format), (480, 640), where=WHERE)
    sizes = "a sensor of 128 rows x 130 columns, the data set's has 480 rows x 640 columns"
    assert str(caught.value) == f"a.file: its header says {sizes}"


def test_a_panic_of_a_library_is_told_like_its_errors():
    class PanicException(BaseException):
        """As Rust's reach Python."""

    with (
        pytest.raises(InputError, match="a.aedat4: damaged, aedat says: range end 8"),
        _library.as_file(where=Path("a.aedat4"), library="aedat"),
    ):
        raise PanicException("range end 8")
    with pytest.raises(KeyboardInterrupt), _library.as_file(where=Path("a.aedat4"), library="aedat"):
        raise KeyboardInterrupt
