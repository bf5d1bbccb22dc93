"""The commands: parse, call, print, exit code (0 success, 1 failed work, 2 wrong usage)."""

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harmonium.cli.options import (
    DataArgument,
    JsonOption,
    ModelArgument,
    OverwriteOption,
    SeedOption,
    TimeBudgetOption,
    find_model,
    parse_duration,
)
from harmonium.errors import ArtifactError, HarmoniumError, HarmoniumWarning, InvalidInputError

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Densities, samples and scores from deep energy-based models with binary latent units.",
)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show the full traceback of an error.")] = False,
) -> None:
    """Options of every command."""


@app.command()
def fit(
    data: DataArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder to write.")],
    seed: SeedOption = 0,
    updates: Annotated[int, typer.Option(help="Parameter updates at most.", min=1)] = 3000,
    time_budget: TimeBudgetOption = None,
    hidden: Annotated[int, typer.Option(help="Number of hidden units.", min=1)] = 128,
    feature_map: Annotated[
        str, typer.Option(help="auto, identity, mlp, residual or fourier.")
    ] = "auto",
    objective: Annotated[
        str, typer.Option(help="likelihood, persistent or contrastive-divergence.")
    ] = "likelihood",
    tails: Annotated[str, typer.Option(help="auto, none or asinh.")] = "auto",
    whitening: Annotated[str, typer.Option(help="full or diagonal.")] = "full",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fit a density to a table and write a run folder.

    Example: harmonium fit table.csv -o run --time-budget 60s
    """
    from harmonium.cli.runs import check_output

    check_output(output, overwrite=overwrite)
    budget = parse_duration(time_budget)

    from harmonium.cli.work import fit_run
    from harmonium.data import read_table
    from harmonium.estimators import DensityEstimator

    estimator = DensityEstimator(
        n_hidden=hidden,
        feature_map=feature_map,
        objective=objective,
        n_updates=updates,
        time_budget=budget,
        tails=tails,
        whitening=whitening,
        random_state=seed,
    )
    table = read_table(data)
    metrics = fit_run(estimator, table, output, errors, overwrite=overwrite)
    if as_json:
        _print_json({"run": str(output), **metrics})
        return
    print(f"{table.n_rows} rows x {table.n_columns} columns -> {output}")
    held_out = metrics["held_out"]
    print(
        f"log-likelihood of {held_out['n_rows']} held-out rows: {held_out['log_likelihood']:.3f} "
        f"± {1.96 * held_out['standard_error']:.3f} nats per row; "
        f"of the Gaussian start: {held_out['gaussian']:.3f}"
    )
    print(metrics["verdict"])


@app.command()
def score(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table to write: CSV, Parquet or NPY.")
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Log-density of every row of a table, in nats and data units.

    Example: harmonium score run table.csv -o scores.csv
    """
    estimator, table = _load_with_data(model, data, output, overwrite=overwrite)
    log_density = estimator.score_samples(table)
    free_energy = estimator.free_energy(table)
    if output is not None:
        _write(output, ["log_density", "free_energy"], [log_density, free_energy])
    if as_json:
        summary = {"rows": len(log_density), "mean_log_density": float(log_density.mean())}
        rows = {} if output is not None else {"log_density": log_density.tolist()}
        _print_json({**summary, "verdict": estimator.verdict_, **rows})
    elif output is None:
        sys.stdout.write("log_density\n" + "".join(f"{value:.6g}\n" for value in log_density))
    else:
        print(f"{len(log_density)} rows -> {output}; mean {log_density.mean():.3f} nats per row")
    if not as_json:
        errors.print(estimator.verdict_)


@app.command()
def sample(
    model: ModelArgument,
    n: Annotated[int, typer.Option("-n", "--rows", help="Rows to draw.", min=1)] = 100,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table to write: CSV, Parquet or NPY.")
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw rows from a fitted density.

    Example: harmonium sample run -n 1000 -o new.csv
    """
    estimator, _ = _load_with_data(model, None, output, overwrite=overwrite)
    rows = estimator.sample(n, random_state=seed)
    names = list(estimator.density_.columns.names)
    integer = estimator.density_.columns.is_integer.tolist()
    if output is None:
        sys.stdout.write(",".join(names) + "\n")
        for row in rows:
            cells = zip(row, integer, strict=True)
            sys.stdout.write(",".join(f"{v:.0f}" if whole else f"{v:.9g}" for v, whole in cells))
            sys.stdout.write("\n")
    else:
        _write(output, names, list(rows.T), integer)
        print(f"{n} rows -> {output}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder to write.")] = Path(
        "demo-run"
    ),
    seed: SeedOption = 0,
    time_budget: TimeBudgetOption = "110s",
    overwrite: OverwriteOption = False,
) -> None:
    """Fit the handwritten digits that scikit-learn ships, with pictures and two yardsticks.

    Example: harmonium demo -o demo-run
    """
    from harmonium.cli.runs import check_output

    check_output(output, overwrite=overwrite)
    budget = parse_duration(time_budget)

    from harmonium.cli.demo import run_demo

    run_demo(output, errors, seed=seed, time_budget=budget, overwrite=overwrite)


def run(arguments: list[str] | None = None) -> None:
    """Run a command and exit; errors are told in a line or two, and with a traceback on --debug."""
    arguments = sys.argv[1:] if arguments is None else arguments
    warnings.simplefilter("always", HarmoniumWarning)
    warnings.showwarning = _show_warning
    try:
        app(args=arguments, prog_name="harmonium")
    except Exception as error:
        if "--debug" in arguments:
            raise
        sys.exit(_report(error))


def _report(error: Exception) -> int:
    """Print an error for people and return the exit code."""
    if isinstance(error, InvalidInputError | ArtifactError):
        errors.print(f"error: {error}", markup=False)
        return 2
    if isinstance(error, HarmoniumError):
        errors.print(f"error: {error}", markup=False)
        return 1
    text = f"error: {type(error).__name__}: {error}. Try: `harmonium --debug ...` for the details."
    errors.print(text, markup=False)
    return 1


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    errors.print(f"warning: {message}", markup=False)


def _load_with_data(
    model: Path, data: Path | None, output: Path | None, *, overwrite: bool
) -> tuple[Any, Any]:
    """The estimator and its table, after checking that the output may be written."""
    from harmonium.cli.runs import check_output

    if output is not None:
        check_output(output, overwrite=overwrite)
    from harmonium.data import read_table
    from harmonium.estimators import load

    estimator = load(find_model(model))
    columns = estimator.density_.columns.names
    return estimator, None if data is None else read_table(data, columns=columns)


def _write(
    output: Path, names: list[str], values: list[Any], integer: list[bool] | None = None
) -> None:
    import numpy as np

    from harmonium.data import write_table

    write_table(output, names, np.stack(values, axis=1), integer=integer)


def _print_json(value: dict[str, Any]) -> None:
    from harmonium.cli.runs import to_json

    print(json.dumps(to_json(value)))
