"""What held-out rows chose: the base, the marginals, whether a residual energy pays, with the
scores.
"""

from dataclasses import dataclass

from harmonium.inference import Chosen, Comparison
from harmonium.inference.own_parts import OWN, is_own
from harmonium.report.view import RunView
from harmonium.report.words import clipped, count, fixed

MARGINALS = {
    "levels": "levels: categories, and numbers of few values",
    "affine": "scaled",
    "asinh": "scaled, with compressed tails",
    "mixture": "by a mixture of Gaussians",
}
N_NAMED = 8


@dataclass(frozen=True)
class Stage:
    """A density that the fit went through: its held-out score, and how far the final one is above
    it.
    """

    name: str
    score: str
    gain: str


@dataclass(frozen=True)
class Choices:
    """The section of what was chosen: facts as pairs of names and texts, and tables of scores."""

    facts: list[tuple[str, str]]
    stages: list[Stage]
    candidates: list[tuple[str, str, str]]
    n_held_out: str


def choices(view: RunView) -> Choices:
    """All that is known of the choice."""
    chosen, judgment = view.density.chosen, view.density.judgment
    against = {own.against: own for own in judgment.comparisons}
    stages = [
        Stage(stage_name(own.name, chosen), fixed(own.score), _gain(against.get(own.name)))
        for own in chosen.stages
        if not (own.name == "gaussian" and chosen.base == "gaussian")
    ]
    facts = [("base", base_name(chosen))]
    facts += [(f"columns {MARGINALS[kind]}", words) for kind, words in _marginals(chosen).items()]
    facts.append(("residual energy", _residual(view)))
    return Choices(
        facts=facts,
        stages=stages,
        candidates=[
            (own.name, fixed(own.score, 3), fixed(own.standard_error, 3))
            for own in sorted(chosen.candidates, key=lambda own: -own.score)
        ],
        n_held_out=count(judgment.n_held_out),
    )


def chosen_in_short(chosen: Chosen) -> str:
    """The choice in a line."""
    kinds = list(chosen.marginals.values())
    columns = [f"{kinds.count(kind)} {kind}" for kind in MARGINALS if kind in kinds]
    residual = "with" if chosen.residual else "without"
    return f"{base_name(chosen)}, {residual} a residual energy; columns: {', '.join(columns)}"


def stages_in_short(chosen: Chosen) -> str:
    """The scores of the simpler densities in a line."""
    last = len(chosen.stages) - 1
    return ", ".join(
        f"{stage_name(own.name, chosen)} {own.score:.3f}"
        for own in chosen.stages[:last]
        if not (own.name == "gaussian" and chosen.base == "gaussian")
    )


def base_name(chosen: Chosen) -> str:
    """The base with its size."""
    if chosen.base == "gaussian":
        return "Gaussian"
    if is_own(chosen.base):
        return chosen.base.removeprefix(OWN)
    n = chosen.n_components
    return f"mixture of {n} Gaussian{'s' if n > 1 else ''} and a wide one"


def stage_name(name: str, chosen: Chosen) -> str:
    """A stage as a reader knows it."""
    names = {
        "independent columns": "independent columns",
        "gaussian": "Gaussian",
        "base": base_name(chosen),
        "residual": "with the residual energy",
    }
    return names[name]


def _marginals(chosen: Chosen) -> dict[str, str]:
    """By kind of marginal, how many columns have it and which."""
    found = {}
    for kind in MARGINALS:
        names = [clipped(name) for name, own in chosen.marginals.items() if own == kind]
        if names:
            more = ", …" if len(names) > N_NAMED else ""
            found[kind] = f"{count(len(names))}: {', '.join(names[:N_NAMED])}{more}"
    return found


def _residual(view: RunView) -> str:
    if view.density.has_residual:
        return "kept: it beats the base on held-out rows beyond chance"
    nothing = "hidden units tell no rows apart"
    if view.was_trained is False:
        return f"none was trained; {nothing}"
    return f"not kept: no trained state that can be trusted beats the base beyond chance; {nothing}"


def _gain(found: Comparison | None) -> str:
    if found is None:
        return ""
    return f"{fixed(found.gain, signed=True)} ± {fixed(found.standard_error)}"
