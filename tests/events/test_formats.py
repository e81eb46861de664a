"""Every format gives the events that SpikingJelly or tonic reads, and says what is wrong with a bad file."""

import hashlib
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED

from bkdsnn import plugins
from bkdsnn.errors import InputError
from bkdsnn.events.by_name import read_events
from bkdsnn.events.recording import Events, in_order

SAMPLES = SHARED / "data/events"
real = pytest.mark.skipif(not SAMPLES.exists(), reason="the shared sample recordings are not here")


def assert_same(found: Events, wanted: dict) -> None:
    for name, field in found._asdict().items():
        np.testing.assert_array_equal(field, wanted[name])


def atis(*events: tuple[int, int, int, int]) -> bytes:
    """Words of (t, x, y, p)."""
    return b"".join(bytes((x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255)) for t, x, y, p in events)


def prophesee(*events: tuple[int, int, int, int], header: bytes = b"% Data file\n% Version 2\n", kind=(0, 8)) -> bytes:
    return header + bytes(kind) + b"".join(struct.pack("<II", t, x | y << 14 | p << 28) for t, x, y, p in events)


def packet(*events, kind: int = 1, overflows: int = 0, size: int = 8, number: int | None = None, valid=1) -> bytes:
    """An AEDAT 3.1 packet of (t, x, y, p); of `number` events there may be fewer than it has room for."""
    number = len(events) if number is None else number
    header = struct.pack("<HHIIIIII", kind, 1, size, 4, overflows, len(events), number, number * valid)
    return header + b"".join(struct.pack("<II", x << 17 | y << 2 | p << 1 | valid, t) for t, x, y, p in events)


AEDAT3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"


@real
def test_real_nmnist_recording_equals_spikingjelly():
    from spikingjelly.datasets.utils import load_ATIS_bin

    found = read_events(SAMPLES / "sample_nmnist.bin", format="atis")
    assert len(found.t) == 4325
    assert_same(found, load_ATIS_bin(SAMPLES / "sample_nmnist.bin"))


@real
def test_real_ncars_recording_equals_tonic():
    """SpikingJelly reads no .dat: digests of what expelliarmus 1.1.12, tonic's reader, gives, as int64."""
    found = read_events(SAMPLES / "sample_ncars.dat", format="prophesee")
    assert len(found.t) == 2009
    digests = [hashlib.sha256(field.astype("<i8").tobytes()).hexdigest()[:16] for field in found]
    assert digests == ["e9e618b87bd7acec", "5416b797c8452a66", "29d470d6e22ce889", "f46e03c7d971c71b"]


@pytest.mark.parametrize("overflows", [0, 1, 3])
def test_aedat3_equals_spikingjelly(tmp_path, overflows):
    from spikingjelly.datasets.utils import load_aedat_v3

    draw = np.random.default_rng(overflows)
    packets = []
    for number in range(4):
        stamps = number * 10_000 + np.sort(draw.integers(0, 10_000, 50))
        events = zip(stamps, *draw.integers(0, 128, (2, 50)), draw.integers(0, 2, 50), strict=True)
        packets.append(packet(*(tuple(map(int, event)) for event in events), overflows=overflows))
        packets.append(packet((1, 2, 3, 1), kind=0))  # special events: passed over
    path = tmp_path / "a.aedat"
    path.write_bytes(AEDAT3 + b"".join(packets))
    found = read_events(path, format="aedat3")
    assert len(found.t) == 200
    assert found.t[0] >= overflows << 31
    assert_same(found, load_aedat_v3(path))


def test_aedat3_has_as_many_events_as_a_packet_says_and_none_that_is_marked_as_invalid(tmp_path):
    path = tmp_path / "a.aedat"
    padded = packet((5, 1, 2, 0), (6, 3, 4, 1), (0, 0, 0, 0), (0, 0, 0, 0), number=2)
    path.write_bytes(
        AEDAT3 + padded + packet((7, 9, 9, 0), valid=0) + packet((1, 2, 3, 1), kind=0) + packet((8, 5, 6, 1))
    )
    found = read_events(path, format="aedat3")
    assert [field.tolist() for field in found] == [[5, 6, 8], [1, 3, 5], [2, 4, 6], [0, 1, 1]]
    assert plugins.load("format", "aedat3").passed_over(path.read_bytes(), where=path) == 2


def test_npz_equals_what_spikingjelly_wrote(tmp_path):
    from spikingjelly.datasets.utils import np_savez

    events = {"t": np.array([3, 3, 9]), "x": np.array([1, 2, 3]), "y": np.array([0, 0, 7]), "p": np.array([1, 0, 1])}
    np_savez(tmp_path / "a.npz", **events)
    assert_same(read_events(tmp_path / "a.npz", format="npz"), events)


def test_known_events(tmp_path):
    contents = {
        "atis": atis((70_000, 33, 5, 1), (70_001, 0, 33, 0)),
        "prophesee": prophesee((9, 300, 200, 1), (9, 0, 1, 0)),
    }
    expected = {"atis": [(70_000, 33, 5, 1), (70_001, 0, 33, 0)], "prophesee": [(9, 300, 200, 1), (9, 0, 1, 0)]}
    for format, content in contents.items():
        (tmp_path / "a").write_bytes(content)
        found = read_events(tmp_path / "a", format=format)
        assert [tuple(map(int, event)) for event in zip(*found, strict=True)] == expected[format]


def test_atis_overflow_words_add_8192_us_and_are_no_events(tmp_path):
    """As tonic.io.read_mnist_file has them."""
    (tmp_path / "a.bin").write_bytes(atis((5, 1, 1, 0), (5, 0, 240, 0), (6, 2, 2, 1), (6, 0, 240, 0), (7, 3, 3, 1)))
    found = read_events(tmp_path / "a.bin", format="atis")
    assert found.t.tolist() == [5, 6 + 8192, 7 + 2 * 8192]
    assert found.x.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("format", "content", "wrap"),
    [
        ("atis", atis((2**23 - 1, 1, 1, 0), (4, 1, 1, 0), (4, 1, 1, 0)), 2**23),
        ("prophesee", prophesee((2**32 - 1, 1, 1, 0), (4, 1, 1, 0), (4, 1, 1, 0)), 2**32),
    ],
)
def test_a_wrap_around_of_the_counter_is_undone(tmp_path, format, content, wrap):
    (tmp_path / "a").write_bytes(content)
    found = read_events(tmp_path / "a", format=format)
    assert found.t.tolist() == [wrap - 1, wrap + 4, wrap + 4]


def test_several_wrap_arounds():
    stamps = np.array([250, 3, 200, 10, 20])
    assert in_order(stamps, bits=8, byte_of=None, where=Path("a")).tolist() == [250, 259, 456, 522, 532]


def npz(**fields) -> bytes:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, **fields)
    return buffer.getvalue()


NUMBERS = {"t": np.array([1, 2]), "x": np.array([1, 2]), "y": np.array([1, 2]), "p": np.array([0, 1])}
EVENT = (9, 1, 1, 0)
BAD = {
    "atis, truncated": ("atis", atis(EVENT)[:-1], "truncated, the event at byte 0 has 4 of 5 bytes"),
    "atis, back": ("atis", atis(EVENT, (8, 1, 1, 0)), "event 1 at byte 5 goes back in time, from 9 to 8 us"),
    "atis, overflows alone": ("atis", atis((5, 0, 240, 0)), "no events, 1 overflow words"),
    "prophesee, header only": ("prophesee", prophesee(), "no events, the header is all there is (26 bytes)"),
    "prophesee, no header": ("prophesee", prophesee(EVENT, header=b""), "no header lines with %"),
    "prophesee, cut header": ("prophesee", b"% Version 2\n\0", "the kind of event at byte 12 is cut off"),
    "prophesee, other kind": ("prophesee", prophesee(EVENT, kind=(14, 8)), "kind 0xe and 8 bytes at byte 24"),
    "prophesee, truncated": ("prophesee", prophesee(EVENT)[:-3], "the event at byte 26 has 5 of 8 bytes"),
    "prophesee, back": ("prophesee", prophesee(EVENT, (8, 1, 1, 0)), "event 1 at byte 34 goes back in time"),
    "aedat3, other version": ("aedat3", b"#!AER-DAT3.0\r\n", "does not begin as format: aedat3, it is AEDAT 3"),
    "aedat3, no header": ("aedat3", b"AER-DAT3.1\r\n", "does not begin with #!AER-DAT3.1"),
    "aedat3, more than there is room for": (
        "aedat3",
        AEDAT3 + packet(EVENT, number=2),
        f"the packet at byte {len(AEDAT3)} has 2 events, but room for 1",
    ),
    "aedat3, invalid alone": (
        "aedat3",
        AEDAT3 + packet(EVENT, EVENT, valid=0),
        "no polarity events in 86 bytes, 2 are marked as invalid",
    ),
    "aedat3, back after an invalid one": (
        "aedat3",
        AEDAT3 + packet(EVENT) + packet((1, 1, 1, 0), valid=0) + packet((8, 1, 1, 0)),
        f"event 1 at byte {len(AEDAT3) + 100} goes back",
    ),
    "aedat3, cut header": ("aedat3", AEDAT3[:-5], "no line #!END-HEADER"),
    "aedat3, header only": ("aedat3", AEDAT3, f"no polarity events in {len(AEDAT3)} bytes"),
    "aedat3, cut packet header": (
        "aedat3",
        AEDAT3 + packet(EVENT)[:20],
        f"packet header at byte {len(AEDAT3)} has 20 of 28",
    ),
    "aedat3, cut packet": ("aedat3", AEDAT3 + packet(EVENT)[:-1], f"the packet at byte {len(AEDAT3)} has 7 of 8"),
    "aedat3, other size": ("aedat3", AEDAT3 + packet(EVENT, EVENT, size=4), "events of 4 bytes"),
    "aedat3, back": (
        "aedat3",
        AEDAT3 + packet(EVENT) + packet((8, 1, 1, 0)),
        f"event 1 at byte {len(AEDAT3) + 64} goes back",
    ),
    "npz, damaged": ("npz", npz(**NUMBERS)[:-40], "no readable .npz"),
    "npz, array missing": ("npz", npz(t=NUMBERS["t"]), "no readable .npz with the arrays t, x, y, p"),
    "npz, lengths": (
        "npz",
        npz(**NUMBERS | {"x": np.array([1])}),
        "integers of one length, found t int64[2], x int64[1]",
    ),
    "npz, floats": ("npz", npz(**NUMBERS | {"t": np.array([1.5, 2])}), "found t float64[2]"),
    "npz, pickled": ("npz", npz(**NUMBERS | {"t": np.array([None, 2])}), "no readable .npz"),
    "npz, none": ("npz", npz(**dict.fromkeys("txyp", np.array([], dtype=int))), "no events"),
    "npz, polarity": ("npz", npz(**NUMBERS | {"p": np.array([1, 2])}), "p must be 0 or 1, found 1 to 2"),
    "npz, unsigned": (
        "npz",
        npz(**NUMBERS | {"t": np.array([1, 2**63], dtype=np.uint64)}),
        "t goes up to 9223372036854775808, wanted at most 9223372036854775807",
    ),
    "npz, back": ("npz", npz(**NUMBERS | {"t": np.array([2, 1])}), "event 1 goes back in time, from 2 to 1 us"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_told_in_one_line(tmp_path, case):
    format, content, told = BAD[case]
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_events(path, format=format)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


FOREIGN = {
    b"#!AER-DAT4.0\r\n": "AEDAT 4 (AER-DAT4), which format: aedat4 reads",
    b"#!AER-DAT1.0\r\n": "AEDAT 1 (AER-DAT1), which is not read",
    b"% date 2020-01-01\n% evt 2.0\n% end\n": "EVT2 (Prophesee RAW), which format: evt2 reads",
    b"% format EVT2;height=720;width=1280\n": "EVT2 (Prophesee RAW), which format: evt2 reads",
    b"% format EVT21;height=720;width=1280\n": "EVT2.1 (Prophesee RAW), which is not read; read are aedat2 (.aedat),",
    b"% evt 3.0\n% end\n": "EVT3 (Prophesee RAW), which format: evt3 reads",
    b"% Data file\n% Version 1\n": "Prophesee DAT, but not version 2, which is not read",
    b"\x89HDF\r\n\x1a\n": "HDF5, which is not read",
    b"\xfd7zXZ\x00": "xz-compressed, which is not read",
    b"\x1f\x8b\x08\x00": "gzip-compressed, which is not read",
    b"Event Stream\x02": "Event Stream (.es), which is not read",
}


@pytest.mark.parametrize("format", ["aedat2", "aedat3", "atis", "npz", "prophesee"])
@pytest.mark.parametrize("start", FOREIGN)
def test_a_file_of_another_kind_is_named(tmp_path, format, start):
    path = tmp_path / "a.dat"
    path.write_bytes(start + bytes((0, 8)) + bytes(range(255, 0, -1)))
    with pytest.raises(InputError) as caught:
        read_events(path, format=format)
    assert f"{path}: does not begin as format: {format}, it is {FOREIGN[start]}" in str(caught.value)


def test_a_file_of_another_format_that_is_read_leads_to_it(tmp_path):
    contents = {"aedat2": b"#!AER-DAT2.0\r\n", "aedat3": AEDAT3, "npz": npz(**NUMBERS), "prophesee": prophesee(EVENT)}
    for theirs, content in contents.items():
        (tmp_path / "a").write_bytes(content)
        for format in set(contents) - {theirs}:
            with pytest.raises(InputError, match=f"does not begin as format: {format}.*, which format: {theirs} reads"):
                read_events(tmp_path / "a", format=format)


def test_an_array_that_would_be_unpacked_to_far_more_than_its_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bkdsnn.events.recording._SMALL", 1000)
    np.savez_compressed(tmp_path / "a.npz", **dict.fromkeys("txyp", np.zeros(100_000, dtype=np.int64)))
    with pytest.raises(InputError, match=r"a\.npz: no readable .npz .*t\.npy would have 800,128 bytes, unpacked from"):
        read_events(tmp_path / "a.npz", format="npz")


def test_an_array_whose_header_promises_more_than_there_is_is_refused(tmp_path):
    array = np.lib.format.magic(1, 0) + struct.pack("<H", 118)
    array += b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(117) + b"\n" + bytes(16)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name in "txyp":
            file.writestr(f"{name}.npy", array)
    with pytest.raises(InputError, match=r"a\.npz: no readable .npz .*buffer is smaller than requested size"):
        read_events(tmp_path / "a.npz", format="npz")


def test_integers_of_any_kind_are_read(tmp_path):
    for kind in (">i2", "<u8", "u1", ">u4"):
        np.savez(tmp_path / "a.npz", **{name: field.astype(kind) for name, field in NUMBERS.items()})
        assert_same(read_events(tmp_path / "a.npz", format="npz"), NUMBERS)


@pytest.mark.parametrize("format", plugins.names("format"))
def test_an_empty_and_a_missing_file(tmp_path, format):
    if library := getattr(plugins.load("format", format), "LIBRARY", None):
        pytest.importorskip(library)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InputError, match="empty: the file is empty"):
        read_events(tmp_path / "empty", format=format)
    with pytest.raises(InputError, match="none: cannot be read"):
        read_events(tmp_path / "none", format=format)


def test_an_unknown_format_lists_those_there_are(tmp_path):
    with pytest.raises(
        InputError, match="unknown format 'es': there are aedat2, aedat3, aedat4, atis, evt2, evt3, npz, prophesee"
    ):
        read_events(tmp_path / "a", format="es")
