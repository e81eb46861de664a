"""Data sets as memory-mapped arrays, their augmented views, and batches of them."""
