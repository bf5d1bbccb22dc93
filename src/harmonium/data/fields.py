"""`Field`: what a column is outside, so that its cells can be coded as numbers and decoded
again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

from harmonium.data.problems import problem, quote
from harmonium.data.spellings import SPELLINGS
from harmonium.data.state import check_keys, state_error
from harmonium.errors import Message, message

FORMS = ("number", "integer", "boolean", "text", "datetime")
FIELD_KINDS = ("auto", "continuous", "integer", "categorical", "identifier")
# What a user states a kind with.
_STATED = Message("kinds", "--kind or --drop")
_ONE_KIND = Message(
    f"kinds among {FIELD_KINDS}",
    f"--kind COLUMN=KIND with a kind among {', '.join(map(repr, FIELD_KINDS[1:]))}",
)
# More categories than this are no distribution that a table could teach.
MOST_CATEGORIES = 10_000

_WIDTHS = (8, 16, 32, 64, 128)
DTYPES = (
    *(f"{sign}Int{width}" for sign in ("", "U") for width in _WIDTHS),
    *("Float16", "Float32", "Float64", "Decimal", "Boolean", "Date"),
    *("String", "Categorical", "Enum", "Unknown"),
)
DATETIME = re.compile(
    r"Datetime\(time_unit='(s|ms|us|ns)', time_zone=(?:None|'([\w+:/-]{1,64})')\)", re.ASCII
)


@dataclass(frozen=True)
class Field:
    """One column of a table as its owner knows it.

    `form` is what the cells are outside: "number", "integer", "boolean", "text" or "datetime".
    `kind` says how they are meant: "auto" (numbers that `Columns` classifies), "continuous",
    "integer", "categorical" (coded as positions in the sorted `categories`) or "identifier" (never
    modeled). `dtype` is the column type in the words of narwhals, "" where there was none.
    `spelling` is how text spells the numbers or dates of the column, one of `SPELLINGS`, "" where
    it is plain. `missing` are the codes of missing cells that were stated for the CSV file that the
    field comes from: later files have them, too.
    """

    name: str
    form: str = "number"
    kind: str = "auto"
    categories: tuple[str, ...] = ()
    dtype: str = ""
    spelling: str = ""
    missing: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether a cell stands in the table as the number it is, and not as a code or a date."""
        return self.form not in ("text", "datetime") and self.kind not in _CODED

    def same_cells(self, other: "Field") -> bool:
        """Whether the other field codes its cells as this one does."""
        if self.is_number or other.is_number:
            return self.is_number and other.is_number
        coded = self.kind in _CODED or other.kind in _CODED
        return self.categories == other.categories and (not coded or self.kind == other.kind)

    def to_config(self) -> dict[str, Any]:
        """JSON-able settings from which `from_config` builds this field again."""
        lists = {"categories": list(self.categories), "missing": list(self.missing)}
        return asdict(self) | lists

    @staticmethod
    def from_config(config: Any, *, call: str = "Field.from_config(config)") -> "Field":
        """A field from what `to_config` returned; `InvalidInputError` on anything else."""
        check_keys(config, [own.name for own in fields(Field)], "field", call)
        name, form, kind, dtype = (config[key] for key in ("name", "form", "kind", "dtype"))
        for what, value, allowed in (("form", form, FORMS), ("kind", kind, FIELD_KINDS)):
            if not isinstance(value, str) or value not in allowed:
                raise state_error(call, f"a {what} among {allowed}", repr(value)[:80])
        if not isinstance(name, str):
            raise state_error(call, "a name that is text", repr(name)[:80])
        if not isinstance(dtype, str) or not _is_dtype(dtype):
            raise state_error(call, "a known dtype", repr(dtype)[:80])
        _check_coding(form, kind, call)
        spelling = config["spelling"]
        if spelling not in SPELLINGS.get(form, ("",)):
            raise state_error(call, f"a spelling of a {form}", repr(spelling)[:80])
        categories = _check_categories(config["categories"], form, kind, call)
        missing = config["missing"]
        if not isinstance(missing, list | tuple) or not all(
            isinstance(own, str) for own in missing
        ):
            raise state_error(call, "codes of missing cells that are texts", repr(missing)[:80])
        return Field(name, form, kind, categories, dtype, spelling, tuple(missing))


_CODED = ("categorical", "identifier")


def stated_codes(fields: Sequence[Field]) -> tuple[str, ...]:
    """The codes of missing cells of all fields, each once."""
    return tuple(dict.fromkeys(code for field in fields for code in field.missing))


def number_fields(names: Sequence[str]) -> tuple[Field, ...]:
    """Fields of columns of which no more is known than that they hold numbers."""
    return tuple(Field(name) for name in names)


def fields_from_config(configs: Any, *, call: str) -> tuple[Field, ...]:
    """The fields of a table from the list of their settings; `InvalidInputError` if damaged."""
    if not isinstance(configs, list | tuple):
        raise state_error(call, "a list of fields", type(configs).__name__)
    found = tuple(Field.from_config(config, call=call) for config in configs)
    names = [field.name for field in found]
    if len(set(names)) < len(names):
        raise state_error(call, "a different name for every field", "repeated names")
    return found


def check_kinds(kinds: Mapping[str, str] | None, names: Sequence[str], call: str) -> dict[str, str]:
    """The stated kinds, after a check that each is known and belongs to a column."""
    if kinds is None:
        return {}
    if not isinstance(kinds, Mapping):
        got = f"a {type(kinds).__name__}"
        raise problem(call, "kinds by column name", got, "kinds={'column': 'categorical'}")
    unknown = [str(name) for name in kinds if name not in names]
    if unknown:
        got = message("{} for {} (the table has {})", _STATED, quote(unknown), quote(names))
        raise problem(call, message("{} for columns of the table", _STATED), got)
    for name, kind in kinds.items():
        if kind not in FIELD_KINDS:
            raise problem(call, _ONE_KIND, f"{kind!r} for column {name!r}")
    return dict(kinds)


def _is_dtype(dtype: str) -> bool:
    return dtype in ("", *DTYPES) or DATETIME.fullmatch(dtype) is not None


def _check_coding(form: str, kind: str, call: str) -> None:
    """Raise unless cells of this form can be of this kind."""
    if form == "text" and kind not in _CODED:
        raise state_error(call, f"text of a kind among {_CODED}", repr(kind))
    if form == "datetime" and kind == "categorical":
        raise state_error(call, "categories of text or numbers", "categories of dates")


def _check_categories(given: Any, form: str, kind: str, call: str) -> tuple[str, ...]:
    """The categories of a stored field."""
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
        raise state_error(call, "categories that are a list of texts", repr(given)[:80])
    if (kind == "categorical") != (len(given) > 0):
        got = f"{len(given)} of kind {kind!r}"
        raise state_error(call, "categories in categorical fields, and there only", got)
    if len(given) > MOST_CATEGORIES:
        raise state_error(call, f"at most {MOST_CATEGORIES} categories", f"{len(given)}")
    if any(low >= high for low, high in pairwise(given)):
        raise state_error(call, "sorted, distinct categories", "others")
    if form != "text" and not all(_is_number(text) for text in given):
        raise state_error(call, f"categories that are numbers in a field of form {form!r}", "text")
    return tuple(given)


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
