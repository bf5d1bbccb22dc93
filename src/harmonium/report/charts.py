"""Charts: figures of matplotlib as SVG that stands in a page and takes its colors and its font."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from harmonium.report.words import LONGEST_NAME, clipped, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Each stands for a color of the page, which has its own values in light and in dark.
TEXT, SOFT, LINE, GRID = "#1b1f24", "#57606a", "#d8dee4", "#e7ebef"
DATA, SAMPLES, REFERENCE, WARNING = "#0068a8", "#b84a00", "#6b7280", "#a33a00"
_PAGE_COLORS = {
    TEXT: "text", SOFT: "soft", LINE: "line", GRID: "grid",
    DATA: "data", SAMPLES: "samples", REFERENCE: "reference", WARNING: "warning",
}  # fmt: skip

# Text stays text, and is never taken for a formula; equal figures have equal SVG.
_STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "harmonium", "text.parse_math": False,
    "path.simplify": False, "axes.formatter.useoffset": False, "axes.formatter.limits": (-5, 6),
    "font.size": 11, "axes.titlesize": 11, "axes.labelsize": 11, "legend.fontsize": 10.5,
    "xtick.labelsize": 10, "ytick.labelsize": 10, "xtick.major.size": 0, "ytick.major.size": 0,
    "text.color": TEXT, "axes.labelcolor": TEXT, "axes.titlecolor": TEXT, "legend.frameon": False,
    "xtick.color": SOFT, "ytick.color": SOFT, "axes.edgecolor": LINE, "grid.color": GRID,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.ymargin": 0.03,
}  # fmt: skip
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_LONG_NUMBER = re.compile(r"(\d+\.\d)\d+")
_NOT_XML = re.compile("[^\\t\\n\\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Chart:
    """One figure: its SVG, its width in pixels where there is room, and `label`, a sentence that
    says what it shows.
    """

    name: str
    label: str
    svg: str
    width: int


def draw(name: str, label: str, size: tuple[int, int], paint: Callable[["Figure"], None]) -> Chart:
    """The chart that `paint` puts on an empty figure of this size, in pixels."""
    # Only where something is drawn: it takes half a second to import.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # What users have set for their own figures does not reach a report.
    style: Any = {key: own for key, own in mpl.rcParamsDefault.items() if "backend" not in key}
    with mpl.rc_context(style | _STYLE):
        figure = Figure((size[0] / 72, size[1] / 72), dpi=72, layout="constrained")
        paint(figure)
        return Chart(name, label, _svg_of(figure, label), size[0])


def plain(text: str, longest: int = LONGEST_NAME) -> str:
    """Text on one line, clipped, of characters that XML knows."""
    return _NOT_XML.sub("�", re.sub(r"[\r\n]", " ", clipped(text, longest)))


def points(axes: "Axes", x: Any, y: Any, color: str, size: float = 3.5) -> None:
    """A dot at every (x, y), all in one path: a tenth of what single marks take in a file."""
    import numpy as np

    gap = np.full(len(x), np.nan)
    axes.plot(
        np.stack([x, x, gap], axis=1).ravel(),
        np.stack([y, y, gap], axis=1).ravel(),
        color=color,
        linewidth=size,
        solid_capstyle="round",
        alpha=0.65,
    )


def percents(axis: Any) -> None:
    """Ticks of an axis of shares in percent."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))


def _svg_of(figure: "Figure", label: str) -> str:
    import io
    import warnings

    file = io.StringIO()
    with warnings.catch_warnings():
        # The page's font is the browser's: what is missing here is not missing there.
        warnings.filterwarnings("ignore", message=r".*Glyph \d+")
        figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for part in [*root.findall(f"{{{_SVG}}}metadata"), *root.findall(f"{{{_SVG}}}defs")]:
        if part.find(f"{{{_SVG}}}clipPath") is None:
            root.remove(part)
    used = {element.get(_LINK, "")[1:] for element in root.iter()}
    for element in root.iter():
        _belong_to_the_page(element, used)
    view = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": view, "role": "img", "aria-label": label}
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK[1:].split("}")[0])
    text = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r' xmlns(:\w+)?="[^"]*"', "", re.sub(r">\s+<", "><", text), count=2)


def _belong_to_the_page(element: ElementTree.Element, used: set[str]) -> None:
    """Colors and font of the page, no digits that nobody sees, no names that nothing asks for."""
    if not element.tag.endswith("clipPath") and element.get("id") not in used:
        element.attrib.pop("id", None)
    for key in ("d", "x", "y", "transform", "width", "height"):
        if key in element.attrib:
            element.set(key, _LONG_NUMBER.sub(r"\1", " ".join(element.attrib[key].split())))
    pairs = [rule.split(": ", 1) for rule in element.get("style", "").split("; ") if rule]
    rules = {
        key: f"var(--{_PAGE_COLORS[value]})" if value in _PAGE_COLORS else value
        for key, value in pairs
        if key != "font-family"
    }
    if rules:
        element.set("style", ";".join(f"{key}:{value}" for key, value in rules.items()))
