"""The model card of a run folder, made anew from what the folder holds."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harmonium.artifact import StoredDensity, StoredDetector, load_artifact
from harmonium.cli.options import CONFIG_FILE, DETECTOR_FILE, METRICS_FILE, find_model
from harmonium.cli.runs import check_table_output
from harmonium.errors import InvalidInputError
from harmonium.files import write_atomically
from harmonium.report.card import Card, make_card
from harmonium.report.card_page import card_markdown


def card_of_run(run: Path) -> Card:
    """The card; what the folder does not tell is null."""
    found = find_card(run)
    if found is None:
        raise InvalidInputError(f"{run} holds a detector, not a density. Try: the run folder.")
    return found


def find_card(run: Path) -> Card | None:
    """The card, or None where there is a detector alone."""
    model = find_model(run)
    stored = load_artifact(model)
    if not isinstance(stored, StoredDensity):
        return None
    folder = model.parent
    metrics = _read(folder / METRICS_FILE, json.loads, "JSON")
    settings = _read(folder / CONFIG_FILE, tomllib.loads, "TOML")
    detector = _detector_of(folder / DETECTOR_FILE, stored)
    return make_card(folder.resolve().name, stored, detector, metrics, settings)


def write_card_file(run: Path, output: Path, *, overwrite: bool) -> None:
    """The card as Markdown or JSON, by the name of the file."""
    check_table_output(output, overwrite=overwrite, suffixes=(".md", ".json"))
    card = card_of_run(run)
    is_json = output.suffix.lower() == ".json"
    text = json.dumps(card, indent=2) + "\n" if is_json else card_markdown(card)
    write_atomically(output, lambda path: Path(path).write_text(text, encoding="utf-8"))


def _detector_of(path: Path, density: StoredDensity) -> StoredDetector | None:
    """The detector beside a density, if there is one and it is of the same columns."""
    found = load_artifact(path) if path.is_file() else None
    if not isinstance(found, StoredDetector):
        return None
    same = found.detector.columns.fields == density.density.columns.fields
    return found if same else None


def _read(path: Path, parse: Callable[[str], Any], form: str) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: not {form} that can be read: {error}") from error
