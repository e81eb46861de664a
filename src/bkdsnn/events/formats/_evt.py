"""What EVT 2.0 and EVT 3.0 have in common: RAW files of Prophesee's cameras, read by the library `faery`."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bkdsnn.errors import InputError
from bkdsnn.events.formats._library import as_file
from bkdsnn.events.recording import Events, check_whole, in_order
from bkdsnn.events.signatures import signature_of

SUFFIX = ".raw"
LIBRARY = "faery"

# A header line is text; where no line % end follows the last one, its first words have control characters.
_LINE = re.compile(rb"%[^\x00-\x08\x0a-\x0c\x0e-\x1f]*\n")
_END = re.compile(rb"% *end\s*")
_SENSORS = (
    re.compile(rb"% *geometry +(?P<width>\d{1,4})x(?P<height>\d{1,4})\s"),
    re.compile(rb"% *format +\w+;width=(?P<width>\d{1,4});height=(?P<height>\d{1,4})\s"),
    re.compile(rb"% *format +\w+;height=(?P<height>\d{1,4});width=(?P<width>\d{1,4})\s"),
)
_LARGEST = (2048, 2048)  # (H, W) that 11 bits can say
# The kinds of word, by their upper four bits, that both versions have.
_TIME_HIGH, _TRIGGER, _OTHER = 8, 10, 14
_TWELVE = 4  # a vector of 12 pixels, of version 3 alone; its other one has 8


class Version(NamedTuple):
    """A version of the format, by its words.

    name: as the header says it. word: their type. single, vector: the kinds that are one event, or a mask of some.
    timed: the kinds that hold the lower `low` bits of the time, `shift` bits from the right; the time has `bits` bits.
    """

    name: str
    word: str
    single: tuple[int, ...]
    vector: tuple[int, ...]
    timed: tuple[int, ...]
    shift: int
    low: int
    bits: int


def decode(content: bytes, version: Version, *, where: Path) -> Events:
    """The events (t int64 us; x, y uint16; p uint8), without those before the first word with the time's upper bits.

    Raises InputError for a header that does not say this version, a truncated word, a file without times or events,
    events outside the sensor of the header, and time that goes back (wrap-arounds are undone). The library passes over
    cut words and holds the clock where it goes back, so both are looked for here.
    """
    start, sensor = _header(content, where)
    words = _words(content, start, version, where)
    kind = _kinds(words)
    high = np.flatnonzero(kind == _TIME_HIGH)
    if not len(high):
        raise InputError(f"{where}: none of its {len(words)} words has the time's upper bits")
    timed = np.flatnonzero(_among(kind, version.timed))
    timed = timed[timed > high[0]]
    upper = words[high].astype(np.int64)[np.searchsorted(high, timed) - 1] << version.low
    lower = words[timed] >> version.shift & (1 << version.low) - 1
    times = in_order(
        (upper & (1 << version.bits) - 1) | lower,
        bits=version.bits,
        byte_of=lambda n: start + int(timed[n]) * words.itemsize,
        where=where,
    )
    found = _decoded(words[high[0] :], version, sensor or _LARGEST, where)
    pixels = words & np.where(kind == _TWELVE, 0xFFF, 0xFF)  # of a vector
    events = _among(kind, version.single) | _among(kind, version.vector) & (pixels != 0)
    before = np.searchsorted(timed, np.flatnonzero(events)[-1:], side="right") - 1  # where the last event's time is
    if (found.t[-1] < times[before[before >= 0]]).any():
        raise InputError(f"{where}: {LIBRARY} does not follow its times up to {times[before[0]]} us")
    return found


def passed_over(content: bytes, version: Version, *, where: Path) -> int:
    """How many words are triggers, or events before there is a time."""
    kind = _kinds(_words(content, _header(content, where)[0], version, where))
    first = int(np.argmax(kind == _TIME_HIGH))
    early = _among(kind[:first], (*version.single, *version.vector))
    return int(np.count_nonzero(kind == _TRIGGER) + np.count_nonzero(early))


def sensor_of(content: bytes, *, where: Path) -> tuple[int, int] | None:
    """The sensor's (H, W) in pixels, where the header says it."""
    return _header(content, where)[1]


def _decoded(words: np.ndarray, version: Version, sensor: tuple[int, int], where: Path) -> Events:
    """What the library makes of words `[N]`."""
    import faery  # late: it is of an extra

    height, width = sensor
    header = f"% evt {version.name}\n% geometry {width}x{height}\n% end\n".encode()
    # It takes what begins with % for a header line, behind the end too. Such a word does not, and tells nothing.
    first = np.array([_OTHER << 8 * words.itemsize - 4], dtype=words.dtype)
    with (
        as_file(header, first.tobytes(), words.tobytes(), where=where, library=LIBRARY) as path,
        faery.evt.Decoder(path, None, None) as decoder,
    ):
        parts = [packet["events"] for packet in decoder if "events" in packet]
    if not parts:
        raise InputError(f"{where}: no events, {len(words)} other words are all there is")
    t, x, y, p = (np.concatenate([part[name] for part in parts]) for name in ("t", "x", "y", "on"))
    return Events(t=t.astype(np.int64), x=x, y=y, p=p.astype(np.uint8))


def _words(content: bytes, start: int, version: Version, where: Path) -> np.ndarray:
    word = np.dtype(version.word)
    check_whole(content, start=start, width=word.itemsize, where=where)
    return np.frombuffer(content, word, offset=start)


def _kinds(words: np.ndarray) -> np.ndarray:
    return (words >> 8 * words.itemsize - 4).astype(np.uint8)


def _among(kind: np.ndarray, kinds: tuple[int, ...]) -> np.ndarray:
    """Where `kind` `[N]` is one of some kinds."""
    chosen = np.zeros(16, dtype=bool)
    chosen[list(kinds)] = True
    return chosen[kind]


def _header(content: bytes, where: Path) -> tuple[int, tuple[int, int] | None]:
    """The length of the header, and the sensor's (H, W) in pixels."""
    start, sensor, line = 0, None, None
    while not (line and _END.fullmatch(line[0])) and (line := _LINE.match(content, start)):
        start = line.end()
        for found in filter(None, (pattern.match(line[0]) for pattern in _SENSORS)):
            sensor = int(found["height"]), int(found["width"])
    if start == 0:
        raise InputError(f"{where}: no header lines with %, so no RAW file of Prophesee")
    if signature_of(content, sure=True) is None:
        raise InputError(f"{where}: its header does not say its version, as '% evt 3.0' does")
    return start, sensor
