"""The commands: parse, call, print, exit code (0 success, 1 failed work, 2 wrong usage)."""

import csv
import sys
import traceback
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
from harmonium.cli.output import (
    decoded_rows,
    draw_figures,
    evaluation_figures,
    print_csv,
    print_fit,
    print_json,
    sample_fields,
    write_columns_of,
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
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of settings, like a run's config.toml; options go first."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random [0].")] = None,
    updates: Annotated[int | None, typer.Option(help="Parameter updates at most [3000].")] = None,
    time_budget: TimeBudgetOption = None,
    hidden: Annotated[int | None, typer.Option(help="Number of hidden units [128].")] = None,
    feature_map: Annotated[
        str | None, typer.Option(help="auto, identity, mlp, residual or fourier [auto].")
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="likelihood, warm-started-likelihood, persistent, contrastive-divergence, "
            "score-matching or noise-contrastive [likelihood]."
        ),
    ] = None,
    tails: Annotated[str | None, typer.Option(help="auto, none or asinh [auto].")] = None,
    whitening: Annotated[str | None, typer.Option(help="full, partial or diagonal [full].")] = None,
    detector: Annotated[
        bool, typer.Option(help="Also fit the anomaly detector that `detect` needs.")
    ] = True,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fit a density to a table and write a run folder.

    Example: harmonium fit table.csv -o run --time-budget 60s
    """
    from harmonium.cli.runs import check_run_output, read_config

    check_run_output(output, overwrite=overwrite)
    given = {
        "seed": seed,
        "n_updates": updates,
        "time_budget": parse_duration(time_budget),
        "n_hidden": hidden,
        "feature_map": feature_map,
        "objective": objective,
        "tails": tails,
        "whitening": whitening,
    }
    settings = {} if config is None else read_config(config)
    of_detector = settings.pop("detector", {})
    settings |= {name: value for name, value in given.items() if value is not None}

    from harmonium.cli.work import fit_run, make_detector, make_estimator
    from harmonium.data import read_table

    estimator = make_estimator(settings)
    table = read_table(data)
    metrics = fit_run(
        estimator,
        table,
        output,
        errors,
        overwrite=overwrite,
        detector=make_detector(estimator, of_detector) if detector else None,
    )
    if as_json:
        print_json({"run": str(output), **metrics})
        return
    print(f"{table.n_rows} rows x {table.n_columns} columns -> {output}")
    print_fit(metrics)


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
        write_columns_of(output, ["log_density", "free_energy"], [log_density, free_energy])
    if as_json:
        summary = {"rows": len(log_density), "mean_log_density": float(log_density.mean())}
        rows = {} if output is not None else {"log_density": log_density.tolist()}
        print_json({**summary, "verdict": estimator.verdict_, **rows})
    elif output is None:
        sys.stdout.write("log_density\n" + "".join(f"{value:.6g}\n" for value in log_density))
    else:
        print(f"{len(log_density)} rows -> {output}; mean {log_density.mean():.3f} nats per row")
    if not as_json:
        errors.print(estimator.verdict_)


@app.command()
def detect(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table to write: CSV or Parquet.")
    ] = None,
    fdr: Annotated[
        float, typer.Option(help="False-discovery rate of the flagged rows, in (0, 1).")
    ] = 0.05,
    explain: Annotated[int, typer.Option(help="Reasons per row: its worst cells.", min=0)] = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Anomaly score, log-density, p-value, flag and reasons of every row of a table.

    Rows are flagged at the false-discovery rate. Example: harmonium detect run new.csv --explain 3 -o out.csv
    """
    from harmonium.cli.runs import MIXED_SUFFIXES, check_table_output

    if output is not None:
        check_table_output(output, overwrite=overwrite, suffixes=MIXED_SUFFIXES)
    from harmonium.cli.detect import Detection, detect_rows

    found: Detection = detect_rows(model, data, fdr=fdr, n_reasons=explain)
    n_flagged = int(found.flagged.sum())
    if output is not None:
        from harmonium.data import write_columns

        write_columns(output, found.columns)
    summary = {"rows": found.n_rows, "flagged": n_flagged, "fdr": fdr, "verdict": found.verdict}
    if as_json:
        rows = {} if output is not None else {n: list(v) for n, v in found.columns.items()}
        print_json({**summary, **rows})
        return
    if output is None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(found.columns)
        writer.writerows(zip(*(list(v) for v in found.columns.values()), strict=True))
    else:
        print(f"{found.n_rows} rows -> {output}; {n_flagged} flagged at FDR {fdr:g}")
    errors.print(found.verdict)


@app.command()
def evaluate(
    model: ModelArgument,
    data: DataArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Table of rows to write: CSV, Parquet or NPY."),
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Held-out log-likelihood with its interval, chain diagnostics and a verdict.

    The rows must not be those of the fit. Example: harmonium evaluate run test.csv
    """
    estimator, table = _load_with_data(model, data, output, overwrite=overwrite)

    from harmonium.inference import evaluate_density

    found = evaluate_density(estimator.density_, table.values, seed=seed)
    if output is not None:
        columns = [found.log_density, found.row_low, found.row_high]
        write_columns_of(output, ["log_density", "low", "high"], columns)
    if as_json:
        print_json(evaluation_figures(found))
        return
    log_partition = found.log_partition
    gain = found.log_likelihood - found.gaussian
    print(
        f"log-likelihood of {found.n_rows} rows: {found.log_likelihood:.3f} nats per row, 95 % "
        f"interval [{found.low:.3f}, {found.high:.3f}]"
    )
    print(f"Gaussian start: {found.gaussian:.3f}; gain {gain:+.3f}")
    print(
        f"log Z: {log_partition.value:.3f} [{log_partition.low:.3f}, {log_partition.high:.3f}] by "
        f"{log_partition.method}"
    )
    print(found.verdict)


@app.command()
def sample(
    model: ModelArgument,
    n: Annotated[int, typer.Option("-n", "--rows", help="Rows to draw.", min=1)] = 100,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Table to write: CSV, Parquet or NPY.")
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw rows from a fitted density.

    Example: harmonium sample run -n 1000 -o new.csv
    """
    estimator, _ = _load_with_data(model, None, output, overwrite=overwrite)
    rows, diagnostics = estimator.density_.sample(n, seed=seed)
    fields = sample_fields(estimator.density_.columns)
    if output is not None:
        from harmonium.data import write_table

        write_table(output, rows, fields)
    if as_json:
        names = [field.name for field in fields]
        drawn = {} if output is not None else {"columns": names, "rows": decoded_rows(rows, fields)}
        print_json({"n": n, **draw_figures(diagnostics), "verdict": estimator.verdict_, **drawn})
        return
    if output is None:
        print_csv(rows, fields)
    else:
        print(f"{n} rows -> {output}")
    errors.print(
        f"{diagnostics.kernel} chains: acceptance {diagnostics.acceptance:.2f}, effective sample "
        f"size {diagnostics.ess:.0f}, {diagnostics.n_ancestors} distinct ancestors. "
        f"{diagnostics.verdict}"
    )


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
    from harmonium.cli.runs import check_run_output

    check_run_output(output, overwrite=overwrite)
    budget = parse_duration(time_budget)

    from harmonium.cli.demo import run_demo

    run_demo(output, errors, seed=seed, time_budget=budget, overwrite=overwrite)


def run(arguments: list[str] | None = None) -> None:
    """Run a command and exit; errors are told in a line or two, and with a traceback on --debug."""
    arguments = sys.argv[1:] if arguments is None else arguments
    warnings.simplefilter("always", HarmoniumWarning)
    warnings.showwarning = _show_warning
    debug = "--debug" in arguments
    try:
        app(args=[word for word in arguments if word != "--debug"], prog_name="harmonium")
    except Exception as error:
        if debug:
            traceback.print_exc()
        sys.exit(_report(error))


def _report(error: Exception) -> int:
    """Print an error for people and return the exit code."""
    if isinstance(error, InvalidInputError | ArtifactError):
        errors.print(f"error: {error}", markup=False)
        return 2
    if isinstance(error, HarmoniumError):
        errors.print(f"error: {error}", markup=False)
        return 1
    text = f"error: {type(error).__name__}: {error}. Try: --debug for the details."
    errors.print(text, markup=False)
    return 1


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    errors.print(f"warning: {message}", markup=False)


def _load_with_data(
    model: Path, data: Path | None, output: Path | None, *, overwrite: bool
) -> tuple[Any, Any]:
    """The estimator and its table, after checking that the output may be written."""
    from harmonium.cli.runs import check_table_output

    if output is not None:
        check_table_output(output, overwrite=overwrite)
    from harmonium.data import read_table
    from harmonium.estimators import DensityEstimator, load

    estimator = load(find_model(model))
    if not isinstance(estimator, DensityEstimator):
        raise InvalidInputError(
            f"{model} holds a detector, not a density. Try: the run folder, or its model.safetensors."
        )
    fields = estimator.density_.columns.fields
    return estimator, None if data is None else read_table(data, fields=fields)
