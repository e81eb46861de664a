"""Which formats there are, for what is said of a file that is of none of them."""

from bkdsnn import plugins


def formats_read() -> str:
    """Every format of `events/formats`, with its suffix."""
    return ", ".join(f"{name} ({plugins.load('format', name).SUFFIX})" for name in plugins.names("format"))
