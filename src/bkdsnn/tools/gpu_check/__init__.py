"""`make gpu-check`: what the first minutes on a GPU have to show, on a machine with torch and little else."""
