"""What is wrong with a request: a status, and one line that names column and row."""

from harmonium.errors import InvalidInputError

TITLES = {
    400: "malformed request",
    404: "not found",
    405: "method not allowed",
    408: "request too slow",
    409: "not in this run",
    413: "request too large",
    415: "unknown type of body",
    422: "unusable input",
    500: "internal error",
    503: "busy",
}
# Seconds after which a refused client may try again.
RETRY_AFTER = 1


class ProblemError(Exception):
    """A request that is answered by a status other than 200.

    `column` and `row` (from 1 on) say where, if it is about a cell. `closes` says that the body was
    not read to its end, so that the connection is of no more use.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        column: str | None = None,
        row: int | None = None,
        closes: bool = False,
    ):
        super().__init__(detail)
        self.status, self.column, self.row, self.closes = status, column, row, closes
        self.detail = " ".join(detail.split())

    @staticmethod
    def of_input(error: InvalidInputError) -> "ProblemError":
        """What the library says of an input that cannot be used."""
        return ProblemError(422, str(error), column=error.column, row=error.row)


def busy(reason: str) -> ProblemError:
    """A request that is refused because of the load."""
    return ProblemError(503, f"{reason}. Try: again in {RETRY_AFTER} s.")
