"""The commands that fit: fit, demo."""

from pathlib import Path
from typing import Annotated

import typer

from harmonium.cli.options import (
    INTERRUPTED,
    DataArgument,
    JsonOption,
    OverwriteOption,
    SeedOption,
    TimeBudgetOption,
    check_log_to,
    existing,
    parse_duration,
    parse_kinds,
)
from harmonium.cli.output import print_fit, print_json
from harmonium.cli.processes import Machines
from harmonium.cli.shell import app, errors, silence
from harmonium.cli.tables import reads_tables

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.


@app.command()
@reads_tables("data")
def fit(
    data: DataArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Run folder to write.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Run folder of a fit that was ended early, to go on with; in place of -o.",
            callback=existing,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of settings, like a run's config.toml; options go first.",
            callback=existing,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random.", show_default="0")
    ] = None,
    updates: Annotated[
        int | None, typer.Option(help="Parameter updates at most.", show_default="1500")
    ] = None,
    time_budget: TimeBudgetOption = None,
    effort: Annotated[
        str | None,
        typer.Option(
            help="quick trains nothing on top of the base; normal; thorough trains longer.",
            show_default="normal",
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="auto, gaussian or mixture.", show_default="auto")
    ] = None,
    marginals: Annotated[
        str | None,
        typer.Option(
            help="Of columns of numbers: auto, affine, asinh or mixture.", show_default="auto"
        ),
    ] = None,
    hidden: Annotated[
        int | None, typer.Option(help="Number of hidden units.", show_default="128")
    ] = None,
    feature_map: Annotated[
        str | None,
        typer.Option(help="auto, identity, mlp, residual or fourier.", show_default="auto"),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="auto, likelihood, warm-started-likelihood, persistent, "
            "contrastive-divergence, score-matching or noise-contrastive.",
            show_default="auto",
        ),
    ] = None,
    whitening: Annotated[
        str | None, typer.Option(help="full, partial or diagonal.", show_default="full")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="What a column is, COLUMN=KIND: continuous, integer, categorical or identifier."
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            help="A column that is not modeled; later tables may have it or lack it.",
            metavar="COLUMN",
        ),
    ] = None,
    max_rows: Annotated[
        int | None,
        typer.Option(
            help="Rows in memory at once, drawn at random; of longer tables, others take their place during training.",
            min=8,
            show_default="100000",
        ),
    ] = None,
    detector: Annotated[
        bool, typer.Option(help="Also fit the anomaly detector that `detect` needs.")
    ] = True,
    contamination: Annotated[
        float | None,
        typer.Option(help="Share of abnormal rows in the table, at most 0.5.", show_default="none"),
    ] = None,
    report: Annotated[
        bool | None,
        typer.Option(
            help="Also write report.html, which needs the extra `report`.",
            show_default="on, or as the run was begun",
        ),
    ] = None,
    log_to: Annotated[
        str | None, typer.Option(help="tensorboard: also write the curves to RUN/tensorboard.")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(help="Devices to split chains and batches over.", min=1, show_default="1"),
    ] = None,
    distributed: Annotated[
        bool,
        typer.Option(
            "--distributed",
            help="This is one of several processes that Slurm, Open MPI or Kubernetes has started.",
        ),
    ] = False,
    coordinator: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of process 0, for several processes without a cluster that knows."
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="With --coordinator: number of processes.", min=1)
    ] = None,
    process: Annotated[
        int | None, typer.Option(help="With --coordinator: number of this process, from 0.", min=0)
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fit a density to a table and write a run folder.

    Held-out rows choose marginals of the columns, a base, and whether a residual energy with hidden
    units pays; what was chosen is printed, and stands in metrics.json and in the report. --effort
    quick is an answer in seconds.

    Ctrl-C ends training with the model so far. A fit that was ended, by whatever, goes on with
    --resume RUN.

    Several processes of one fit are called alike, read the same table and share a file system;
    process 0 writes the run and speaks. --resume may change the number of devices and processes.

    Example: harmonium fit table.csv -o run --time-budget 60s
    """
    given = {
        "seed": seed,
        "n_updates": updates,
        "time_budget": parse_duration(time_budget),
        "effort": effort,
        "base": base,
        "marginals": marginals,
        "n_hidden": hidden,
        "feature_map": feature_map,
        "objective": objective,
        "whitening": whitening,
        "max_rows": max_rows,
        "kinds": parse_kinds(kind or [], drop or []) or None,
        "contamination": contamination,
    }
    given = {name: value for name, value in given.items() if value is not None}
    logs = check_log_to(log_to)
    machines = Machines(devices, distributed, coordinator, processes, process)

    from harmonium.cli.plans import begin, go_on

    if resume is not None:
        refused = [*given, *(["config"] if config else []), *(["output"] if output else [])]
        plan = go_on(resume, refused, detector=detector, report=report)
    else:
        plan = begin(output, config, given, detector=detector, report=report, overwrite=overwrite)

    from harmonium.cli.progress import showing
    from harmonium.cli.work import fit_run, follow_run

    with machines.used() as is_first, showing(errors if is_first else silence) as display:
        run = plan.read(data, display.console, logs=logs)
        if not is_first:
            follow_run(run)
            return
        metrics, fitted = fit_run(run, display)
    if as_json:
        print_json({"run": str(run.output), **metrics})
    else:
        print(f"{metrics['rows']} rows x {run.table.n_columns} columns -> {run.output}")
        print_fit(metrics, fitted.density.chosen)
    if metrics["stopped"]:
        errors.print(run.hint)
        raise typer.Exit(INTERRUPTED)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder to write.")] = Path(
        "demo-run"
    ),
    seed: SeedOption = 0,
    time_budget: TimeBudgetOption = "110s",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fit the handwritten digits that scikit-learn ships, with a picture and two baselines.

    Example: harmonium demo -o demo-run
    """
    from harmonium.cli.runs import check_run_output
    from harmonium.report.extra import require_packages

    require_packages("harmonium demo")
    check_run_output(output, overwrite=overwrite)
    budget = parse_duration(time_budget)

    from harmonium.cli.demo import print_demo, run_demo
    from harmonium.cli.progress import showing

    hint = f"for the whole demo: harmonium demo -o {output} --overwrite"
    with showing(errors) as display:
        metrics = run_demo(output, display, seed=seed, time_budget=budget, hint=hint)
    if as_json:
        print_json({"run": str(output), **metrics})
    else:
        print_demo(metrics, output)
    if metrics["stopped"]:
        errors.print(hint)
        raise typer.Exit(INTERRUPTED)
