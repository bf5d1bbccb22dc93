"""The bodies of requests and answers; the OpenAPI page is made from these declarations."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

# Cells as JSON has them; a missing cell is null, a date is ISO text.
Cell = bool | int | float | str | None
Row = dict[str, Cell]
Rows = Annotated[list[Row], Meta(description="Rows by the names of columns; null is missing.")]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1, description="Seed: the same, the same answer.")]
PerRow = Annotated[list[float | None], Meta(description="One number per row.")]


class Options(Struct, forbid_unknown_fields=True, frozen=True):
    """What may be said beside rows; with Arrow bodies in the query."""


class DetectOptions(Options, frozen=True):
    """How rows are flagged and explained."""

    fdr: Annotated[float, Meta(gt=0, lt=1, description="False-discovery rate of flags.")] = 0.05
    reasons: Annotated[int, Meta(ge=0, description="Reasons per explained row.")] = 3
    explain: (
        Annotated[int, Meta(ge=0, description="Explain so many rows, the oddest first.")]
        | UnsetType
    ) = UNSET


class ImputeOptions(Options, frozen=True):
    """How missing cells are filled."""

    draws: Annotated[
        int, Meta(ge=0, le=64, description="Draw so many completed tables; 0 fills once.")
    ] = 0
    random_state: Seed = 0


class ScoreRequest(Options, frozen=True):
    """Rows to be scored."""

    rows: Rows


class DetectRequest(DetectOptions, frozen=True, kw_only=True):
    """Rows to be judged."""

    rows: Rows


class ImputeRequest(ImputeOptions, frozen=True, kw_only=True):
    """Rows with missing cells."""

    rows: Rows


class Interval(Struct, forbid_unknown_fields=True, frozen=True):
    """The values between two ends; an end that is left out is open."""

    low: Cell = None
    high: Cell = None
    excludes_low: bool = False
    excludes_high: bool = False


class SampleRequest(Options, frozen=True):
    """What rows to draw: a column in `given` has a value, one of a list of values, or an
    interval.
    """

    n: Annotated[int, Meta(ge=1, description="Rows to draw.")] = 1
    given: dict[str, Cell | list[Cell] | Interval] = {}
    keep_unseen: Annotated[
        bool, Meta(description="Keep all draws with pairs of categories that training lacks.")
    ] = False
    random_state: Seed = 0


class Note(Struct, frozen=True):
    """Something to know of the rows that is no error."""

    text: str
    column: str | None = None
    row: int | None = None


class Reason(Struct, frozen=True):
    """A cell that is likelier wrong than right, and what would be likely."""

    column: str
    value: Cell
    likely: Cell
    low: Cell
    high: Cell
    drop: Annotated[float, Meta(description="Nats by which `likely` is likelier.")]
    contribution: Annotated[float, Meta(description="-log P(the cell is right), nats.")]
    unusual_for: list[tuple[str, Cell]]
    is_unseen: bool
    text: Annotated[str, Meta(description="The reason in words.")]


class ScoreAnswer(Struct, frozen=True):
    """Log-densities in nats and data units."""

    log_density: PerRow
    trusted: Annotated[bool, Meta(description="Whether log-densities may be quoted.")]
    verdict: str
    notes: list[Note]


class DetectAnswer(Struct, frozen=True):
    """Scores (higher is more normal), p-values and flags; reasons are null where not asked for."""

    score: PerRow
    p_value: PerRow
    modelled_p_value: PerRow
    flagged: list[bool]
    reasons: list[list[Reason] | None]
    promise: str
    concern: str
    trusted: bool
    verdict: str
    notes: list[Note]


class ImputeAnswer(Struct, frozen=True):
    """Rows with missing cells filled; of several draws one table after the other."""

    rows: list[Row]
    trusted: bool
    verdict: str
    notes: list[Note]


class SampleAnswer(Struct, frozen=True):
    """Drawn rows, and whether the draws and the density may be trusted."""

    rows: list[Row]
    method: str
    ess: float | None
    draws_trusted: bool
    draws_verdict: str
    trusted: bool
    verdict: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """What is wrong, in one line, and where."""

    status: int
    title: str
    detail: str
    column: str | None = None
    row: int | None = None


class Column(Struct, frozen=True):
    """A column of the table of the fit."""

    name: str
    form: Annotated[str, Meta(description="number, integer, boolean, text or datetime.")]
    kind: Annotated[str, Meta(description="How it is modeled; ignored columns may be left out.")]
    categories: list[str]


class Model(Struct, frozen=True):
    """What the run is."""

    name: str
    columns: list[Column]
    density: dict[str, Any] | None
    detector: dict[str, Any] | None
    limits: dict[str, float]
    card: dict[str, Any] | None = None


class Health(Struct, frozen=True):
    """Whether requests are answered."""

    status: str = "ok"
