"""How far long work has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 20.0


class Progress(tqdm):
    """tqdm's bar, on standard error; where that is no terminal, a line every twenty seconds.

    Args:
        arguments: of tqdm, what is iterated over first.
        settings: of tqdm; the bar is taken away in the end unless `leave` says otherwise.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._lines = not (settings.get("file") or sys.stderr).isatty()
        if self._lines:
            settings |= {"mininterval": SECONDS_BETWEEN_LINES, "miniters": 1}
        super().__init__(*arguments, **{"leave": False, **settings})

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Show how far it is; called by tqdm."""
        if not self._lines:
            return super().display(msg, pos)
        if msg is None and self.n:  # not when it begins, nor when the bar is to be taken away
            done, seconds = self.format_dict["n"], self.format_dict["elapsed"]
            what = f"{self.desc or 'done'}: {done:,}"
            if self.total is not None:
                what += f" of {self.total:,}"
            unit = "" if self.unit == "it" else f" {self.unit.strip()}"
            self.fp.write(f"{what}{unit}, {seconds:.0f} s\n")
            self.fp.flush()
        return True

    def close(self) -> None:
        """End it; the bar goes, lines stay as they are."""
        self.disable = self.disable or self._lines
        super().close()
