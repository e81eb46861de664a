"""What the first bytes of a file say that it is, whatever its name says."""

import re
from typing import NamedTuple


class Signature(NamedTuple):
    """A kind of file: what it is called, and the format of `events/formats` that reads it, where one does."""

    name: str
    format: str | None


_LINES = rb"(?:%[^\n]*\n)*?% *"  # of a Prophesee header, before the one that tells
# Long enough that no event of a format without a header begins so by chance.
_SURE = {
    rb"#!AER-DAT1": Signature("AEDAT 1 (AER-DAT1)", None),
    rb"#!AER-DAT2\.0": Signature("AEDAT 2.0 (AER-DAT2.0)", "aedat2"),
    rb"#!AER-DAT3\.1": Signature("AEDAT 3.1 (AER-DAT3.1)", "aedat3"),
    rb"#!AER-DAT3": Signature("AEDAT 3 (AER-DAT3), but not 3.1", None),
    rb"#!AER-DAT4": Signature("AEDAT 4 (AER-DAT4)", "aedat4"),
    _LINES + rb"(?:evt 2\.0|format EVT2\b)": Signature("EVT2 (Prophesee RAW)", "evt2"),
    _LINES + rb"(?:evt 2\.1|format EVT21\b)": Signature("EVT2.1 (Prophesee RAW)", None),
    _LINES + rb"(?:evt 3\.0|format EVT3\b)": Signature("EVT3 (Prophesee RAW)", "evt3"),
    _LINES + rb"(?:evt 4\.0|format EVT4\b)": Signature("EVT4 (Prophesee RAW)", None),
    _LINES + rb"Version [^2]": Signature("Prophesee DAT, but not version 2", None),
    _LINES + rb"Version 2\s": Signature("Prophesee DAT", "prophesee"),
    rb"\x89HDF\r\n\x1a\n": Signature("HDF5", None),
    rb"\xfd7zXZ\x00": Signature("xz-compressed", None),
    rb"Event Stream": Signature("Event Stream (.es)", None),
    rb"#ROSBAG": Signature("a ROS bag", None),
    rb"\x93NUMPY": Signature("a single NumPy array", None),
}
_LIKELY = {
    rb"PK\x03\x04": Signature("a zip or .npz archive", "npz"),
    rb"\x1f\x8b\x08": Signature("gzip-compressed", None),
    rb"BZh[1-9]": Signature("bzip2-compressed", None),
    rb"\x28\xb5\x2f\xfd": Signature("zstd-compressed", None),
    rb"\x04\x22\x4d\x18": Signature("LZ4-compressed", None),
}
LOOKED_AT = 4096  # bytes


def signature_of(content: bytes, *, sure: bool) -> Signature | None:
    """The kind of file that `content` begins as; with `sure` none that another file's bytes might be by chance."""
    start = content[:LOOKED_AT]
    known = _SURE if sure else _SURE | _LIKELY
    return next((found for pattern, found in known.items() if re.match(pattern, start)), None)
