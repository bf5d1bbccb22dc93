"""The command that writes a model as files that need no harmonium: export."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harmonium.cli.layout import wrapped
from harmonium.cli.options import (
    DETECTOR_FILE,
    JsonOption,
    ModelArgument,
    OverwriteOption,
    default_is,
    find_model,
)
from harmonium.cli.output import print_json
from harmonium.cli.shell import command, progress

# Commands import what they need inside their bodies: `harmonium --help` must not wait for JAX.


class Format(StrEnum):
    """What `--format` takes."""

    ONNX = "onnx"
    STABLEHLO = "stablehlo"
    BOTH = "both"


@command
def export(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=f"Folder to write. {default_is('RUN-export')}"),
    ] = None,
    kind: Annotated[
        Format,
        typer.Option("--format", help="ONNX needs the extra `export`; StableHLO is read by JAX."),
    ] = Format.BOTH,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the scorer of a model as ONNX and StableHLO, in a folder that needs no harmonium.

    RUN gives its log-density, RUN/detector.safetensors its anomaly score. The folder also holds
    the rules of the columns as JSON and a script that scores rows.

    Example: harmonium export run -o exported
    """
    folder = Path(f"{model.resolve().name}-export") if output is None else output
    formats = ("onnx", "stablehlo") if kind is Format.BOTH else (kind.value,)

    from harmonium.artifact import StoredDensity, load_artifact
    from harmonium.export import check_export, export_density, export_detector

    check_export("harmonium export", folder, formats, overwrite=overwrite)
    stored = load_artifact(find_model(model))
    if isinstance(stored, StoredDensity):
        found = export_density(stored, folder, formats, overwrite=overwrite)
    else:
        found = export_detector(stored, folder, formats, overwrite=overwrite)
    if as_json:
        print_json(
            {"export": str(folder), "files": found.files, "not_exported": found.not_exported}
        )
        return
    for name, size in found.files.items():
        print(f"{folder / name}  {size / 1000:,.0f} kB")
    for sentence in found.not_exported:
        print(wrapped(f"not in it: {sentence}"))
    if isinstance(stored, StoredDensity) and model.is_dir() and (model / DETECTOR_FILE).is_file():
        progress().print(f"Next: harmonium export {model / DETECTOR_FILE} for the anomaly score.")
