"""What things cost on this machine, always as a ratio within one run."""
