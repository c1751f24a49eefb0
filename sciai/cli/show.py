"""What every command prints alike: JSON, tables, verdicts, progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sciai.core.answer import Answer, Finding
    from sciai.trust.sign import Signer

Step = Callable[[float, str], None]
"""Progress callback: part done (0 to 1, below 0 for unknown) and what is being done."""

_COLOUR = {"ok": "green", "caution": "yellow", "refuse": "red"}


def stderr() -> Console:
    """Console for people; stdout stays free for figures."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """Console for figures."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def signer(key: Path) -> Signer:
    """The private key in a file; a caution on stderr where others may read it, too."""
    from sciai.trust.sign import Signer

    loaded = Signer.load(key)
    if said := Signer.exposed(key):
        typer.secho(f"caution: {said}", err=True, fg="yellow")
    return loaded


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Step]:
    """A progress bar on stderr for work that may take longer than two seconds.

    Args:
        what: what is being done, in a few words.
        quiet: show nothing.

    Yields:
        A function to call with the part done and, where it changes, what is being done.
    """
    if quiet:
        yield _silent
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TimeElapsedColumn(),
        console=stderr(),
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None)

        def step(part: float, text: str = "") -> None:
            bar.update(task, completed=part, total=1.0 if part >= 0 else None, description=text or what)

        yield step


def _silent(part: float, text: str = "") -> None:
    """The progress callback of a quiet command."""


def print_json(figures: Any) -> None:
    """Print figures as JSON on stdout; NaN becomes null."""
    from sciai.core.answer import jsonable

    plain_signs = (
        not (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    )  # a "?" would be another name
    typer.echo(json.dumps(jsonable(figures), indent=2, ensure_ascii=plain_signs))


def plain(value: Any) -> dict[str, Any]:
    """A dataclass as a mapping of its fields, for `print_json`."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, notes: str = ""
) -> None:
    """Print a table; numbers to the right, None as a dash."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    lines = [[cell(value) for value in row] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, caption=escape(notes) or None, caption_justify="left")
    for place, column in enumerate(columns):
        numeric = bool(lines) and all(
            line[place][:1] in "0123456789-+<≥" or not line[place] for line in lines
        )
        table.add_column(escape(column), justify="right" if numeric and place else "left", no_wrap=place == 0)
    for line in lines:
        table.add_row(*map(escape, line))  # what users wrote is no markup
    console = stdout()
    console.print(f"[bold]{escape(title)}[/]")
    console.print(table)


def cell(value: Any) -> str:
    """A figure as a person wants to read it.

    Example:
        >>> cell(0.12345), cell(12345.6), cell(None), cell(True), cell(float("inf"))
        ('0.123', '12,346', '-', 'yes', '∞')
    """
    if value is None or value != value:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            return "∞" if value > 0 else "-∞"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def print_findings(findings: Iterable[Finding], level: str) -> None:
    """Print the verdict of an answer and what led to it."""
    from rich.markup import escape

    console = stdout()
    console.print(f"verdict: [bold {_COLOUR[level]}]{level.upper()}[/]")
    for finding in findings:
        name = finding.level.name.lower()
        where = f" ({finding.where})" if finding.where else ""
        console.print(f"  [{_COLOUR[name]}]●[/] {escape(finding.message)}{escape(where)}", soft_wrap=True)


def finish(answer: Answer[Any]) -> None:
    """End a command that printed an answer: exit code 3 where it was refused."""
    if answer.level.name == "REFUSE":
        raise typer.Exit(3)


def report(found: Sequence[Finding], json: bool) -> None:
    """Print findings, one a line; a refusal among them is exit code 3."""
    worst = max(finding.level for finding in found)
    if json:
        print_json({"level": worst, "findings": found})
    else:
        for finding in found:
            where = f" ({finding.where})" if finding.where else ""
            typer.echo(f"{'ok' if finding.level.name == 'OK' else 'WRONG'}{where}: {finding.message}")
    if worst.name == "REFUSE":
        raise typer.Exit(3)


def pairs(texts: Sequence[str], option: str) -> float | dict[str, float] | None:
    """Read a repeatable option of the kind ``35`` or ``DBZH=40``.

    Args:
        texts: what was given, in order.
        option: its name, for the message.

    Returns:
        None for nothing, a number for one bare number, else a mapping; a bare number beside named ones stands
        under ``"*"``.

    Raises:
        typer.BadParameter: on anything else.

    Example:
        >>> pairs(["35"], "--psnr"), pairs(["DBZH=40", "ZDR=38"], "--psnr")
        (35.0, {'DBZH': 40.0, 'ZDR': 38.0})
    """
    named: dict[str, float] = {}
    for text in texts:
        for word in text.split(","):
            name, _, number = word.rpartition("=")
            try:
                named[name.strip() or "*"] = float(number)
            except ValueError:
                example = "35 or DBZH=40" if option == "--psnr" else "DBZH=1"
                raise typer.BadParameter(
                    f"{text!r} is not a number or NAME=number, such as {example}"
                ) from None
    if not named:
        return None
    return named["*"] if list(named) == ["*"] else named
