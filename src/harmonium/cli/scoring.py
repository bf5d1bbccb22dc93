"""The commands that score rows: score, detect."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from harmonium.cli.cluster import start_ray
from harmonium.cli.guarantees import parse_guarantee
from harmonium.cli.layout import summary, wrapped
from harmonium.cli.models import image_commands, is_image_run, load_density
from harmonium.cli.options import (
    DataArgument,
    JsonOption,
    ModelArgument,
    OverwriteOption,
    RayOption,
    check_fdr,
    default_is,
    existing,
)
from harmonium.cli.output import joined, print_json, trust_line
from harmonium.cli.runs import MIXED_SUFFIXES, check_folder_output, check_table_output
from harmonium.cli.shell import command, errors, progress
from harmonium.cli.tables import reads_tables
from harmonium.errors import InvalidInputError, describe

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.

# Rows of the lowest log-densities that `score` names.
N_LOWEST = 5

OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Table to write: CSV or Parquet; with --ray, a folder."),
]


@command
@reads_tables("data")
def score(
    model: ModelArgument,
    data: DataArgument,
    output: OutputOption = None,
    on_ray: RayOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score every row of a table by its log-density, in nats and data units.

    Without -o a summary is printed.

    Example: harmonium score run table.csv -o scores.csv
    """
    if is_image_run(model):
        written = image_commands().Written(output, overwrite, as_json)
        return image_commands().score_images(model, Path(data), written)
    if on_ray:
        output = check_folder_output(data, output, overwrite=overwrite)
        start_ray()
        density = load_density(model, None, overwrite=overwrite).density
    else:
        density = load_density(model, output, overwrite=overwrite, suffixes=MIXED_SUFFIXES).density

    from harmonium.cli.progress import showing
    from harmonium.cli.streaming import score_batches, write_batches

    with showing(progress()):
        if output is None:
            log_density = joined(score_batches(density, data))["log_density"]
            figures = _figures(log_density)
            note = f"log-density, nats per row\n{summary(_summary(log_density))}"
        else:
            if on_ray:
                from harmonium.cli.folders import score_folder

                n_rows = score_folder(model, data, output)
            else:
                n_rows = write_batches(output, score_batches(density, data))
            figures, note = {"rows": n_rows}, f"{n_rows} rows -> {output}"
    if as_json:
        print_json({**figures, "verdict": density.verdict})
        return
    print(note)
    errors.print(wrapped(trust_line(density.trusted)))
    if output is None:
        progress().print(f"All rows: harmonium score {model} {data} -o FILE.csv")


@command
@reads_tables("data", "calibrate", "training")
def detect(
    model: ModelArgument,
    data: DataArgument,
    output: OutputOption = None,
    fdr: Annotated[
        float, typer.Option(help="Flag rows at this false-discovery rate, in (0, 1).")
    ] = 0.05,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Table of normal rows that the fit has not seen: p-values rest on these rows, "
            "which are held in memory.",
            show_default=False,
            callback=existing,
        ),
    ] = None,
    guarantee: Annotated[
        str,
        typer.Option(
            help="What p-values and flags rest on: split, the calibration rows of the fit; "
            "group:COLUMN, those with the same value; pattern, those with the same holes; "
            "imposed-pattern, all, with the holes of the row; cross or e-values, all rows of "
            "--training, by ten fits.",
        ),
    ] = "split",
    training: Annotated[
        Path | None,
        typer.Option(
            help="The table of the fit, for --guarantee cross or e-values.",
            show_default=False,
            callback=existing,
        ),
    ] = None,
    explain: Annotated[
        int,
        typer.Option(
            help="Write so many reasons for every row that is flagged or listed: its worst cells.",
            min=0,
        ),
    ] = 0,
    top: Annotated[
        int, typer.Option(help="List so many rows of the lowest scores, flagged or not.", min=0)
    ] = 10,
    named: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Column that names rows, listed beside their numbers. "
            f"{default_is('that of fit --id')}",
        ),
    ] = None,
    on_ray: RayOption = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find anomalous rows: score, p-value, flag and reasons of every row of a table.

    The rows of the lowest scores are listed with their reasons. With -o, all rows are written: row
    number, score, log_density, p_value, flagged, modelled_p_value, reasons, and the columns of the
    table, under the name table_NAME where a result is called NAME.

    Higher scores are more normal; flagged is 1 at the false-discovery rate. A reason is a column
    with its value, the likeliest value given the other cells, the range of four of five values (low
    to high), and by how many nats the likeliest one is likelier (drop). A p-value is never below
    1 / (calibration rows + 1), so that a detector of few training rows may flag nothing.
    modelled_p_value has no such limit: it follows a fitted tail, without a guarantee.

    Example: harmonium detect run new.csv --explain 3 -o out.csv
    """
    check_fdr(fdr)
    if is_image_run(model):
        written = image_commands().Written(output, overwrite, as_json)
        return image_commands().detect_images(model, Path(data), fdr, top, written)
    stated = parse_guarantee(guarantee, training)
    if on_ray:
        if stated.name != "split":
            raise InvalidInputError(
                describe("detect --ray", expected="--guarantee split", got=guarantee)
            )
        output = check_folder_output(data, output, overwrite=overwrite)
        start_ray()
    elif output is not None:
        check_table_output(output, overwrite=overwrite, suffixes=MIXED_SUFFIXES)

    from harmonium.cli.detect import (
        CONFIDENCE,
        choose_calibration,
        decide,
        explain_chosen,
        measure_rows,
        naming_column,
        open_detector,
        score_rows,
    )
    from harmonium.cli.low_rows import list_rows, lowest_rows
    from harmonium.cli.progress import showing

    with showing(progress()):
        opened = open_detector(model, calibrate)
        calibration = choose_calibration(opened, stated, training)
    named = naming_column(opened, data, named)
    columns: dict[str, Any] = {}
    with showing(progress()):
        if on_ray and output is not None:
            from harmonium.cli.folders import Asked, detect_folder

            asked = Asked(fdr, top, explain, named)
            scores, found = detect_folder(opened, model, data, output, asked, calibrate)
        else:
            scores = score_rows(opened, data)
            decision = decide(calibration, measure_rows(opened, data, calibration, scores), fdr)
            found = explain_chosen(
                opened, data, scores, decision, top=top, n_reasons=explain, named=named
            )
            columns = _write(opened, data, scores, found, output, as_json=as_json)
        decision = found.decision
        listed = lowest_rows(opened.detector, scores, decision.p_values, top, found.explained)
        most_false = opened.most_false(scores, decision.flagged)
    n_rows, n_flagged = len(scores), int(decision.flagged.sum())
    if as_json:
        figures = {"rows": n_rows, "n_flagged": n_flagged, "fdr": fdr, "guarantee": guarantee}
        figures |= {"most_false": most_false, "confidence": CONFIDENCE}
        low = [asdict(row) for row in listed]
        print_json({**figures, "verdict": opened.verdict(decision), "lowest": low, **columns})
        return
    written = "" if output is None else f" -> {output}"
    print(f"{n_rows} rows{written}; {n_flagged} flagged at FDR {fdr:g}")
    if listed:
        print(list_rows(listed, named))
    if most_false < n_flagged:
        bound = f"At most {most_false} of the {n_flagged} flagged rows are normal"
        print(wrapped(f"{bound}, with {CONFIDENCE:.0%} confidence."))
    errors.print(wrapped(opened.in_short(decision)))
    if output is None:
        progress().print(f"All rows: harmonium detect {model} {data} -o FILE.csv")


def _write(
    opened: Any, data: Path, scores: Any, found: Any, output: Path | None, *, as_json: bool
) -> dict[str, Any]:
    """Write the columns of all rows, or return them for JSON."""
    from harmonium.cli.detect import scored_batches, whole_batches, with_findings
    from harmonium.cli.streaming import write_batches

    if output is not None:
        batches = scored_batches(opened, data, scores, found.decision.p_values)
        write_batches(output, whole_batches(opened, data, batches, found))
    if output is not None or not as_json:
        return {}
    columns = joined(scored_batches(opened, data, scores, found.decision.p_values))
    whole = with_findings(opened, columns, found, 0)
    return joined([whole])


def _summary(log_density: list[float]) -> list[tuple[str, str]]:
    """What `score` prints of rows that go into no file: how their log-densities are spread."""
    import numpy as np

    names = ("lowest", "5 %", "median", "95 %", "highest")
    shares = np.quantile(log_density, (0.0, 0.05, 0.5, 0.95, 1.0))
    lowest = np.argsort(log_density, kind="stable")[:N_LOWEST]
    return [
        ("rows", str(len(log_density))),
        ("mean", f"{np.mean(log_density):.3f}"),
        *((name, f"{share:.3f}") for name, share in zip(names, shares, strict=True)),
        ("lowest rows", ", ".join(f"{i + 1} ({log_density[i]:.2f})" for i in lowest)),
    ]


def _figures(log_density: list[float]) -> dict[str, Any]:
    """What `score --json` says of rows that go into no file."""
    mean = sum(log_density) / len(log_density)
    return {"rows": len(log_density), "mean_log_density": mean, "log_density": log_density}
