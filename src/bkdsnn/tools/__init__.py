"""What a person runs beside the pipeline, by `make`."""
