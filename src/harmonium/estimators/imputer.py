"""`Imputer`: missing cells filled from a fitted density."""

from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from harmonium.data import Table, as_table, container_of
from harmonium.errors import InvalidInputError, describe
from harmonium.estimators.containers import fill_container, take_mixed_tables
from harmonium.estimators.density import DensityEstimator
from harmonium.estimators.seeds import as_seed, name_features
from harmonium.inference import Density, draw_completions, summarize


class Imputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill missing cells with what a fitted density says of them given the other cells of their
    row.

    The density is fitted to the incomplete table itself. What is known only roughly stays so:
    `draws` gives completed tables that differ in the filled cells as much as is not known of them,
    for multiple imputation (Rubin 1987).

    Parameters
    ----------
    n_draws : int
        Completed tables that `draws` returns, and draws that `transform` takes the mean of.
    estimator : DensityEstimator or None
        What to fit; a clone of it is fitted, or a default one. Its `kinds` says what columns are,
        and its `effort` how long the fit may take.
    random_state : int, RandomState or None
        Seed of the draws; that of the fit is the estimator's.

    Attributes
    ----------
    estimator_ : DensityEstimator
        The fitted density, with its `verdict_`.
    ess_ : float
        Smallest effective sample size of the weighted draws that the cells of a row were taken
        from, in the last `transform` or `draws`; NaN where no cell was missing.
    n_features_in_ : int
        Number of columns of the table.
    """

    def __init__(
        self,
        n_draws: int = 64,
        *,
        estimator: DensityEstimator | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ):
        self.n_draws = n_draws
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "Imputer":
        """Fit a density to X (rows, columns), an array or a frame, with or without missing
        cells.
        """
        self._check_n_draws()
        estimator = self._new_estimator()
        table = as_table(X, call="Imputer.fit(X)", kinds=estimator.kinds)
        self.estimator_ = estimator.fit_table(table, container=container_of(X))
        name_features(self, table.names)
        return self

    def transform(self, X: Any) -> Any:
        """X with missing cells filled: the conditional mean of numbers, the most probable category;
        a table like X.

        Columns whose marginal compresses the tails get the conditional median, for their mean hangs
        on few draws. In a frame, whole numbers and dates are rounded to the lattice of their
        column. Known cells stay as they are.
        """
        table = self._table("transform", X)
        filled = self._fill(table, self.n_draws, whole=container_of(X) != "array")
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
        return self._fill(table, self.n_draws, whole=True)

    def draw_tables(self, table: Table, n_draws: int) -> np.ndarray:
        """The values of a table that is already read, completed by draws, (draws, rows,
        columns).
        """
        completed = np.tile(table.values, (n_draws, 1, 1))
        for batch in self._completions(table, n_draws):
            completed[:, batch.rows] = batch.draws
        return completed

    def adopt(self, estimator: DensityEstimator) -> "Imputer":
        """Take over a density that is fitted already."""
        self.estimator_ = estimator
        name_features(self, estimator.density_.columns.names)
        return self

    def __sklearn_tags__(self):
        """Missing cells and text are welcome."""
        return take_mixed_tables(super().__sklearn_tags__())

    def _new_estimator(self) -> DensityEstimator:
        if self.estimator is None:
            return DensityEstimator()
        if not isinstance(self.estimator, DensityEstimator):
            got = type(self.estimator).__name__
            raise InvalidInputError(
                describe("Imputer(estimator=...)", expected="a DensityEstimator or None", got=got)
            )
        return cast(DensityEstimator, clone(self.estimator))

    def _fill(self, table: Table, n_draws: int, *, whole: bool) -> np.ndarray:
        filled = np.array(table.values)
        for batch in self._completions(table, n_draws):
            means = summarize(self._fitted(), batch.draws)
            if whole:
                means = self._on_lattice(means)
            filled[batch.rows] = np.where(np.isnan(filled[batch.rows]), means, filled[batch.rows])
        return filled

    def _on_lattice(self, means: np.ndarray) -> np.ndarray:
        """Means (rows, columns) with whole numbers and dates on the lattice of their column."""
        columns = self._fitted().columns
        lattice = [field.form in ("integer", "datetime") for field in columns.fields]
        at = np.flatnonzero(lattice & (columns.step > 0))
        offset, step = columns.offset[at], columns.step[at]
        means[:, at] = offset + step * np.round((means[:, at] - offset) / step)
        return means

    def _completions(self, table: Table, n_draws: int):
        self._check_n_draws()
        self.ess_ = float("nan")
        seed = as_seed(self.random_state)
        for batch in draw_completions(self._fitted(), table.values, n_draws, seed=seed):
            self.ess_ = float(np.fmin(self.ess_, batch.ess.min()))
            yield batch

    def _check_n_draws(self) -> None:
        whole = isinstance(self.n_draws, int | np.integer) and not isinstance(self.n_draws, bool)
        if not whole or self.n_draws < 1:
            raise InvalidInputError(
                describe(
                    "Imputer(n_draws=...)",
                    expected="a whole number of at least 1",
                    got=repr(self.n_draws),
                )
            )

    def _fitted(self) -> Density:
        check_is_fitted(self, "estimator_")
        return self.estimator_.density_

    def _table(self, method: str, X: Any) -> Table:
        fields = self._fitted().columns.fields
        return as_table(X, call=f"Imputer.{method}(X)", fields=fields)
