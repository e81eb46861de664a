"""Spiking neurons that are one operator on a CPU."""
