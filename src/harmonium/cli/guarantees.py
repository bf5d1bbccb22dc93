"""What `detect` promises of its flags: the names that a user states."""

from pathlib import Path
from typing import NamedTuple

from harmonium.errors import InvalidInputError, describe

GROUP = "group:"
# Those that fit detectors to parts of the training table.
REFITTING = ("cross", "e-values")
NAMES = ("split", "pattern", "imposed-pattern", *REFITTING)


class Guarantee(NamedTuple):
    """A name among `NAMES`, or "group" with the column whose values are the groups."""

    name: str
    column: str = ""

    def stated(self) -> str:
        """As it is typed."""
        return f"{GROUP}{self.column}" if self.column else self.name


def parse_guarantee(stated: str, training: Path | None) -> Guarantee:
    """What --guarantee states; `training` is what --training does.

    Raises `InvalidInputError` for another name, or where the training table is missing or useless.
    """
    if stated.startswith(GROUP):
        found = Guarantee("group", stated.removeprefix(GROUP))
    elif stated in NAMES:
        found = Guarantee(stated)
    else:
        expected = f"one of {', '.join(NAMES)} or {GROUP}COLUMN"
        raise InvalidInputError(describe("--guarantee", expected=expected, got=repr(stated)))
    if (found.name in REFITTING) != (training is not None):
        needs = f"--guarantee {' or '.join(REFITTING)} together with --training TABLE"
        got = f"--guarantee {stated} " + ("without" if training is None else "with") + " --training"
        raise InvalidInputError(describe("detect", expected=needs, got=got))
    return found
