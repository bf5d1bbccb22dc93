"""Layer 2: how x is drawn from p(x)."""

from harmonium.sampling.boxes import Boxes, MassEstimate, TruncatedDraws
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.sampling.crank_nicolson import CrankNicolsonMALA
from harmonium.sampling.diagnostics import ChainDiagnostics, diagnose_chains
from harmonium.sampling.gibbs import BlockGibbs
from harmonium.sampling.gibbs_langevin import GibbsLangevin
from harmonium.sampling.hamiltonian import HMC
from harmonium.sampling.independence import Alternate, Independence
from harmonium.sampling.kernel import AbstractKernel, Info, PositionState, evaluate_state
from harmonium.sampling.langevin import MALA, Langevin
from harmonium.sampling.replica_exchange import ReplicaExchange
from harmonium.sampling.sample import sample
from harmonium.sampling.sample_result import SampleDiagnostics, SampleResult
from harmonium.sampling.traces import Chains, draw_chains, to_inference_data
from harmonium.sampling.truncated import TruncatedSampler
from harmonium.sampling.tuning import tune_replica_exchange

__all__ = [
    "HMC",
    "MALA",
    "AbstractKernel",
    "Alternate",
    "BlockGibbs",
    "Boxes",
    "ChainDiagnostics",
    "Chains",
    "CrankNicolsonMALA",
    "GibbsLangevin",
    "Independence",
    "Info",
    "Langevin",
    "MassEstimate",
    "PositionState",
    "ReplicaExchange",
    "SampleDiagnostics",
    "SampleResult",
    "TruncatedDraws",
    "TruncatedSampler",
    "diagnose_chains",
    "draw_chains",
    "evaluate_state",
    "init_chains",
    "run_chains",
    "sample",
    "to_inference_data",
    "tune_replica_exchange",
]
