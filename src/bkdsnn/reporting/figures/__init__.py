"""Figures, each drawn where the table has what it needs."""
