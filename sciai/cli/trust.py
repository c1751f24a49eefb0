"""`sciai ledger | refer | release | card | risks | key`: what makes the answers accountable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import show

if TYPE_CHECKING:
    from sciai.core.checkpoint import Checkpoint
    from sciai.trust.gate import Conditions, Standing

AsJson = Annotated[bool, typer.Option("--json", help="Print plain JSON on stdout.")]
Folder = Annotated[Path, typer.Argument(metavar="LEDGER", help="Folder of the ledger.")]
KeyFile = Annotated[Path, typer.Option("--key", help="Private key (PEM); make one with `sciai key new`.")]
Model = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="Name of a shipped checkpoint, or a folder.")
]

ledger = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The append-only, signed record of answers, decisions and releases.",
)
refer = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Answers that wait for a human, and what was decided."
)
risks = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The risk register: what is promised, and whether it is kept.",
)
key = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Keys that sign (Ed25519).")


@contextmanager
def recording(folder: Path, key: Path | None, queue: Path | None, use: str) -> Iterator[None]:
    """While in the block, every answer is recorded in a ledger (and refused ones are referred)."""
    from sciai.core.listen import listening
    from sciai.core.errors import BadInput
    from sciai.trust.ledger import Ledger
    from sciai.trust.record import Recorder
    from sciai.trust.referral import Queue
    from sciai.trust.sign import Signer

    if key is None:
        raise BadInput("a ledger needs its key", field="--key", fix="give the key it was made with")
    kept = Ledger(folder, Signer.load(key))
    with listening(Recorder(kept, use=use, queue=Queue(queue, kept) if queue else None)):
        yield


@key.command("new")
def new_key(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; keep it to yourself.")],
    name: Annotated[str, typer.Option(help="Whose key it is; the file's name when left out.")] = "",
) -> None:
    """Make a key and print its public part, for conf/release/signers.yaml.

    [bold]Example[/bold]

    sciai key new ada.pem --name "Ada Example"
    """
    from sciai.trust.sign import Signer

    signer = Signer.new(name or file.stem)
    signer.save(file)
    typer.echo(f'- {{name: "{signer.name}", public: "{signer.public}"}}')
    show.stderr().print(
        f"key {signer.key} is in {file}, readable by you only; the line above is for signers.yaml"
    )


# -------------------------------------------------------------------------------------------------- ledger


@ledger.command("new")
def new_ledger(folder: Folder, key: KeyFile) -> None:
    """Begin an empty ledger.

    [bold]Example[/bold]

    sciai key new service.pem
    sciai ledger new answers --key service.pem
    sciai --ledger answers --key service.pem health risk panel.csv
    """
    from sciai.trust.ledger import Ledger
    from sciai.trust.sign import Signer

    made = Ledger.create(folder, Signer.load(key))
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
    _findings(found, json)


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
    last: Annotated[int, typer.Option(help="How many, counted from the end.")] = 20,
    kind: Annotated[
        str, typer.Option(help="Only entries of this kind (answer, decision, release ...).")
    ] = "",
    json: AsJson = False,
) -> None:
    """List the last entries."""
    from sciai.trust.ledger import Ledger

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
def replay(
    folder: Folder,
    id: Annotated[str, typer.Argument(help="Id of the entry, as `sciai ledger show` lists it.")],
    arguments: Annotated[
        Path | None, typer.Option(help="JSON of the question, where the ledger keeps only its digest.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Ask again what an entry records, and compare the answers (exit code 3 where they differ)."""
    import json as plain_json

    from sciai.core.errors import BadInput
    from sciai.trust import record
    from sciai.trust.ledger import Ledger

    told = None
    if arguments is not None:
        try:
            told = plain_json.loads(arguments.read_text())
        except ValueError as error:
            raise BadInput(f"not JSON: {error}", file=arguments) from error
    _, _, found = record.replay(Ledger(folder), id, _ask_again(), arguments=told)
    _findings(found, json)


def _ask_again() -> dict[str, Any]:
    """Domain -> how its questions are asked again; looked up by name, since a domain may not offer it."""
    import importlib

    functions = {}
    for domain in ("atoms", "health", "radar"):
        try:
            functions[domain] = importlib.import_module(f"sciai.{domain}.api.replay").replay
        except ModuleNotFoundError:
            continue
    return functions


# ------------------------------------------------------------------------------------------------ referrals

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
    checks = [", ".join(finding["check"] for finding in case.answer["findings"]) for case in cases]
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
    ledger: Annotated[Path | None, typer.Option(help="Record the decision in this ledger.")] = None,
    key: Annotated[Path | None, typer.Option(help="The ledger's key.")] = None,
) -> None:
    """Record a decision; once, and never silently changed.

    [bold]Example[/bold]

    sciai refer decide cases.db 3 override --by Ada --reason "measured again: 5.4 %"
    """
    from sciai.core.errors import BadInput
    from sciai.trust.ledger import Ledger
    from sciai.trust.referral import Queue
    from sciai.trust.sign import Signer

    if (ledger is None) != (key is None):
        raise BadInput("a ledger needs its key", field="--ledger, --key", fix="give both")
    kept = Ledger(ledger, Signer.load(key)) if ledger is not None and key is not None else None
    done = _existing(queue, lambda path: Queue(path, kept)).decide(case, decision, by=by, reason=reason)
    typer.echo(f"case {done.id}: {done.decision} by {done.by}")


def _existing(path: Path, opened: Any) -> Any:
    from sciai.core.errors import BadInput

    if not path.is_file():
        raise BadInput(
            "there is no such queue", file=path, fix="--queue FILE makes one when an answer is refused"
        )
    return opened(path)


# ---------------------------------------------------------------------------------------------- risks, cards


@risks.command("show")
def show_risks(json: AsJson = False) -> None:
    """Print the register: every promise, what keeps it, and whether it is kept today."""
    from sciai.core.resources import conf_dir
    from sciai.trust.risk import Register

    register = Register.load(conf_dir() / "risk")
    if json:
        show.print_json(register)
        return
    rows = [(r.id, r.accepted, r.state) for r in register.risks]
    notes = f"to be reviewed by {register.review_by} ({register.owner})"
    show.print_table("risk register", ["risk", "kept", "how"], rows, notes=notes)


@risks.command("check")
def check_risks(json: AsJson = False) -> None:
    """Fail where a row is empty or stale, or points to something that does not exist (exit code 3)."""
    from sciai.core.answer import Finding, Level
    from sciai.core.resources import conf_dir
    from sciai.trust.risk import Register, check

    folder = conf_dir()
    register = Register.load(folder / "risk")
    wrong = [f for f in check(register, [folder.parent]) if f.level > Level.OK]
    good = Finding("risk-register", Level.OK, f"{len(register.risks)} rows hold until {register.review_by}")
    _findings(wrong or [good], json)


def card(
    checkpoint: Model,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for all documents; the model card on stdout else.")
    ] = None,
) -> None:
    """Write the documents of a checkpoint: model card, system card, Annex IV, maps, ML-BOM.

    [bold]Examples[/bold]

    sciai card radar
    sciai card health --out documents
    """
    from sciai.core.atomic import whole_file
    from sciai.core.resources import conf_dir
    from sciai.trust.card import Record, documents
    from sciai.trust.risk import Register

    loaded, conditions, standing, audit = _standing(checkpoint)
    made = documents(Record(loaded, standing, Register.load(conf_dir() / "risk"), conditions, audit))
    if out is None:
        typer.echo(made["model-card.md"])
        return
    for name, text in made.items():
        with whole_file(out / name, overwrite=True) as temporary:
            temporary.write_text(text)
    typer.echo(f"{out}: {', '.join(made)}")


def release(
    checkpoint: Model,
    stage: Annotated[
        str, typer.Argument(help="limited or production; `show` tells the stage of today.")
    ] = "show",
    use_class: Annotated[str, typer.Option(help="A, B or C: how grave the use is (conf/release).")] = "A",
    key: Annotated[
        Path | None, typer.Option(help="Sign with this key; several people sign one after another.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Release a checkpoint, or say why it cannot be; and tell what stage holds today.

    Conditions are in conf/release/DOMAIN.yaml. Each signer runs the command with
    their own key; the stage holds once enough distinct people have signed.

    [bold]Examples[/bold]

    sciai release radar
    sciai release radar limited --key ada.pem
    """
    from sciai.core.answer import Finding, Level
    from sciai.trust.gate import Statement, propose
    from sciai.trust.sign import Signer

    loaded, conditions, standing, audit = _standing(checkpoint)
    if stage != "show":
        file, statement = _release_file(checkpoint), None
        if file.exists():
            statement = Statement.load(file)
        same = statement is not None and (
            (statement.checkpoint, statement.stage, statement.use_class, statement.conditions)
            == (loaded.hash, stage, use_class, conditions.hash)
        )
        if statement is None or not same:
            statement = propose(loaded, stage, use_class, conditions, audit=audit)  # type: ignore[arg-type]
        if key is None:
            typer.echo("every condition holds; sign it with --key")
            return
        statement.signed(Signer.load(key)).save(file)
        loaded, conditions, standing, audit = _standing(checkpoint)
    told = [standing.finding(), *(Finding("release", Level.OK, f.message) for f in standing.reasons[1:])]
    if json:
        show.print_json({"stage": standing.stage, "use_class": standing.use_class, "findings": told})
        return
    typer.echo(f"{loaded.card.name}: {standing.stage}")
    show.print_findings(told, "ok")


def _standing(name: str) -> tuple[Checkpoint, Conditions, Standing, dict[str, Any] | None]:
    from sciai.core.checkpoint import Checkpoint
    from sciai.core.resources import conf_dir
    from sciai.trust.gate import Conditions, Statement, load_audit, standing
    from sciai.trust.sign import Keyring

    folder = _folder(name)
    loaded = Checkpoint.load(folder)
    where = conf_dir() / "release"
    conditions = Conditions.load(where / f"{loaded.card.domain}.yaml")
    file = _release_file(name)
    statement = Statement.load(file) if file.exists() else None
    audit = load_audit(folder.with_name(f"{folder.name}.audit.json"))
    trusted = Keyring.load(where / "signers.yaml")
    return loaded, conditions, standing(loaded, statement, conditions, trusted, audit=audit), audit


def _folder(name: str) -> Path:
    from sciai.core.errors import BadInput
    from sciai.core.resources import checkpoints_dir

    own, shipped = Path(name), checkpoints_dir()
    folder = own if (own / "MANIFEST.json").is_file() else shipped / name
    if not folder.is_dir():
        names = sorted(entry.name for entry in shipped.iterdir() if entry.is_dir())
        raise BadInput(
            "there is no such checkpoint", file=name, fix=f"give a folder, or one of {', '.join(names)}"
        )
    return folder


def _release_file(name: str) -> Path:
    folder = _folder(name)
    return folder.with_name(f"{folder.name}.release.json")


def _findings(found: Any, json: bool) -> None:
    """Print findings; a refusal among them is exit code 3."""
    from sciai.core.answer import Level

    worst = max(finding.level for finding in found)
    if json:
        show.print_json({"level": worst, "findings": found})
    else:
        for finding in found:
            where = f" ({finding.where})" if finding.where else ""
            typer.echo(f"{'ok' if finding.level == Level.OK else 'WRONG'}{where}: {finding.message}")
    if worst >= Level.REFUSE:
        raise typer.Exit(3)
