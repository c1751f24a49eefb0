"""`sciai refer`: answers that wait for a human."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sciai.cli import show
from sciai.cli.ledger import AsJson

refer = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Answers that wait for a human, and what was decided."
)

QueueFile = Annotated[Path, typer.Argument(metavar="QUEUE", help="The queue's SQLite file.")]


@refer.command("list")
def list_cases(
    queue: QueueFile,
    every: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    json: AsJson = False,
) -> None:
    """List the cases that wait, and how often verdicts are overruled."""
    from sciai.trust.referral import Queue

    found = _existing(queue, Queue)
    cases, rates = found.cases(open_only=not every), found.rates()
    if json:
        show.print_json({"cases": [show.plain(case) for case in cases], "rates": show.plain(rates)})
        return
    checks = [", ".join(f["check"] for f in case.answer["findings"] if f["level"] != "ok") for case in cases]
    rows = [
        (str(c.id), c.time[:19], c.domain, c.level, why, c.decision or "open")
        for c, why in zip(cases, checks, strict=True)
    ]
    notes = f"{rates.open} wait; of {rates.decided} decided {rates.overridden} were overruled"
    if rates.decided:
        notes += f" ({rates.override_rate:.0%}, 95 % interval {rates.low:.0%} to {rates.high:.0%})"
    show.print_table(str(queue), ["case", "time", "domain", "level", "checks", "decision"], rows, notes=notes)


@refer.command("show")
def show_case(queue: QueueFile, case: Annotated[int, typer.Argument(help="Number of the case.")]) -> None:
    """Everything that is needed to decide one case, as JSON; it holds the estimate that was withheld."""
    from sciai.trust.referral import Queue

    show.print_json(show.plain(_existing(queue, Queue).case(case)))


@refer.command("decide")
def decide_case(
    queue: QueueFile,
    case: Annotated[int, typer.Argument(help="Number of the case.")],
    decision: Annotated[
        str, typer.Argument(help="uphold (the verdict stands) or override (use it after all).")
    ],
    by: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    ledger: Annotated[
        Path | None, typer.Option(envvar="SCIAI_LEDGER", help="Record the decision in this ledger.")
    ] = None,
    key: Annotated[Path | None, typer.Option(envvar="SCIAI_KEY", help="The ledger's key.")] = None,
) -> None:
    """Record a decision; once, and never silently changed.

    [bold]Example[/bold]

    sciai refer decide cases.db 3 override --by Ada --reason "measured again: 5.4 %"
    """
    from sciai.core.errors import BadInput
    from sciai.trust.ledger import Ledger
    from sciai.trust.referral import Queue

    if (ledger is None) != (key is None):
        raise BadInput("a ledger needs its key", field="--ledger, --key", fix="give both")
    kept = Ledger(ledger, show.signer(key)) if ledger is not None and key is not None else None
    done = _existing(queue, lambda path: Queue(path, kept)).decide(case, decision, by=by, reason=reason)
    typer.echo(f"case {done.id}: {done.decision} by {done.by}")
    if kept is None:
        show.stderr().print("kept in the queue only; --ledger and --key record it in a ledger, too")


def _existing(path: Path, opened: Any) -> Any:
    from sciai.core.errors import BadInput

    if not path.is_file():
        raise BadInput(
            "there is no such queue", file=path, fix="--queue FILE makes one when an answer is refused"
        )
    return opened(path)
