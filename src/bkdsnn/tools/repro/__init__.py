"""A whole table, or one row of it, on all that the machine has: DVC's stages, several at once."""
