"""Breaks a small `dvc repro` in every way that can be had here, and compares what comes of it with an unbroken one."""
