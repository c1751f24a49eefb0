"""`sciai train` and `sciai evaluate`: Hydra configs from conf/, one path for all domains."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import show

if TYPE_CHECKING:
    from omegaconf import DictConfig

Domain = Annotated[
    str,
    typer.Argument(
        metavar="DOMAIN", help="A file of conf/domain: [bold]radar[/bold], or [bold]tutorial[/bold]."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Hydra overrides, such as trainer.max_epochs=1 or trainer=gpu."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout.")]


def train(domain: Domain, overrides: Overrides = None, json: AsJson = False) -> None:
    """Train a domain's model, calibrate it, and save a checkpoint with its card.

    A run that was interrupted goes on where it stopped when the same command
    is given again.

    [bold]Examples[/bold]

    [dim]# a first run, in seconds; conf/domain/tutorial.yaml explains it[/dim]
    sciai train tutorial

    [dim]# another length, another seed[/dim]
    sciai train radar trainer.max_epochs=1 seed=7

    [dim]# on a GPU, into another folder[/dim]
    sciai train radar trainer=gpu out=runs/mine
    """
    from sciai.core import run

    cfg = _compose(domain, overrides)
    _hush()
    with contextlib.redirect_stdout(sys.stderr):  # Lightning writes its bars to stdout, which is for figures
        done = run.train(cfg)
    if _of_several():
        return
    if json:
        show.print_json(done)
        return
    show.print_table(f"{domain}: trained in {done.seconds:.0f} s", ["figure", "value"], _rows(done.metrics))
    # with the same words: without them it would look for another checkpoint, and for other data
    where = [] if done.path.name == "model" else [f"checkpoint={done.path}"]  # a rehearsal lies elsewhere
    again = shlex.join(["sciai", "evaluate", domain, *(overrides or []), *where])
    show.stderr().print(f"checkpoint: {done.path}  (sha256 {done.hash[:12]})", markup=False)
    show.stderr().print(f"next: {again}", markup=False, highlight=False, soft_wrap=True)


def evaluate(domain: Domain, overrides: Overrides = None, json: AsJson = False) -> None:
    """Measure a trained checkpoint on data that it has not seen; refuses where it has seen them.

    [bold]Examples[/bold]

    sciai evaluate tutorial
    sciai evaluate radar checkpoint=runs/mine/model --json
    """
    from sciai.core import run

    cfg = _compose(domain, overrides)
    _hush()
    with contextlib.redirect_stdout(sys.stderr):
        found = run.evaluate(cfg)
    if _of_several():
        pass
    elif json:
        show.print_json({"level": found.level, **show.plain(found)})
    else:
        show.print_table(f"{domain}: test part", ["figure", "value"], _rows(found.metrics))
        show.print_findings(found.findings, found.level.name.lower())
    if found.level.name == "REFUSE":
        raise typer.Exit(3)


def _of_several() -> bool:
    """Whether this is one of several processes and not the first, which speaks for all."""
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    return bool(getattr(rank_zero_only, "rank", 0))


def _hush() -> None:
    """Keep Lightning's tips and deprecation notes out of the way; its progress bars stay."""
    import logging
    import warnings

    import pytorch_lightning  # noqa: F401  # sets its loggers up when imported, so it has to come first

    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric|torch\.utils")
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*|.*exists and is not empty.*")


def _compose(domain: str, overrides: list[str] | None) -> DictConfig:
    from sciai.core.errors import BadInput
    from sciai.core.resources import conf_dir
    from sciai.core.run import compose

    known = sorted(path.stem for path in (conf_dir() / "domain").glob("*.yaml"))
    if domain not in known:
        raise BadInput(f"there is no domain {domain!r}", fix=f"choose from {', '.join(known)}")
    if any(word.lstrip("+").startswith("domain=") for word in overrides or ()):
        fix = f"name it once: sciai train OTHER; variants are domain/{domain}@domain=NAME"
        raise BadInput("the domain is given twice", field="domain", fix=fix)
    return compose(domain, overrides or [])


def _rows(figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in figures.items() if not isinstance(value, Mapping | list | tuple)]
