"""Events as the files of cameras: small encoders, for whole files that are damaged then."""

import io
import struct
import zipfile
from itertools import pairwise

import numpy as np

from bkdsnn.events.recording import Events

_CODECS = {None: 0, "lz4": 1, "zstd": 3}
_DESCRIPTION = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">{}</node></dv>"""
_STREAM = """<node name="{0}" path="/mainloop/Recorder/outInfo/{0}/"><attr key="typeIdentifier" type="string">{1}</attr>
<node name="info" path="/mainloop/Recorder/outInfo/{0}/info/"><attr key="sizeX" type="int">{3}</attr>
<attr key="sizeY" type="int">{2}</attr></node></node>"""
_AEDAT4_EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("unused", "V3")])


def aedat3(events: Events) -> bytes:
    """AEDAT 3.1, in two packets."""
    t, x, y, p = events
    words = np.stack([x << 17 | y << 2 | p << 1 | 1, t], axis=1).astype("<u4")
    packets = [
        struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, *(len(part),) * 3) + part.tobytes() for part in np.array_split(words, 2)
    ]
    return b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n" + b"".join(packets)


def aedat4(
    *streams: Events, sensor: tuple[int, int], codec: str | None = None, packets: int = 2, index: bool = False
) -> bytes:
    """AEDAT 4.0 with a stream for each of the recordings, and with or without the place of an index behind them."""
    described = "".join(_STREAM.format(number, "EVTS", *sensor) for number in range(len(streams)))
    body = b"".join(
        _aedat4_packet(number, Events(*(field[first:last] for field in events)), codec)
        for number, events in enumerate(streams)
        for first, last in pairwise(np.linspace(0, len(events.t), packets + 1).astype(int))
    )
    start = len(aedat4_header(_DESCRIPTION.format(described)))
    header = aedat4_header(_DESCRIPTION.format(described), codec=codec, end=start + len(body) if index else -1)
    return header + body + b"an index" * index


def aedat4_header(description: str, *, codec: str | None = None, end: int = -1) -> bytes:
    """Up to the first packet: a FlatBuffers table of compression, place of the index and description."""
    text = description.encode()
    places = struct.pack("<I4s5H6x", 24, b"IOHE", 10, 20, 4, 8, 16)
    table = places + struct.pack("<iiqII", 16, _CODECS[codec], end, 4, len(text)) + text + b"\0"
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(table)) + table


def _aedat4_packet(stream: int, events: Events, codec: str | None) -> bytes:
    entries = np.zeros(len(events.t), _AEDAT4_EVENT)
    for name, field in events._asdict().items():
        entries[name] = field
    table = struct.pack("<I4s2x3HiII", 16, b"EVTS", 6, 8, 4, 6, 4, len(entries)) + entries.tobytes()
    content = packed(struct.pack("<I", len(table)) + table, codec)
    return struct.pack("<II", stream, len(content)) + content


def packed(content: bytes, codec: str | None) -> bytes:
    """A frame of LZ4 or Zstandard."""
    if codec is None:
        return content
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, codec) as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def atis(events: Events) -> bytes:
    """The 40-bit words of N-MNIST."""
    t, x, y, p = events
    return np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8).tobytes()


def prophesee(events: Events) -> bytes:
    """Prophesee's DAT, version 2."""
    t, x, y, p = events
    words = np.stack([t, x | y << 14 | p << 28], axis=1).astype("<u4")
    return b"% Data file containing CD events.\n% Version 2\n" + bytes((0, 8)) + words.tobytes()


def evt2(events: Events, *, sensor: tuple[int, int]) -> bytes:
    """EVT 2.0, with the upper bits of the time before every event."""
    t, x, y, p = events
    words = np.stack([8 << 28 | t >> 6 & 0xFFFFFFF, p << 28 | (t & 63) << 22 | x << 11 | y], axis=1).astype("<u4")
    return f"% evt 2.0\n% format EVT2;width={sensor[1]};height={sensor[0]}\n% end\n".encode() + words.tobytes()


def evt3(events: Events, *, sensor: tuple[int, int]) -> bytes:
    """EVT 3.0, with time, row and column of every event."""
    t, x, y, p = events
    words = np.stack([8 << 12 | t >> 12 & 0xFFF, 6 << 12 | t & 0xFFF, y, 2 << 12 | p << 11 | x], axis=1).astype("<u2")
    return f"% evt 3.0\n% format EVT3\n% geometry {sensor[1]}x{sensor[0]}\n".encode() + words.tobytes()


def npz(events: Events, *, method: int) -> bytes:
    """SpikingJelly's `.npz`, compressed by one of zipfile's methods."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as file:
        for name, field in events._asdict().items():
            buffer = io.BytesIO()
            np.save(buffer, field)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), method)
    return content.getvalue()
