"""The `sciai` command: one sub-command for each job, thin over the api rooms.

Exit codes: 0 done, 1 an error (one sentence on stderr), 2 a wrong command line, 3 an answer was refused.
Figures go to stdout (pure JSON with --json), progress and warnings to stderr. Nothing heavy is imported
before a command runs, so that `sciai --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from sciai.cli import atoms, audit, demo, drift, explain, health, ledger, radar, refer, train, trust

__all__ = ["app", "main"]

app = typer.Typer(
    name="sciai",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from sciai import __version__

        typer.echo(f"sciai {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
    ledger_folder: Annotated[
        Path | None,
        typer.Option("--ledger", envvar="SCIAI_LEDGER", help="Record every answer in this ledger."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(envvar="SCIAI_KEY", help="The ledger's private key (PEM).")
    ] = None,
    in_clear: Annotated[
        bool,
        typer.Option("--in-clear", help="Record values of people as they are. [salted digests]"),
    ] = False,
    queue: Annotated[
        Path | None, typer.Option(envvar="SCIAI_QUEUE", help="Refer refused answers to this queue.")
    ] = None,
    refer_from: Annotated[
        str, typer.Option("--refer", help="Refer from this level on: refuse, or caution too.")
    ] = "refuse",
    use: Annotated[
        str, typer.Option(envvar="SCIAI_USE", help="What the answers are used for, in words.")
    ] = "",
    use_class: Annotated[
        str,
        typer.Option(
            envvar="SCIAI_USE_CLASS", help="How grave that use is: A, B or C (see `sciai release`)."
        ),
    ] = "",
) -> None:
    """Scientific generative models that check the question, estimate, check the estimate, and say how sure.

    [bold]Start here[/bold]

    sciai demo                            each domain's main job, one HTML report
    sciai radar compress in.h5 out.zarr   a radar volume, every field at 35 dB
    sciai radar compress --help           more examples; every command has them

    [bold]Exit codes[/bold]  0 done, 1 error, 2 wrong command line, 3 the answer was refused
    """
    if ledger_folder is not None or queue is not None or use_class:
        context.with_resource(
            ledger.recording(
                ledger_folder, key, queue, use=use, use_class=use_class, refer=refer_from, in_clear=in_clear
            )
        )


app.command("demo")(demo.demo)
app.command("train", context_settings={"ignore_unknown_options": True})(train.train)
app.command("evaluate", context_settings={"ignore_unknown_options": True})(train.evaluate)
health.app.command("explain", no_args_is_help=True)(explain.health)
atoms.app.command("explain", no_args_is_help=True)(explain.atoms)
radar.app.command("explain", no_args_is_help=True)(explain.radar)
app.add_typer(health.app, name="health")
app.add_typer(radar.app, name="radar")
app.add_typer(atoms.app, name="atoms")
app.command("audit")(audit.audit)
app.command("drift", no_args_is_help=True)(drift.drift)
app.command("release")(trust.release)
app.command("card")(trust.card)
app.add_typer(trust.risks, name="risks")
app.add_typer(ledger.ledger, name="ledger")
app.add_typer(refer.refer, name="refer")
app.add_typer(trust.key, name="key")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; those of the process when None.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # --debug is welcome anywhere, also behind the sub-command, where people add it after a failure
    debug = "--debug" in arguments or bool(os.environ.get("SCIAI_DEBUG"))
    arguments = [word for word in arguments if word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        # an answer must not end in the middle for a sign that the terminal's encoding lacks
        if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")
    try:
        app(args=arguments, prog_name="sciai")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        # the reader of a pipe went away (`sciai ... | head`): no error, and Python must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """One clear sentence for an error on purpose; where to look for any other. Returns the exit code."""
    from sciai.core.answer import Refused
    from sciai.core.errors import SciaiError

    if isinstance(error, Refused):
        typer.secho(f"refused: {error}", err=True, fg="yellow")
        return 3
    if isinstance(error, SciaiError):
        typer.secho(f"error: {error}", err=True, fg="red")
        return 1
    if isinstance(error, OSError):
        typer.secho(f"error: {error}", err=True, fg="red")
    elif isinstance(error, MemoryError):
        typer.secho("error: out of memory", err=True, fg="red")
    else:
        words = f"error: {type(error).__name__}: {error}"
        advice = "This is a fault in sciai, not in your input; run again with --debug and report it."
        typer.secho(f"{words}\n{advice}", err=True, fg="red")
    return 1
