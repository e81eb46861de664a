"""Recordings of a format that is known by its name."""

from pathlib import Path

from bkdsnn import plugins
from bkdsnn.events.format import Format
from bkdsnn.events.recording import Events, read_bytes


def read_events(path: Path, *, format: str) -> Events:
    """The events of a file in one of the formats of `events/formats`; `InputError` names the file and the place."""
    return Format.of(plugins.load("format", format)).decode(read_bytes(path), where=path)
