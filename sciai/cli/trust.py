"""`sciai release | card | risks | key`: what makes the models accountable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import show
from sciai.cli.ledger import AsJson

if TYPE_CHECKING:
    from sciai.core.checkpoint import Checkpoint
    from sciai.trust.conditions import Conditions
    from sciai.trust.gate import Standing

Model = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="Name of a shipped checkpoint, or a folder.")
]

risks = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The risk register: what is promised, and whether it is kept.",
)
key = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Keys that sign (Ed25519).")


@key.command("new")
def new_key(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; keep it to yourself.")],
    name: Annotated[str, typer.Option(help="Whose key it is; the file's name when left out.")] = "",
) -> None:
    """Make a key and print its public part, for conf/release/signers.yaml.

    [bold]Example[/bold]

    sciai key new ada.pem --name "Ada Example"
    """
    import json

    from sciai.trust.sign import Signer

    signer = Signer.new(name or file.stem)
    signer.save(file)
    quoted = json.dumps(signer.name, ensure_ascii=False)  # a name with quotes is YAML, too
    typer.echo(f'- {{name: {quoted}, public: "{signer.public}"}}')
    show.stderr().print(
        f"key {signer.key} is in {file}, readable by you only; the line above is for signers.yaml"
    )


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
    show.report(wrong or [good], json)


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
            temporary.write_text(text, encoding="utf-8")
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
    from sciai.trust.gate import Statement, examine, propose, sign
    from sciai.trust.stage import release_file, trusted

    loaded, conditions, standing, audit = _standing(checkpoint)
    if stage != "show":
        file = release_file(_folder(checkpoint))
        # whoever signs, conditions have to hold today
        proposed = propose(loaded, stage, use_class, conditions, audit=audit)  # type: ignore[arg-type]
        if key is None:
            ready = "every condition holds; sign it with --key"
            if json:
                said = Finding("release", Level.OK, ready)
                show.print_json(
                    {"stage": standing.stage, "use_class": standing.use_class, "findings": [said]}
                )
            else:
                typer.echo(ready)
            return
        earlier = Statement.load(file) if file.exists() else None
        sign(earlier, proposed, show.signer(key), trusted()).save(file)
        loaded, conditions, standing, audit = _standing(checkpoint)
    told = [standing.finding(), *(Finding("release", Level.OK, f.message) for f in standing.reasons[1:])]
    higher = {"pilot": "limited", "limited": "production"}.get(standing.stage)
    if higher is not None:
        lacks = [f.message for f in examine(loaded, higher, conditions, audit=audit)]
        what = "; ".join(lacks) or "every condition holds; it has to be signed (--key)"
        told.append(Finding("release", Level.OK, f"for {higher}: {what}"))
    if json:
        show.print_json({"stage": standing.stage, "use_class": standing.use_class, "findings": told})
        return
    typer.echo(f"{loaded.card.name}: {standing.stage}")
    show.print_findings(told, "ok")


def _standing(name: str) -> tuple[Checkpoint, Conditions, Standing, dict[str, Any] | None]:
    from sciai.core.checkpoint import Checkpoint
    from sciai.trust.stage import evidence

    folder = _folder(name)
    loaded = Checkpoint.load(folder)
    return loaded, *evidence(loaded, folder)


def _folder(name: str) -> Path:
    from sciai.core.errors import BadInput
    from sciai.core.resources import checkpoint_named, checkpoints_dir

    folder, shipped = checkpoint_named(name), checkpoints_dir()
    if not folder.is_dir():
        names = sorted(entry.name for entry in shipped.iterdir() if entry.is_dir())
        raise BadInput(
            "there is no such checkpoint", file=name, fix=f"give a folder, or one of {', '.join(names)}"
        )
    return folder
