"""The commands that fit: fit, demo."""

from pathlib import Path
from typing import Annotated

import typer

from harmonium.cli.options import (
    DataArgument,
    JsonOption,
    OverwriteOption,
    SeedOption,
    TimeBudgetOption,
    parse_duration,
    parse_kinds,
)
from harmonium.cli.output import print_fit, print_json
from harmonium.cli.shell import app, errors

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.


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
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="What a column is, COLUMN=KIND: continuous, integer, categorical or identifier."
        ),
    ] = None,
    max_rows: Annotated[
        int, typer.Option(help="Rows to train on at most, drawn at random.", min=8)
    ] = 100_000,
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
    kinds = settings.pop("kinds", {}) | parse_kinds(kind or [])
    settings |= {name: value for name, value in given.items() if value is not None}

    from harmonium.cli.work import fit_run, make_detector, make_estimator
    from harmonium.data import sample_rows

    estimator = make_estimator(settings).set_params(kinds=kinds or None)
    drawing = settings.get("seed", 0)
    table, n_rows = sample_rows(data, max_rows, kinds=kinds, seed=drawing)
    if n_rows > table.n_rows:
        errors.print(f"{table.n_rows} of {n_rows} rows, drawn at random, are trained on")
    metrics = fit_run(
        estimator,
        table,
        output,
        errors,
        overwrite=overwrite,
        n_rows=n_rows,
        detector=make_detector(estimator, of_detector) if detector else None,
    )
    if as_json:
        print_json({"run": str(output), **metrics})
        return
    print(f"{n_rows} rows x {table.n_columns} columns -> {output}")
    print_fit(metrics)


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
