"""Answers that took long, kept in a file between calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track


def kept(file: Path | None, names: Iterable[str], ask: Callable[[str], Any], label: str) -> dict[str, Any]:
    """What ``ask`` says of each name (plain JSON); what the file holds already is not asked again.

    Args:
        file: written after each answer, so that a stop loses one at most; None keeps nothing.
        names: what is asked about.
        ask: gives the answer of a name.
        label: of the progress bar, on stderr.
    """
    known: dict[str, Any] = json.loads(file.read_text()) if file is not None and file.is_file() else {}
    for name in track([n for n in names if n not in known], label, console=Console(stderr=True)):
        known[name] = ask(name)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(known, indent=1))
    return known
