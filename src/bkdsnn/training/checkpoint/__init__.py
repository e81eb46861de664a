"""States of a run that was stopped: they change no number."""
