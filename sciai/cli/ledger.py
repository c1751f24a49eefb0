"""`sciai ledger`, and what records answers while another command runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import show

if TYPE_CHECKING:
    from sciai.trust.ledger import Ledger
    from sciai.trust.record import Question

DOMAINS = ("atoms", "health", "radar")
AsJson = Annotated[bool, typer.Option("--json", help="Print plain JSON on stdout.")]
Folder = Annotated[Path, typer.Argument(metavar="LEDGER", help="Folder of the ledger.")]
KeyFile = Annotated[Path, typer.Option("--key", help="Private key (PEM); make one with `sciai key new`.")]

ledger = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The append-only, signed record of answers, decisions and releases.",
)


@contextmanager
def recording(
    folder: Path | None,
    key: Path | None,
    queue: Path | None,
    *,
    use: str = "",
    use_class: str = "",
    refer: str = "refuse",
    in_clear: bool = False,
) -> Iterator[None]:
    """While in the block, every answer is recorded in a ledger, refused ones are referred, a use is declared.

    Args:
        folder: the ledger; None records nothing.
        key: its private key.
        queue: where answers are referred to; None refers nothing.
        use: what the answers are used for, in words.
        use_class: A, B or C.
        refer: the level from which answers are referred.
        in_clear: keep personal values as they are.

    Raises:
        BadInput: a ledger without its key, or an unknown level or class.
    """
    from sciai.core.answer import Level
    from sciai.core.errors import BadInput
    from sciai.core.listen import listening
    from sciai.trust.ledger import Ledger
    from sciai.trust.record import Recorder
    from sciai.trust.referral import Queue
    from sciai.trust.stage import declared

    if folder is not None and key is None:
        raise BadInput("a ledger needs its key", field="--key", fix="give the key it was made with")
    kept = Ledger(folder, show.signer(key)) if folder is not None and key is not None else None
    waiting = Queue(queue, kept) if queue is not None else None
    said = f"{use_class}: {use}" if use and use_class else use or use_class
    with ExitStack() as stack:
        stack.enter_context(declared(use_class))
        if kept is not None or waiting is not None:
            level = Level.parse(refer)
            stack.enter_context(
                listening(Recorder(kept, use=said, queue=waiting, refer=level, in_clear=in_clear))
            )
        yield


@ledger.command("new")
def new_ledger(folder: Folder, key: KeyFile) -> None:
    """Begin an empty ledger.

    [bold]Example[/bold]

    sciai key new service.pem
    sciai ledger new answers --key service.pem
    sciai --ledger answers --key service.pem health risk panel.csv
    """
    from sciai.trust.ledger import Ledger

    made = Ledger.create(folder, show.signer(key))
    typer.echo(f"{folder}: an empty ledger, kept by {made.name}")


@ledger.command()
def verify(
    folder: Folder,
    anchor: Annotated[
        Path | None, typer.Option(help="A head of this ledger that was kept elsewhere (see `anchor`).")
    ] = None,
    json: AsJson = False,
) -> None:
    """Check every entry: edits, deletions, reordering, a removed end; with an anchor also forks.

    [bold]Examples[/bold]

    sciai ledger verify answers
    sciai ledger verify answers --anchor kept-elsewhere.json
    """
    from sciai.trust.ledger import Head, Ledger

    found = Ledger(folder).verify(Head.load(anchor) if anchor else None)
    show.report(found, json)


@ledger.command("anchor")
def print_anchor(folder: Folder) -> None:
    """Print the ledger's signed head, to be kept elsewhere: whoever has it can find a fork.

    [bold]Example[/bold]

    sciai ledger anchor answers > kept-elsewhere.json
    """
    from sciai.trust.ledger import Ledger

    show.print_json(show.plain(Ledger(folder).head))


@ledger.command("show")
def show_entries(
    folder: Folder,
    id: Annotated[str, typer.Argument(help="One entry, whole, by id or number. [the last ones]")] = "",
    last: Annotated[int, typer.Option(min=1, help="How many, counted from the end.")] = 20,
    kind: Annotated[
        str, typer.Option(help="Only entries of this kind (answer, decision, release ...).")
    ] = "",
    json: AsJson = False,
) -> None:
    """List the last entries, or show one of them.

    [bold]Examples[/bold]

    sciai ledger show answers --last 50 --kind answer
    sciai ledger show answers 3fa9c2
    """
    from sciai.trust.ledger import Ledger

    if id:
        show.print_json(show.plain(Ledger(folder).find(id)))
        return
    entries = [e for e in Ledger(folder).entries() if not kind or e.kind == kind][-last:]
    if json:
        show.print_json([show.plain(entry) for entry in entries])
        return
    rows = [(e.id, str(e.number), e.time[:19], e.kind, _summary(e.body)) for e in entries]
    show.print_table(str(folder), ["id", "number", "time (UTC)", "kind", "what"], rows)


def _summary(body: Any) -> str:
    names = ("domain", "call", "level", "use", "case", "decision", "by", "name", "stage")
    return ", ".join(f"{name} {body[name]}" for name in names if body.get(name) not in (None, ""))


@ledger.command()
def covers(json: AsJson = False) -> None:
    """What is recorded and can be asked again, and what is not, with the reason.

    Of tables, virtual people and decoded volumes the ledger keeps digests of
    what came in and of what went out, never the rows.
    """
    from importlib import import_module

    told: dict[str, dict[str, Any]] = {
        domain: {
            "recorded": list(import_module(f"sciai.{domain}.api.replay").CALLS),
            "not_recorded": dict(import_module(f"sciai.{domain}.api.record").UNRECORDED),
        }
        for domain in DOMAINS
    }
    if json:
        show.print_json(told)
        return
    rows = [(d, ", ".join(t["recorded"]), "yes") for d, t in told.items()]
    rows += [(d, name, f"no: {why}") for d, t in told.items() for name, why in t["not_recorded"].items()]
    show.print_table("What the ledger keeps", ["domain", "call", "recorded"], rows)


@ledger.command()
def replay(
    folder: Folder,
    id: Annotated[str, typer.Argument(help="Id of the entry, as `sciai ledger show` lists it.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="The command that asked, to be given again."),
    ] = None,
    input: Annotated[
        list[Path] | None, typer.Option("--input", help="An input that was moved since; repeatable.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The checkpoint that answered, where it was moved.")
    ] = None,
    arguments: Annotated[
        Path | None, typer.Option(help="JSON of the question, as `sciai refer show` prints it.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Ask again what an entry records, and compare: the same answer, or what differs.

    Personal questions are in the ledger as digests only: whoever wants them
    replayed gives the values again, by repeating the command behind `--`.

    [bold]Exit codes[/bold]  0 the same answer, 3 another answer (it says what differs), 1 it cannot be
    replayed: the model or an input was changed or is gone, or other values were given

    [bold]Examples[/bold]

    sciai ledger replay answers 3fa9c2
    sciai ledger replay answers 12 --input moved/storm.h5
    sciai ledger replay answers 7 -- health ask -g age=64 -g sex=male -t sbp
    """
    from sciai.trust import replay as again
    from sciai.trust.ledger import Ledger

    kept = Ledger(folder)
    if command:
        _, _, found = again.match(kept, id, _answers_of(command))
    else:
        told = None if arguments is None else _arguments(arguments)
        asking = _ask_again(kept, id, model, input or [])
        _, _, found = again.replay(kept, id, asking, arguments=told)
    show.report(found, json)


def _answers_of(command: list[str]) -> list[Any]:
    """Questions and answers of a command that is run again; what it prints is not shown."""
    from sciai.cli import main
    from sciai.trust.replay import witness

    words = command[1:] if command[0] == "sciai" else command
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), witness() as heard:
        code = main([*words])
    if code not in (0, 3):
        raise typer.Exit(code)
    return heard


def _arguments(file: Path) -> Any:
    import json

    from sciai.core.errors import BadInput

    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"the question cannot be read: {error}", file=file) from error
    if isinstance(content, dict) and "question" in content:
        content = content["question"]  # a whole case, as `sciai refer show` prints it
    return content.get("arguments", content) if isinstance(content, dict) else content


def _ask_again(kept: Ledger, id: str, model: str | None, inputs: list[Path]) -> dict[str, Any]:
    """Domain -> how its questions are asked again."""
    from importlib import import_module

    provenance = kept.find(id).body.get("provenance") or {}
    checkpoint = str(provenance.get("checkpoint") or "")

    def asked(question: Question) -> Any:
        module = import_module(f"sciai.{question.domain}.api.replay")
        return module.replay(question, model=model, inputs=inputs, checkpoint=checkpoint)

    return dict.fromkeys(DOMAINS, asked)
