"""What held-out rows chose: marginals, base, and whether a residual energy pays."""

from dataclasses import dataclass

from harmonium.learning.base_choice import Candidate


@dataclass(frozen=True)
class Chosen:
    """The parts of a fitted density, with the scores of their candidates.

    `base` is "gaussian", "mixture", or "own:" with a class name, and `n_components` its size, of
    one fit of the bag;
    `marginals` says of every modeled column what it is: "levels", "affine", "asinh" or "mixture";
    `residual` whether the trained energy was kept. `candidates` are the bases that were tried, with
    held-out log-likelihoods in model units; `stages` are independent columns, Gaussian, base and
    residual on the rows held out from everything, in data units. All in nats per row.
    """

    base: str
    n_components: int
    marginals: dict[str, str]
    residual: bool
    candidates: tuple[Candidate, ...]
    stages: tuple[Candidate, ...]
