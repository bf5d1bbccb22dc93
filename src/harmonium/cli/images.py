"""What commands do with images: fit --image, and score, sample, impute and detect of such a run."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control

from harmonium.artifact import StoredImages, load_artifact, save_artifact
from harmonium.cli.layout import summary, wrapped
from harmonium.cli.options import MODEL_FILE, find_model
from harmonium.cli.output import print_json, trust_line
from harmonium.cli.plans import run_name
from harmonium.cli.progress import showing
from harmonium.cli.runs import (
    RunFolder,
    check_run_output,
    check_table_output,
    filling,
    write_config,
    write_metrics,
)
from harmonium.cli.shell import errors, progress
from harmonium.cli.work import write_history
from harmonium.data import number_fields, write_table
from harmonium.data.images import read_images
from harmonium.data.npy import load_plain
from harmonium.data.pixels import bits_per_dimension, check_levels
from harmonium.errors import InvalidInputError, describe
from harmonium.files import write_atomically
from harmonium.inference.fit_images import ImageFit
from harmonium.inference.fit_images import fit_images as fit_density
from harmonium.inference.image_density import ImageDensity
from harmonium.inference.image_settings import ImageSettings
from harmonium.report.sheets import write_images, write_reasons, write_responses

SAMPLES, RESPONSES = "samples.png", "hidden.png"
N_DRAWN = 100
PICTURE_SUFFIXES = (".png", ".npy")
DETECTED_SUFFIXES = (".csv", ".parquet", ".png")
# Names of `fit` options that say something else of images.
SETTINGS = {"seed", "n_updates", "time_budget", "effort", "n_hidden", "feature_map"}


@dataclass(frozen=True)
class Written:
    """Where a command writes, if anywhere, and whether it prints JSON."""

    output: Path | None
    overwrite: bool
    as_json: bool

    def check(self, suffixes: tuple[str, ...]) -> None:
        """Raise before any work where the output cannot or must not be written."""
        if self.output is not None:
            check_table_output(self.output, overwrite=self.overwrite, suffixes=suffixes)

    def say(self, figures: dict[str, Any], text: str, density: ImageDensity) -> None:
        """The result, for people or programs."""
        if self.as_json:
            print_json({**figures, "verdict": density.verdict})
            return
        print(text)
        errors.print(wrapped(trust_line(density.trusted)))


def fit_images(
    data: Path, folder: Path | None, given: dict[str, Any], *, overwrite: bool, as_json: bool
) -> None:
    """Fit a density to images and write a run folder: model, settings, curve, figures, a sheet of
    draws, and what hidden units respond to.
    """
    if odd := sorted(set(given) - SETTINGS):
        expected = f"settings of images, {sorted(SETTINGS)}"
        raise InvalidInputError(describe("fit --image", expected=expected, got=f"{odd}"))
    settings = ImageSettings(**given)
    folder = run_name(data) if folder is None else folder
    check_run_output(folder, overwrite=overwrite)
    run, started = RunFolder(folder), time.monotonic()
    with showing(progress()) as display:
        display.begin(f"reading {data.name}")
        images = read_images(data, call=str(data))
        with filling(run, resume=False):
            write_config(folder, asdict(settings) | {"channels": list(settings.channels)})
            fitted = fit_density(images, settings, report=lambda record: None)
            density = fitted.density
            save_artifact(folder / MODEL_FILE, StoredImages(density, settings))
            if fitted.history:
                write_history(folder, fitted.history)
            display.begin("drawing images")
            drawn, diagnostics = density.sample(N_DRAWN, seed=settings.seed)
            write_images(folder / SAMPLES, density, drawn)
            if density.has_energy:
                write_responses(folder / RESPONSES, density, images.rows)
            metrics = _figures(fitted) | {"draws_verdict": diagnostics.verdict}
            metrics |= {"images": len(images.rows), "shape": list(images.shape)}
            metrics["seconds"] = time.monotonic() - started
            write_metrics(folder, metrics)
    if as_json:
        print_json({"run": str(folder), **metrics})
        return
    held = fitted.held_out
    shape = " x ".join(str(size) for size in images.shape)
    print(f"{len(images.rows)} images of {shape} -> {folder} ({metrics['seconds']:.0f} s)")
    energy = "with" if density.has_energy else "without"
    bits = f"{held.model:.4f} ± {1.96 * held.standard_error:.4f} bits per dimension"
    bits += f" of {held.n_images} held-out images; {held.base:.4f} of the base"
    bits += f", {held.independent:.4f} of independent pixels"
    chosen = f"{density.candidates[-1].name} of factor analyzers, {energy} a convolutional energy"
    facts = [("chosen", chosen), ("score", bits), ("verdict", density.verdict)]
    print(summary([*facts, ("draws", str(folder / SAMPLES))]))
    progress().print(f"Next: harmonium sample {folder} -n 100 -o sheet.png")


def score_images(model: Path, data: Path, written: Written) -> None:
    """Log-probabilities in nats and bits per dimension of all images."""
    written.check((".csv", ".parquet"))
    density, rows = _opened(model, data)
    with showing(progress()):
        scores = density.log_probability(rows)
    bits = bits_per_dimension(scores, density.pixels.n_visible)
    figures = {"images": len(rows), "bits_per_dimension": float(bits.mean())}
    if len(rows) > 1:
        figures["standard_error"] = float(bits.std(ddof=1) / len(rows) ** 0.5)
    if written.output is not None:
        _write_columns(written.output, {"log_probability": scores, "bits_per_dimension": bits})
        text = f"{len(rows)} images -> {written.output}"
    else:
        error = f" ± {1.96 * figures.get('standard_error', float('nan')):.4f}"
        text = f"{len(rows)} images: {bits.mean():.4f}{error} bits per dimension"
    written.say(figures, text, density)


def sample_images(model: Path, n: int, seed: int, written: Written) -> None:
    """Draw images: a sheet, or an array of levels."""
    if written.output is None:
        raise InvalidInputError("sample: images go into a file. Try: -o sheet.png, or -o new.npy.")
    written.check(PICTURE_SUFFIXES)
    density = load_images(model).density
    with showing(progress()):
        rows, diagnostics = density.sample(n, seed=seed)
    _write_levels(written.output, density, rows)
    figures = {"n": n, "trusted": diagnostics.trusted, "draws_verdict": diagnostics.verdict}
    written.say(figures, f"{n} images -> {written.output}\n{diagnostics.verdict}", density)


def inpaint_images(
    model: Path, data: Path, mask: Path | None, n_draws: int, seed: int, written: Written
) -> None:
    """Draw the pixels under a mask given the others: a sheet of the images, what is known and the
    draws, or an array (draws, images, height, width, channels).
    """
    written.check(PICTURE_SUFFIXES)
    if mask is None:
        raise InvalidInputError("impute: of images, --mask says what is hidden. Try: --mask m.npy.")
    density, rows = _opened(model, data)
    hidden = _read_mask(mask, density.shape)
    n_draws = max(n_draws, 1)
    with showing(progress()):
        found = density.inpaint(rows, hidden, n_draws, seed=seed)
    assert written.output is not None
    if written.output.suffix == ".npy":
        levels = found.draws.reshape(n_draws, len(rows), *density.shape)
        _save_array(written.output, levels)
    else:
        known = np.where(hidden, 0, rows)
        write_images(
            written.output,
            density,
            np.concatenate([rows, known, *found.draws]),
            columns=len(rows),
        )
    few = "" if found.trusted else "; NOT trusted: few proposals were effective"
    figures = {"images": len(rows), "draws": n_draws, "least_ess": float(found.ess.min())}
    figures["trusted"] = found.trusted
    written.say(figures, f"{len(rows)} images -> {written.output}{few}", density)


def detect_images(model: Path, data: Path, fdr: float, top: int, written: Written) -> None:
    """p-values of all images, and heat maps of the reasons of the least likely."""
    written.check(DETECTED_SUFFIXES)
    density, rows = _opened(model, data)
    with showing(progress()):
        scores, p_values = density.watch.scores(rows), density.watch.p_values(rows)
        flagged = false_discovery_control(p_values) <= fdr
        order = np.argsort(scores, kind="stable")
        output = written.output
        if output is not None and output.suffix == ".png":
            write_reasons(output, density, rows[order])
        elif output is not None:
            columns = {"score": scores, "p_value": p_values}
            _write_columns(output, columns | {"flagged": flagged.astype(np.int64)})
    lowest = [
        {"image": int(i) + 1, "score": float(scores[i]), "p_value": float(p_values[i])}
        for i in order[:top]
    ]
    figures = {"images": len(rows), "n_flagged": int(flagged.sum()), "fdr": fdr, "lowest": lowest}
    where = "" if output is None else f" -> {output}"
    lines = [f"{len(rows)} images{where}; {flagged.sum()} flagged at FDR {fdr:g}"]
    lines += [
        f"image {own['image']}: score {own['score']:.1f}, p {own['p_value']:.3g}" for own in lowest
    ]
    written.say(figures, "\n".join(lines), density)


def load_images(model: Path) -> StoredImages:
    """The density of images of a run."""
    stored = load_artifact(find_model(model))
    if not isinstance(stored, StoredImages):
        raise InvalidInputError(f"{model} holds no density of images. Try: fit --image.")
    return stored


def _opened(model: Path, data: Path) -> tuple[ImageDensity, np.ndarray]:
    """The density of a run, and the images to ask it of."""
    density = load_images(model).density
    rows = read_images(data, call=str(data), shape=density.shape).rows
    return density, check_levels(rows, density.pixels.n_levels, str(data))


def _read_mask(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """What a file hides, (visible,): an NPY array (height, width) that is not 0 there."""
    try:
        mask = load_plain(path)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInputError(
            describe(f"--mask {path}", expected="an NPY file", got=f"{error}")
        ) from error
    if not isinstance(mask, np.ndarray) or mask.shape != shape[:2] or mask.dtype.kind not in "biuf":
        got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else "others"
        expected = f"numbers of shape {shape[:2]}, not 0 where pixels are hidden"
        raise InvalidInputError(describe(f"--mask {path}", expected=expected, got=got))
    return np.repeat((mask != 0).ravel(), shape[2])


def _write_levels(path: Path, density: ImageDensity, rows: np.ndarray) -> None:
    if path.suffix == ".npy":
        _save_array(path, rows.reshape(-1, *density.shape))
    else:
        write_images(path, density, rows)


def _save_array(path: Path, levels: np.ndarray) -> None:
    small = levels.astype(np.uint8 if levels.max() < 256 else np.uint16)

    def save(temporary: str) -> None:
        with open(temporary, "wb") as file:
            np.save(file, small)

    write_atomically(path, save)


def _write_columns(path: Path, columns: dict[str, np.ndarray]) -> None:
    named = {"image": np.arange(1, len(next(iter(columns.values()))) + 1)} | columns
    write_table(path, np.stack(list(named.values()), axis=1), number_fields(list(named)))


def _figures(fitted: ImageFit) -> dict[str, Any]:
    density, held = fitted.density, fitted.held_out
    log_partition = density.log_partition
    return {
        "held_out": held._asdict(),
        "has_energy": density.has_energy,
        "trusted": density.trusted,
        "verdict": density.verdict,
        "log_partition": [log_partition.low, log_partition.value, log_partition.high],
        "method": log_partition.method,
    }
