"""The one error a user's mistake raises: where it is, what was found, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A user's input cannot be used; the command line prints it in one line, exit code 2.

    Args:
        where: the file (or settings section) at fault.
        field: the data set, column, row, pixel or key at fault.
        found: what stands there.
        expected: what would be accepted.
    """

    def __init__(self, where: object, field: str, found: object, expected: str) -> None:
        self.where = str(where)
        self.field = field
        self.found = found
        self.expected = expected
        super().__init__(f"{where}: {field}: found {found}, expected {expected}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, object, str]]:
        """Pickled by its arguments, as it comes back from a process of a pool."""
        return type(self), (self.where, self.field, self.found, self.expected)


def one_of(name: str, known: Iterable[str]) -> str:
    """What is expected instead of a name that is not known: the one that is meant, perhaps."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"{close[0]}? It is " if close else ""
    return f"{meant}one of {', '.join(known)}"


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
