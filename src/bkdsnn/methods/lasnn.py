"""LaSNN (Hong et al. 2023, arXiv:2304.09101) as the official BKDSNN code has it: KDSNN's loss summed over layers.

LaSNN itself was published without code and has an attention that this has not. In BKDSNN's code the align layers lie in
a plain list, which no optimiser sees; here they learn.
"""

from pydantic import Field

from bkdsnn.methods import kdsnn


class Settings(kdsnn.Settings):
    """Which features of the student imitate which of the teacher."""

    features: dict[str, str] = Field(min_length=1, description="the student's feature: the teacher's")


class Method(kdsnn.Method):
    """The terms `task` and `feature`, the sum over all pairs; learns `align`, one layer for each pair."""
