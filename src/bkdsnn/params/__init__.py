"""What may stand in params.yaml, and what follows from it: no network, no data, no training."""
