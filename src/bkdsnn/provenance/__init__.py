"""Which code made these bytes: the one answer for DVC, resumed runs and half-written caches."""
