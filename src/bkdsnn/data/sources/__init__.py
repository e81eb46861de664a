"""Data sources, one file each: `Settings` and `prepare(settings, *, raw, folder) -> Prepared`."""
