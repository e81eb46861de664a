"""BKDSNN: spiking neural networks trained by blurred knowledge distillation."""
