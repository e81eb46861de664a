"""AEDAT 4 files of iniVation's cameras, read by the library `aedat`, as in tonic."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.formats._library import as_file
from bkdsnn.events.recording import Events, in_order, may_unpack_to

SUFFIX = ".aedat4"
LIBRARY = "aedat"

_MAGIC = b"#!AER-DAT4.0\r\n"
_START = len(_MAGIC) + 4  # of the header: a FlatBuffers table with compression, place of the index, description
_CODECS = {0: None, 1: "lz4", 2: "lz4", 3: "zstd", 4: "zstd"}
_TAGS = 4096  # of the description, whose parser takes stack for each that is open; recorders write a hundred
_BLOCK = 1 << 20  # bytes
_SMALLEST = 12  # bytes of a packet's content: its length, the root's offset, a table


class _Header(NamedTuple):
    """How packets are compressed, and where they begin and end (bytes)."""

    codec: str | None
    start: int
    stop: int


class _Packet(NamedTuple):
    """A packet's stream, and where its compressed content begins and ends (bytes)."""

    stream: int
    start: int
    stop: int


def decode(content: bytes, *, where: Path) -> Events:
    """The events (t int64 us; x, y uint16; p uint8) of the first stream of events, those that tonic gives.

    Raises InputError for a damaged header, a packet that is cut off, damaged or unpacked to far more than the file, a
    file without events, and time that goes back.
    Source: iniVation's specification of AEDAT 4.0.
    """
    header = _header(content, where)
    _check_unpacked(content, header, where)
    with _opened(content, where) as (decoder, stream, _):
        parts = [packet["events"] for packet in decoder if packet["stream_id"] == stream]
    if not sum(map(len, parts)):
        raise InputError(f"{where}: no events in {len(content)} bytes")
    t, x, y, p = (np.concatenate([part[name] for part in parts]) for name in ("t", "x", "y", "on"))
    return Events(t=in_order(t.astype(np.int64), bits=None, byte_of=None, where=where), x=x, y=y, p=p.astype(np.uint8))


def passed_over(content: bytes, *, where: Path) -> int:
    """How many entries are in other streams: frames, movements, triggers, another camera's events."""
    if len({packet.stream for packet in _packets(content, _header(content, where), where)}) < 2:
        return 0
    with _opened(content, where) as (decoder, stream, _):
        others = (packet for packet in decoder if packet["stream_id"] != stream)
        return sum(1 if "frame" in other else max(map(np.size, other.values())) for other in others)


def sensor_of(content: bytes, *, where: Path) -> tuple[int, int]:
    """The sensor's (H, W) in pixels, as the header says."""
    with _opened(content[: _header(content, where).start], where) as (_, _, found):
        return found["height"], found["width"]


@contextmanager
def _opened(content: bytes, where: Path) -> Iterator[tuple[Any, int, dict]]:
    """The library's decoder, the number of the first stream of events, and what the header says of that."""
    import aedat  # late: it is of an extra

    with as_file(content, where=where, library=LIBRARY) as path:
        decoder = aedat.Decoder(path)
        streams = {key: found for key, found in decoder.id_to_stream().items() if found["type"] == "events"}
        if not streams:
            raise InputError(f"{where}: its header names no stream of events")
        yield decoder, min(streams), streams[min(streams)]


def _header(content: bytes, where: Path) -> _Header:
    """What the header says, within its bounds: the library takes it on trust."""
    if not content.startswith(_MAGIC):
        raise InputError(f"{where}: does not begin with #!AER-DAT4.0")
    size = int.from_bytes(content[_START - 4 : _START], "little")
    table = content[_START : _START + size]
    if len(table) < size or not size:
        raise InputError(f"{where}: truncated, its header has {len(table)} of {size} bytes")
    try:
        compression, index, description = _fields(table)
        codec = _CODECS[compression]
        description.decode()
    except (struct.error, ValueError, KeyError) as error:
        raise InputError(f"{where}: its header is damaged") from error
    if description.count(b"<") > _TAGS:
        raise InputError(f"{where}: its header has more than {_TAGS} tags")
    stop = len(content) if index == -1 else index  # -1: the recorder was stopped before it wrote an index
    if not _START + size <= stop <= len(content):
        raise InputError(f"{where}: truncated, {len(content)} bytes, its packets end at {stop} by its header")
    return _Header(codec, _START + size, stop)


def _fields(table: bytes) -> tuple[int, int, bytes]:
    """Compression, place of the index, description; `struct.error` or `ValueError` where one lies outside."""

    def read(kind: str, place: int) -> int:
        if place < 0:
            raise ValueError("before the first byte")
        return struct.unpack_from(f"<{kind}", table, place)[0]

    root = read("I", 0)
    offsets = root - read("i", root)
    places = [read("H", offsets + at) if at < read("H", offsets) else 0 for at in (4, 6, 8)]
    text = root + places[2] + read("I", root + places[2])
    start, size = text + 4, read("I", text)
    if not places[2] or start + size > len(table):
        raise ValueError("no description, or one that is cut off")
    compression = read("i", root + places[0]) if places[0] else 0
    return compression, read("q", root + places[1]) if places[1] else -1, table[start : start + size]


def _packets(content: bytes, header: _Header, where: Path) -> Iterator[_Packet]:
    """All packets in order."""
    place = header.start
    while place < header.stop:
        start = place + 8
        if start > header.stop:
            raise InputError(f"{where}: truncated, the packet header at byte {place} has {header.stop - place} of 8")
        stream, size = struct.unpack_from("<II", content, place)
        if start + size > header.stop:
            raise InputError(f"{where}: truncated, the packet at byte {place} has {header.stop - start} of {size}")
        yield _Packet(stream, start, start + size)
        place = start + size


def _check_unpacked(content: bytes, header: _Header, where: Path) -> None:
    """`InputError` where a packet is cut off, or all together would be unpacked to far more than their file."""
    import pyarrow  # late: it takes a moment, and packets may be plain

    room = may_unpack_to(len(content))
    for packet in _packets(content, header, where):
        size = packet.stop - packet.start
        if header.codec is None:
            _check_whole(size, packet, where)
            continue
        size = 0
        source = pyarrow.BufferReader(memoryview(content)[packet.start : packet.stop])
        try:
            with pyarrow.CompressedInputStream(source, header.codec) as stream:
                while block := stream.read(_BLOCK):
                    room, size = room - len(block), size + len(block)
                    if room < 0:
                        break
        except (OSError, ValueError) as error:
            raise InputError(f"{where}: the packet at byte {packet.start - 8} cannot be unpacked") from error
        if room < 0:
            raise InputError(f"{where}: would be unpacked to more than {may_unpack_to(len(content)):,} bytes")
        _check_whole(size, packet, where)


def _check_whole(size: int, packet: _Packet, where: Path) -> None:
    """A packet's content is a size-prefixed table of FlatBuffers: the library reads its first bytes unasked."""
    if size < _SMALLEST:
        raise InputError(f"{where}: the packet at byte {packet.start - 8} has {size} bytes of content, too few")
