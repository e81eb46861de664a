"""File formats of event cameras, one file each: `SUFFIX` and `decode(content, *, where) -> Events`."""
