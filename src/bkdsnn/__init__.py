"""BKDSNN: spiking neural networks trained by blurred knowledge distillation."""

import os

# How long OpenMP's threads wait for work before they sleep (rounds; libgomp reads it when torch is imported). Its own
# 300,000 take the cores from our kernels' threads, and from other stages, for milliseconds behind every operator.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
