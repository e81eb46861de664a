"""Students and teachers, one file each: `Settings` and `Network(settings, *, input_shape, classes)`."""
