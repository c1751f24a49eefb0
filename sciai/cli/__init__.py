"""The `sciai` command."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """Check the question, estimate, check the estimate, say how sure."""


def main() -> None:
    """Run the command line."""
    app()
