"""Operators of our own for a CPU: spiking neurons, and batch norm with what follows it."""
