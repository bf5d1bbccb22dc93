"""Layer 2: how x is drawn from p(x)."""

from harmonium.sampling.gibbs import BlockGibbs
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.langevin import MALA, Langevin
from harmonium.sampling.sample import SampleDiagnostics, SampleResult, sample

__all__ = [
    "MALA",
    "AbstractKernel",
    "BlockGibbs",
    "Langevin",
    "SampleDiagnostics",
    "SampleResult",
    "sample",
]
