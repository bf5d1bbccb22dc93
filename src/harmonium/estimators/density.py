"""`DensityEstimator`: the scikit-learn face of a fitted density."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)

from harmonium.artifact import StoredDensity
from harmonium.data import Table, as_table, container_of
from harmonium.estimators.cards import NOT_FITTED, ShowsCard, density_facts
from harmonium.estimators.containers import TakesTables, as_container
from harmonium.estimators.fitted import HasDensity, warn_unless
from harmonium.estimators.saves import Exports
from harmonium.estimators.seeds import given_settings, name_features
from harmonium.inference import (
    Chosen,
    Density,
    DensitySettings,
    OwnParts,
    fit_density,
    sample_given,
    split_parts,
)
from harmonium.inference.own_parts import PARTS
from harmonium.inference.progress import printing, shown_too
from harmonium.learning import AbstractObjective
from harmonium.learning.result import Record, Report
from harmonium.model import AbstractBase
from harmonium.sampling import AbstractKernel

UNTRUSTED = (
    "log Z of this model is not reliable, so these log-densities share an unknown offset: use them "
    "as a ranking, do not quote them. verdict_ says why, log_partition_ has the interval."
)


class DensityEstimator(
    HasDensity[Density, DensitySettings],
    Exports,
    TakesTables,
    ShowsCard,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    DensityMixin,
    BaseEstimator,
):
    """Fit a normalized density to a table of numbers, categories, truth values and dates.

    Rows go in and come out in data units. Cells may be missing (NaN, None, null), also in training
    rows. Three parts are fitted, one after the other: a marginal for every column, a base (one
    Gaussian or a mixture of them) for how the columns go together, and a residual energy with
    hidden units for what the base lacks. Rows that are held out choose among the candidates of each
    part; where the residual does not pay, the base is the model.

    Parameters
    ----------
    n_hidden : int
        Number of binary hidden units.
    feature_map : {"auto", "identity", "mlp", "residual", "fourier"}, module or factory
        The map f of the residual energy. "auto" takes "fourier" up to 3 columns and "residual"
        beyond. An `equinox.Module` that maps one row (n_visible,) in model units to features
        (features,) is taken as it is; any other callable is called as
        feature_map(n_visible, key=key) and returns one.
    effort : {"normal", "quick", "thorough"}
        "quick" trains nothing: the density is that of the base, with an exact log Z, and
        candidates are compared on two of five parts of the rows, not on all. "normal" trains a
        residual energy where there are at least four rows per pair of columns, or where `base`,
        `objective` or `feature_map` is not "auto". "thorough" always does, and lets the likelihood
        by chains follow the noise-contrastive training of "auto".
    base : {"auto", "gaussian", "mixture"}, base or class of bases
        The base; "auto" takes a mixture where it beats the Gaussian on held-out rows. An object is
        a `harmonium.model.AbstractBase` in model units; a class of these has a static method
        fit(rows, key=key) that makes one of training rows (rows, n_visible).
    width : int
        Width of the layers of f.
    hidden_units : {"bernoulli", "spin"}
        Alphabet {0, 1} or {-1, +1}.
    objective : str or objective
        What training climbs. "auto" is noise-contrastive estimation against the base, as is
        "noise-contrastive". "likelihood", "warm-started-likelihood", "persistent" and
        "contrastive-divergence" are maximum likelihood with a weighted population, the same after
        score matching, with plain persistent chains, and with data-started chains.
        "score-matching" is denoising score matching. An object is one of
        `harmonium.learning.AbstractObjective`, such as `hm.NoiseContrastive(noise_ratio=4)`.
    kernel : "auto" or a kernel
        What moves the chains of the likelihood objectives that are named, and those of `sample`: an
        object such as `hm.HMC()`. A file does not keep it.
    n_updates : int
        Parameter updates at most; training stops earlier when the held-out rows stop improving.
    time_budget : float or None
        Seconds for the fit. With a budget, results depend on the machine.
    learning_rate : float or None
        Of AdamW (weight decay 1e-4), decayed to 0 by a cosine. None takes 5e-3 for
        noise-contrastive training and 1e-3 for the other objectives.
    batch_size : int
        Rows per update.
    marginals : {"auto", "affine", "asinh", "mixture"} or class
        What turns a column of numbers into a coordinate that is standard normal: scaling, scaling
        with compressed tails, or a one-dimensional Gaussian mixture; "auto" chooses per column by
        likelihood. A class has the methods of `harmonium.data.ColumnMap`.
    whitening : {"full", "partial", "diagonal"}
        Whether correlations are removed before the base is fitted: all, by half, or not at all.
    validation_fraction : float
        Share of rows held out from all parts, to choose the state of training that is kept.
    kinds : dict or None
        What columns are, by name, where the cells do not tell: "continuous", "integer",
        "categorical" or "identifier".
    random_state : int, RandomState or None
        Seed of everything random; the same integer gives the same fit.
    verbose : bool
        Whether `fit` prints its progress, in lines on standard output.

    Attributes
    ----------
    chosen_ : Chosen
        What held-out rows chose: the base and its size, the marginal of every column, whether the
        residual energy was kept, with the scores of the candidates and of the stages.
    log_partition_ : LogPartition
        log Z of the model with interval, effective sample size and verdict (model units, nats).
    verdict_ : str
        What may be trusted, in words.
    model_ : Harmonium
        The fitted model, in model units. Without a residual energy its weights are 0.
    history_ : tuple of dict
        The training curve: log-likelihoods of points of the cells, data units, nats per row; empty
        where nothing was trained.
    held_out_ : HeldOut
        Score of the held-out rows, beside those of independent columns, of the Gaussian fit and of
        the base. Not stored in a saved model.
    diagnostics_ : ChainDiagnostics or None
        Chains of the fitted model from data, population and base: R-hat, effective sample size,
        autocorrelation time; None where nothing was trained. Not stored.
    kept_update_ : int
        The update after which the kept state stood; 0 is the base, or the start. Not stored.
    provenance_ : dict
        Where the fit comes from: versions, seed, digest of the training table, held-out figures,
        verdict.
    n_features_in_ : int
        Number of columns of the table.
    """

    def __init__(
        self,
        n_hidden: int = DensitySettings.n_hidden,
        feature_map: str | eqx.Module | Callable[..., Any] = DensitySettings.feature_map,
        *,
        effort: str = DensitySettings.effort,
        base: str | AbstractBase | type = DensitySettings.base,
        width: int = DensitySettings.width,
        hidden_units: str = DensitySettings.hidden_units,
        objective: str | AbstractObjective = DensitySettings.objective,
        kernel: str | AbstractKernel = DensitySettings.kernel,
        n_updates: int = DensitySettings.n_updates,
        time_budget: float | None = DensitySettings.time_budget,
        learning_rate: float | None = DensitySettings.learning_rate,
        batch_size: int = DensitySettings.batch_size,
        marginals: str | type = DensitySettings.marginals,
        whitening: str = DensitySettings.whitening,
        validation_fraction: float = DensitySettings.validation_fraction,
        kinds: dict[str, str] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ):
        self.n_hidden = n_hidden
        self.feature_map = feature_map
        self.effort = effort
        self.base = base
        self.width = width
        self.hidden_units = hidden_units
        self.objective = objective
        self.kernel = kernel
        self.n_updates = n_updates
        self.time_budget = time_budget
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.marginals = marginals
        self.whitening = whitening
        self.validation_fraction = validation_fraction
        self.kinds = kinds
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "DensityEstimator":
        """Fit to X (rows, columns): an array, a pandas or polars frame, or a `Table`.

        Raises `InvalidInputError` for input that cannot be used, naming column and row. Warns, and
        keeps the base alone, if training stays unstable.
        """
        table = as_table(X, call="DensityEstimator.fit(X)", kinds=self.kinds)
        return self.fit_table(table, container=container_of(X))

    def fit_table(
        self,
        table: Table,
        *,
        container: str = "array",
        report: Report | None = None,
    ) -> "DensityEstimator":
        """Fit to a table that is already read, sending each record of the history to `report`.

        `container` is what `sample` returns: "array", "pandas", "polars" or "pyarrow". Where
        `report` returns True training ends early.
        """
        self.settings_ = self.check_settings()
        own = self._split_parts()[1]
        with printing(verbose=self.verbose) as display:
            report = shown_too(display, self.settings_.n_updates, report)
            fitted = fit_density(table, self.settings_, own, report=report)
        self.density_, self.history_ = fitted.density, fitted.history
        self.held_out_, self.kept_update_ = fitted.held_out, fitted.kept_update
        self.diagnostics_, self.provenance_ = fitted.diagnostics, fitted.provenance
        self.container_ = container
        name_features(self, table.names)
        return self

    def check_settings(self) -> DensitySettings:
        """The settings of a fit; raises `InvalidInputError` for values that cannot be."""
        parameters: dict[str, Any] = given_settings(self) | self._split_parts()[0]
        return DensitySettings(**parameters)

    def score_samples(self, X: Any) -> np.ndarray:
        """The log-density log p(x) of each row, shape (rows,), in data units, nats.

        Columns of categories count with their probability. Of a row with missing cells it is the
        log-density of the observed ones. Warns where log Z is not to be trusted (`log_partition_`
        has its interval), and where some are not finite.
        """
        warn_unless(self._fitted().trusted, UNTRUSTED)
        values = self._values("score_samples", X)
        return self._fitted().log_density(values)

    def score(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Any = None
    ) -> float:
        """Mean log-density of the rows, in nats per row."""
        return float(np.mean(self.score_samples(X)))

    def free_energy(self, X: Any) -> np.ndarray:
        """F of each row in model units, shape (rows,), nats: ranks rows without any log Z."""
        return self._fitted().free_energy(self._values("free_energy", X))

    def transform(self, X: Any) -> np.ndarray:
        """E[h|x] of each row, shape (rows, n_hidden): for {0, 1} units, P(h = 1|x)."""
        return self._fitted().hidden_mean(self._values("transform", X))

    def sample(
        self,
        n: int = 1,
        given: Mapping[str, Any] | None = None,
        *,
        balance: str | None = None,
        keep_unseen: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Any:
        """Draw n rows in data units: an array (n, columns), or a frame like the one that `fit` was
        given.

        `given` fixes columns: {column: value}, {column: (low, high)}, None for an open end, or a
        set {column: {value, value}}, for categories also a list; the other columns are drawn given
        these, by importance resampling from the base. `balance` names a column of categories, of
        which each that training saw gets n/k of the rows, give or take one. Without both, chains
        start at weighted draws of the base, or are annealed from it; of a base alone the draws are
        exact. Of pairs of categories that no training row has only so many are
        kept as n rows may have missed (Good and Turing); `keep_unseen=True` keeps all.
        `random_state` defaults to that of the estimator. Raises `InvalidInputError` for what no
        row can be. Warns where the draws are not to be trusted; `draw_diagnostics_` holds their
        figures.
        """
        fitted, seed = self._fitted(), self._seed(random_state)
        if given is None and balance is None:
            rows, self.draw_diagnostics_ = fitted.sample(
                n, seed=seed, kernel=self._split_parts()[1].kernel, keep_unseen=keep_unseen
            )
        else:
            rows, self.draw_diagnostics_ = sample_given(
                fitted, n, given, balance=balance, keep_unseen=keep_unseen, seed=seed
            )
        warn_unless(self.draw_diagnostics_.trusted, self.draw_diagnostics_.verdict)
        return as_container(rows, fitted.columns, self.container_)

    @property
    def chosen_(self) -> Chosen:
        """What held-out rows chose: marginals, base and its size, whether the residual pays, with
        all scores.
        """
        return self._fitted().chosen

    @property
    def _n_features_out(self) -> int:
        return self._fitted().model.n_hidden

    def _card_facts(self) -> tuple[dict[str, Any], str, bool | None]:
        if not hasattr(self, "density_"):
            return NOT_FITTED
        facts = density_facts(self.density_, getattr(self, "held_out_", None))
        return facts, self.verdict_, self.density_.trusted

    def _split_parts(self) -> tuple[dict[str, str], OwnParts]:
        return split_parts({name: getattr(self, name) for name in PARTS})

    def _stored(self) -> StoredDensity:
        return StoredDensity(self._fitted(), self.settings_, self.container_, self.provenance_)

    def adopt(
        self,
        density: Density,
        settings: DensitySettings,
        container: str = "array",
        provenance: dict[str, Any] | None = None,
    ) -> "DensityEstimator":
        """Take over a fitted density, as loading does."""
        self.density_, self.settings_, self.container_ = density, settings, container
        self.provenance_ = provenance or {}
        self.history_: tuple[Record, ...] = ()
        name_features(self, density.columns.names)
        return self
