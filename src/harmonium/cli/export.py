"""The command that writes a model as files that need no harmonium: export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harmonium.cli.later import Later
from harmonium.cli.layout import wrapped
from harmonium.cli.options import (
    DETECTOR_FILE,
    JsonOption,
    ModelArgument,
    OverwriteOption,
    default_is,
)
from harmonium.cli.output import print_json
from harmonium.cli.shell import command, progress
from harmonium.errors import InvalidInputError, describe

if TYPE_CHECKING:
    from harmonium.cli import exporting
else:
    exporting = Later("harmonium.cli.exporting")


BOTH = ("onnx", "stablehlo")


@command
def export(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=f"Folder to write. {default_is('RUN-export')}"),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--format", help="onnx, which needs the extra `export`, stablehlo for JAX, or both."
        ),
    ] = "both",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the scorer of a model as ONNX and StableHLO, in a folder that needs no harmonium.

    A run folder gives its log-density, its detector.safetensors the anomaly score. The export also
    holds the rules of the columns as JSON and a script that scores rows.

    Example: harmonium export run -o exported
    """
    folder = Path(f"{model.resolve().name}-export") if output is None else output
    formats = BOTH if kind == "both" else (kind,)
    if not set(formats) <= set(BOTH):
        got = repr(kind)
        raise InvalidInputError(describe("--format", expected="onnx, stablehlo or both", got=got))

    found, has_detector = exporting.export_model(model, folder, formats, overwrite=overwrite)
    if as_json:
        print_json(
            {"export": str(folder), "files": found.files, "not_exported": found.not_exported}
        )
        return
    for name, size in found.files.items():
        print(f"{folder / name}  {size / 1000:,.0f} kB")
    for sentence in found.not_exported:
        print(wrapped(f"not in it: {sentence}"))
    if has_detector:
        progress().print(f"Next: harmonium export {model / DETECTOR_FILE} for the anomaly score.")
