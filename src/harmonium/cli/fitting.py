"""The commands that fit: fit, demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.options import (
    INTERRUPTED,
    DataArgument,
    JsonOption,
    OverwriteOption,
    SeedOption,
    TimeBudgetOption,
    check_log_to,
    default_is,
    existing,
    parse_duration,
    parse_kinds,
)
from harmonium.cli.output import print_json
from harmonium.cli.processes import Machines
from harmonium.cli.runs import check_run_output
from harmonium.cli.shell import command, errors, progress, silence
from harmonium.cli.tables import reads_tables
from harmonium.errors import InvalidInputError
from harmonium.report.extra import require_packages

if TYPE_CHECKING:
    from harmonium.cli import beside, fit_summary, images, plans, work
    from harmonium.cli import demo as digits
    from harmonium.cli import progress as live
else:
    beside = Later("harmonium.cli.beside")
    digits = Later("harmonium.cli.demo")
    fit_summary = Later("harmonium.cli.fit_summary")
    images = Later("harmonium.cli.images")
    live = Later("harmonium.cli.progress")
    plans = Later("harmonium.cli.plans")
    work = Later("harmonium.cli.work")

# Headings of the help of `fit`.
MODEL, DETECTOR, CLUSTER = "Model", "Detector and report", "Devices and clusters"


@command
@reads_tables("data")
def fit(
    data: DataArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help=f"Run folder to write. {default_is('NAME-run for a table NAME')}"
        ),
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            help="quick trains nothing on top of the base and takes seconds; normal; thorough "
            f"trains longer. {default_is('normal')}"
        ),
    ] = None,
    time_budget: TimeBudgetOption = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            "--id", help="Column that names rows: it is never modeled, and `detect` shows it."
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="State the kind of a column, COLUMN=KIND: continuous, integer, categorical or "
            "identifier. May be repeated."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Seed of everything random. {default_is(0)}")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with the fit in this run folder that was ended early.", callback=existing
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of settings, like a run's config.toml. Options override its settings.",
            callback=existing,
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
            help="Hold at most so many rows in memory, drawn at random; training takes the other "
            f"rows of a longer table in turn. {default_is(100_000)}",
            min=8,
        ),
    ] = None,
    image: Annotated[
        bool,
        typer.Option(
            "--image",
            help="DATA are images: an NPY file (rows, height, width[, channels]) of whole levels, "
            "or a folder of PNG files.",
        ),
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    base: Annotated[
        str | None,
        typer.Option(
            help=f"auto, gaussian or mixture. {default_is('auto')}", rich_help_panel=MODEL
        ),
    ] = None,
    marginals: Annotated[
        str | None,
        typer.Option(
            help="What makes columns of numbers normal: auto, affine, asinh or mixture. "
            f"{default_is('auto')}",
            rich_help_panel=MODEL,
        ),
    ] = None,
    whitening: Annotated[
        str | None,
        typer.Option(
            help="How far correlations are removed before the base is fitted: full, partial or "
            f"diagonal. {default_is('full')}",
            rich_help_panel=MODEL,
        ),
    ] = None,
    hidden: Annotated[
        int | None,
        typer.Option(help=f"Number of hidden units. {default_is(128)}", rich_help_panel=MODEL),
    ] = None,
    feature_map: Annotated[
        str | None,
        typer.Option(
            help=f"auto, identity, mlp, residual or fourier. {default_is('auto')}",
            rich_help_panel=MODEL,
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="auto, likelihood, warm-started-likelihood, persistent, contrastive-divergence, "
            f"score-matching or noise-contrastive. {default_is('auto')}",
            rich_help_panel=MODEL,
        ),
    ] = None,
    updates: Annotated[
        int | None,
        typer.Option(
            help=f"Make at most so many parameter updates. {default_is(1500)}",
            rich_help_panel=MODEL,
        ),
    ] = None,
    detector: Annotated[
        bool,
        typer.Option(
            help=f"Also fit the anomaly detector that `detect` needs. {default_is('on')}",
            show_default=False,
            rich_help_panel=DETECTOR,
        ),
    ] = True,
    contamination: Annotated[
        float | None,
        typer.Option(
            help="State the share of abnormal rows in the table, at most 0.5.",
            rich_help_panel=DETECTOR,
        ),
    ] = None,
    report: Annotated[
        bool | None,
        typer.Option(
            help="Also write report.html, which needs the extra `report`. "
            f"{default_is('on, or as the run was begun')}",
            rich_help_panel=DETECTOR,
        ),
    ] = None,
    log_to: Annotated[
        str | None,
        typer.Option(
            help="tensorboard: also write the curves to RUN/tensorboard.", rich_help_panel=DETECTOR
        ),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            help=f"Split chains and batches over so many devices. {default_is(1)}",
            min=1,
            rich_help_panel=CLUSTER,
        ),
    ] = None,
    distributed: Annotated[
        bool,
        typer.Option(
            "--distributed",
            help="Work as one of several processes that Slurm, Open MPI or Kubernetes has started.",
            rich_help_panel=CLUSTER,
        ),
    ] = False,
    coordinator: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of process 0, for several processes that no cluster has started.",
            rich_help_panel=CLUSTER,
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            help="With --coordinator: number of processes.", min=1, rich_help_panel=CLUSTER
        ),
    ] = None,
    process: Annotated[
        int | None,
        typer.Option(
            help="With --coordinator: number of this process, from 0.",
            min=0,
            rich_help_panel=CLUSTER,
        ),
    ] = None,
) -> None:
    """Fit a density and an anomaly detector to a table and write a run folder.

    Held-out rows choose marginals of the columns, a base, and whether a residual energy with hidden
    units is added. The choice is printed, and is in metrics.json and in the report.

    Ctrl-C ends training and keeps the model so far. --resume RUN goes on with a fit that was ended
    by Ctrl-C, a crash or the system.

    To fit on several processes, start the same command in each of them, with the same table on a
    shared file system; process 0 writes the run and prints. --resume may change the number of
    devices and processes.

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
        "id": id_column,
        "contamination": contamination,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if image:
        if config is not None or resume is not None:
            raise InvalidInputError("fit --image takes no --config and no --resume.")
        images.fit_images(Path(data), output, given, overwrite=overwrite, as_json=as_json)
        return
    logs = check_log_to(log_to)
    machines = Machines(devices, distributed, coordinator, processes, process)

    # The other process starts first: both import what they need at the same time.
    with beside.helper(wanted=detector and resume is None and not machines.joins) as helper:
        if resume is not None:
            refused = [*given, *(["config"] if config else []), *(["output"] if output else [])]
            plan = plans.go_on(resume, refused, detector=detector, report=report)
        else:
            folder = plans.run_name(data) if output is None else output
            plan = plans.begin(
                folder, config, given, detector=detector, report=report, overwrite=overwrite
            )
        with (
            machines.used() as is_first,
            live.showing(progress() if is_first else silence) as display,
        ):
            run = plan.read(data, display.console, logs=logs)
            if not is_first:
                work.follow_run(run)
                return
            metrics, fitted = work.fit_run(run, display, helper=helper)
    if as_json:
        print_json({"run": str(run.output), **metrics})
    else:
        fit_summary.print_fit(run, data, metrics, fitted)
    if metrics["stopped"]:
        errors.print(run.hint)
        raise typer.Exit(INTERRUPTED)


@command
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
    require_packages("harmonium demo")
    check_run_output(output, overwrite=overwrite)
    budget = parse_duration(time_budget)

    hint = f"for the whole demo: harmonium demo -o {output} --overwrite"
    with live.showing(progress()) as display:
        metrics = digits.run_demo(output, display, seed=seed, time_budget=budget, hint=hint)
    if as_json:
        print_json({"run": str(output), **metrics})
    else:
        digits.print_demo(metrics, output)
    if metrics["stopped"]:
        errors.print(hint)
        raise typer.Exit(INTERRUPTED)
