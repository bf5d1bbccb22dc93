"""`Imputer`: missing cells filled from a fitted density."""

import logging
import warnings
from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from harmonium.data import Table, as_table, container_of
from harmonium.errors import HarmoniumWarning, InvalidInputError, describe
from harmonium.estimators.cards import NOT_FITTED, ShowsCard, density_facts
from harmonium.estimators.containers import TakesTables, fill_container
from harmonium.estimators.density import DensityEstimator
from harmonium.estimators.seeds import as_seed, name_features
from harmonium.estimators.trees import Trees
from harmonium.inference import Density, draw_completions, expect_cells, settle
from harmonium.inference.expectation import Expectation
from harmonium.inference.missingness import compare_holes, describe_holes
from harmonium.inference.progress import printing

_log = logging.getLogger(__name__)

# More rows make trees no better than the time they take.
MOST_ROWS = 5000
LOSSES = ("squared", "absolute")


class Imputer(TakesTables, ShowsCard, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill missing cells with what a fitted density, and trees on the rows that it completes, say
    of them given the other cells of their row.

    The density is fitted to the incomplete table itself; cells have to be missing at random (Rubin
    1976): whether a cell is missing may depend on what is observed, but not on the cell. `draws`
    gives completed tables whose filled cells differ by their uncertainty, for multiple imputation
    (Rubin 1987).

    Parameters
    ----------
    n_draws : int
        Completed tables that `draws` returns.
    loss : {"squared", "absolute"}
        What a filled number keeps small: the squared error (conditional means) or the absolute one
        (conditional medians, by the density alone). Categories are the most probable ones.
    n_trees : int
        Trees of every column, whose mean with the density fills better than either; 0 fills by the
        density alone. Draws are those of the density.
    estimator : DensityEstimator or None
        What to fit; a clone of it is fitted, or one of effort "quick". Its `kinds` says what
        columns are, and its `effort` how long the fit may take.
    random_state : int, RandomState or None
        Seed of the draws and of the trees; that of the fit is the estimator's.
    verbose : bool
        Whether `fit` prints its progress, in lines on standard output.

    Attributes
    ----------
    estimator_ : DensityEstimator
        The fitted density, with its `verdict_`.
    ess_ : float
        Smallest effective sample size of the weighted draws that the cells of a row were taken
        from, in the last `transform` or `draws`; infinite where all are in closed form, NaN
        where no cell was missing.
    hole_differences_ : tuple of HoleDifference
        Columns with holes where other columns are higher or lower than elsewhere: these holes are
        not completely at random. `fit` warns of them.
    n_features_in_ : int
        Number of columns of the table.
    """

    def __init__(
        self,
        n_draws: int = 64,
        *,
        loss: str = "squared",
        n_trees: int = 40,
        estimator: DensityEstimator | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ):
        self.n_draws = n_draws
        self.loss = loss
        self.n_trees = n_trees
        self.estimator = estimator
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> "Imputer":
        """Fit a density to X (rows, columns), an array or a frame, with or without missing
        cells.
        """
        self._check_parameters()
        estimator = self._new_estimator()
        table = as_table(X, call="Imputer.fit(X)", kinds=estimator.kinds)
        with printing(verbose=self.verbose):
            fitted = estimator.fit_table(table, container=container_of(X))
            return self.adopt(fitted, table.values)

    def transform(self, X: Any) -> Any:
        """X with missing cells filled: the conditional mean of numbers, the most probable category;
        a table like X.

        In a frame, numbers have the decimals of their column, and whole numbers and dates lie on
        its lattice. Columns of few numbers get the one nearest to the mean. Known cells stay as
        they are.
        """
        table = self._table("transform", X)
        filled = self._fill(table, as_cells=container_of(X) != "array")
        return fill_container(X, filled, self._fitted().columns)

    def draws(self, X: Any) -> Any:
        """`n_draws` completed tables: an array (draws, rows, columns), or a list of tables like X
        unless all are numbers.

        Missing cells are draws given the known ones; analyze each table and pool the results.
        """
        completed = self.draw_tables(self._table("draws", X), self.n_draws)
        numbers = all(field.is_number for field in self._fitted().columns.fields)
        if container_of(X) == "array" and numbers:
            return completed
        return [fill_container(X, rows, self._fitted().columns) for rows in completed]

    def fill(self, table: Table) -> np.ndarray:
        """The values of a table that is already read, missing cells filled as `transform` does."""
        return self._fill(table, as_cells=True)

    def draw_tables(self, table: Table, n_draws: int) -> np.ndarray:
        """The values of a table that is already read, completed by draws, (draws, rows,
        columns).
        """
        completed = np.tile(table.values, (n_draws, 1, 1))
        for batch in self._completions(table, n_draws):
            completed[:, batch.rows] = batch.draws
        return completed

    def adopt(self, estimator: DensityEstimator, values: np.ndarray | None = None) -> "Imputer":
        """Take over a density that is fitted already, and rows (rows, columns) to grow trees on;
        without rows the density fills alone.
        """
        self._check_parameters()
        self.estimator_, self._trees = estimator, None
        density, seed = estimator.density_, as_seed(self.random_state)
        n_columns = len(density.columns.names)
        cells = np.empty((0, n_columns)) if values is None else values
        self._rows, self._expectation = cells[:0], None
        if len(cells) and self.n_trees:
            _log.info("growing trees")
            some = np.sort(np.random.default_rng(seed).permutation(len(cells))[:MOST_ROWS])
            self._rows = cells[some]
            self._expectation = expect_cells(density, self._rows, "squared", seed=seed)
            self._trees = Trees.of_rows(density, self._rows, self._expectation, self.n_trees, seed)
        holes = np.isnan(cells[:, density.columns.modeled_index])
        self._shares = 1 - holes.sum(axis=0) / max(len(cells), 1)
        self.hole_differences_ = compare_holes(density.coordinates.marginals, cells)
        if self.hole_differences_:
            found = describe_holes(self.hole_differences_)
            warnings.warn(
                f"Imputer: cells are not missing completely at random: {found}. Fills are right "
                "where holes depend on observed cells alone, and not on the hidden ones",
                HarmoniumWarning,
                stacklevel=2,
            )
        name_features(self, density.columns.names)
        return self

    def _new_estimator(self) -> DensityEstimator:
        if self.estimator is None:
            return DensityEstimator(effort="quick")
        if not isinstance(self.estimator, DensityEstimator):
            got = type(self.estimator).__name__
            raise InvalidInputError(
                describe("Imputer(estimator=...)", expected="a DensityEstimator or None", got=got)
            )
        return cast(DensityEstimator, clone(self.estimator))

    def _fill(self, table: Table, *, as_cells: bool) -> np.ndarray:
        self._check_parameters()
        density, expected = self._fitted(), self._expect(table.values)
        self.ess_ = float(expected.ess.min(initial=np.inf)) if len(expected.ess) else float("nan")
        filled = settle(density, table.values, expected.cells, as_cells=as_cells)
        if self._trees is None or self.loss == "absolute":
            return filled
        better = self._trees.improve(filled, expected.cells)
        return settle(density, table.values, better, as_cells=as_cells)

    def _expect(self, values: np.ndarray) -> Expectation:
        """What the density expects; of the training rows it is known already."""
        is_known = self.loss == "squared" and np.array_equal(values, self._rows, equal_nan=True)
        if is_known and self._expectation is not None:
            return self._expectation
        return expect_cells(self._fitted(), values, self.loss, seed=as_seed(self.random_state))

    def _completions(self, table: Table, n_draws: int):
        self._check_parameters()
        self.ess_ = float("nan")
        seed = as_seed(self.random_state)
        density, shares = self._fitted(), self._shares
        for batch in draw_completions(density, table.values, n_draws, seed=seed, shares=shares):
            self.ess_ = float(np.fmin(self.ess_, batch.ess.min()))
            yield batch

    def _check_parameters(self) -> None:
        if self.loss not in LOSSES:
            raise _refused("loss", f"one of {LOSSES}", repr(self.loss))
        for name, least in (("n_draws", 1), ("n_trees", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < least:
                raise _refused(name, f"a whole number of at least {least}", repr(value))

    def _card_facts(self) -> tuple[dict[str, Any], str, bool | None]:
        if not hasattr(self, "estimator_"):
            return NOT_FITTED
        density = self.estimator_.density_
        found = self.hole_differences_
        holes = {"holes not at random in": f"{len(found)} columns"} if found else {}
        return density_facts(density) | holes, self.estimator_.verdict_, density.trusted

    def _fitted(self) -> Density:
        check_is_fitted(self, "estimator_")
        return self.estimator_.density_


def _refused(name: str, expected: str, got: str) -> InvalidInputError:
    return InvalidInputError(describe(f"Imputer({name}=...)", expected=expected, got=got))
