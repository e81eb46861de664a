"""Several processes, and the device of each."""
