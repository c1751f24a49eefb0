"""`sciai health | atoms | radar explain`: what carries an answer, with a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import show
from sciai.cli.atoms_options import Structure
from sciai.cli.health_tables import Given

if TYPE_CHECKING:
    from sciai.core.answer import Answer

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Picture = Annotated[Path | None, typer.Option("--output", "-o", help="PNG to draw.")]
Sanity = Annotated[
    bool,
    typer.Option("--sanity", help="Also ask a model with shuffled weights: does the explanation change?"),
]


def health(
    target: Annotated[
        str, typer.Option("--target", "-t", help="The answer to explain, such as dx_diabetes.")
    ],
    given: Given = None,
    panel: Annotated[Path | None, typer.Option(help="A lab sheet of the person.")] = None,
    output: Picture = None,
    sanity: Sanity = False,
    model: Annotated[str, typer.Option(help="A shipped model, or the folder of your own.")] = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which known values carry an answer: Shapley values, in log-odds for a disease.

    What a value adds, averaged over the orders in which the values can be told:
    what the model leans on, not what causes what.

    [bold]Examples[/bold]

    sciai health explain -t dx_diabetes -g age=64 -g sex=male -g bmi=31 -g hba1c=6.1 -o why.png
    sciai health explain -t sbp --panel panel.csv -g age=64 -g sex=male --sanity
    """
    from sciai.cli.health import _someone
    from sciai.core.checkpoint import Checkpoint
    from sciai.health.api import attribution
    from sciai.trust.replay import checkpoint_folder

    with show.progress("loading the model", quiet=quiet) as step:
        person, _ = _someone(model, given, panel)
        step(-1, "asking about parts of what is known")
        answer: Answer[Any] = attribution.explain(person, target)
        if sanity and answer.level.name != "REFUSE":
            step(-1, "asking a model that has learned nothing")
            folder = checkpoint_folder("health", person.human.hash, model)
            loaded = Checkpoint.load(folder)
            others = [attribution.untrained(loaded, seed) for seed in range(6)]
            answer = _with(answer, attribution.check_sanity(person, target, others))
        if answer.level.name != "REFUSE":
            _draw(output, lambda: attribution.attribution_figure(answer, person, target))

    def table() -> None:
        value, unit = answer.unwrap(), answer.estimate.unit if answer.estimate else ""
        error = dict(zip(value.names, value.error.tolist(), strict=True))
        rows = [(n, person.known.shown(n), f"{s:+.3f}", f"{error[n]:.3f}") for n, s in value.ranked()]
        notes = f"{value.base:.3f} where nothing is known, {value.total:.3f} with all of it"
        show.print_table(f"{target}, {unit}", ["value", "is", "adds", "± (se)"], rows, notes=notes)

    _finish(answer, json, output, table)


def atoms(
    file: Structure,
    output: Picture = None,
    sanity: Sanity = False,
    top: Annotated[int, typer.Option(help="Atoms to print.")] = 12,
    model: Annotated[
        str | None, typer.Option(help="A checkpoint's name or folder. [the shipped one]")
    ] = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which atoms carry the energy of a structure, and which the doubt.

    [bold]Examples[/bold]

    sciai atoms explain slab.extxyz -o why.png
    sciai atoms explain NaCl.cif --sanity
    """
    import tempfile

    from sciai.atoms.api import Potential, attribution, read
    from sciai.core.checkpoint import Checkpoint
    from sciai.trust.replay import checkpoint_folder

    with show.progress("loading", quiet=quiet) as step:
        structure, pot = read(file), Potential.load(model)
        step(-1, "asking")
        answer: Answer[Any] = attribution.explain(structure, pot)
        if sanity and answer.level.name != "REFUSE":
            step(-1, "asking a network that has learned nothing")
            folder = checkpoint_folder("atoms", pot.provenance.checkpoint, model)
            with tempfile.TemporaryDirectory() as place:
                others = []
                for seed in range(6):
                    attribution.untrained(Checkpoint.load(folder), seed).save(f"{place}/{seed}")
                    others.append(Potential.load(f"{place}/{seed}"))
            answer = _with(answer, attribution.check_sanity(structure, pot, others))
        if answer.level.name != "REFUSE":
            _draw(output, lambda: attribution.attribution_figure(structure, answer.unwrap(), file.name))

    def table() -> None:
        value = answer.unwrap()
        order = sorted(range(len(structure)), key=lambda i: -value.force_sd[i])[:top]
        rows = [
            (value.energy.names[i], f"{value.energy.share[i]:.3f}", *(
                f"{x[i]:.3g}" for x in (value.force_sd, value.doubt, value.far)
            ))
            for i in order
        ]  # fmt: skip
        columns = ["atom", "energy, eV", "force spread, eV/Å", "share of doubt", "distance / limit"]
        notes = "energy: beside the same atom alone, as the same network has it; most doubtful atoms first"
        show.print_table(f"{file}: {structure.get_chemical_formula()}", columns, rows, notes=notes)

    _finish(answer, json, output, table)


def radar(
    files: Annotated[
        list[Path], typer.Argument(metavar="IN", help="File of the volume; several where it is spread.")
    ],
    var: Annotated[str | None, typer.Option(help="Field to look at. [reflectivity]")] = None,
    sweep: Annotated[int | None, typer.Option(help="Sweep to look at. [the lowest]")] = None,
    psnr: Annotated[float, typer.Option(help="Quality that it is coded with, dB.")] = 35.0,
    output: Picture = None,
    sanity: Sanity = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which tiles of a sweep take the bits, where the model saves them, where the error is.

    [bold]Examples[/bold]

    sciai radar explain KTLX20190525_222419 -o tiles.png
    sciai radar explain in.h5 --var VRADH --sweep 2 --sanity
    """
    from sciai.radar.api import attribution

    volume = files[0] if len(files) == 1 else list(files)
    with show.progress("coding tile by tile", quiet=quiet) as step:
        answer: Answer[Any] = attribution.explain(volume, var, sweep, psnr=psnr)
        if sanity and answer.level.name != "REFUSE":
            step(-1, "coding with a model that has learned nothing")
            answer = _with(answer, attribution.check_sanity(volume, var, sweep))
        if answer.level.name != "REFUSE":
            _draw(output, lambda: attribution.attribution_figure(answer.unwrap()))

    def table() -> None:
        value = answer.unwrap()
        order = sorted(
            ((i, j) for i, j in _places(value.bits.shape) if value.valid[i, j]), key=lambda p: -value.bits[p]
        )
        rows = [
            (f"{i + 1}, {j + 1}", int(value.valid[i, j]), f"{value.bits[i, j] / value.valid[i, j]:.3f}",
             f"{value.saved[i, j] / value.valid[i, j]:+.3f}", f"{value.max_error[i, j]:.3g}")
            for i, j in order[:12]
        ]  # fmt: skip
        columns = ["tile (azimuth, range)", "valid gates", "bits / gate", "saved / gate", "largest error"]
        saved = float(value.saved.sum()) / max(value.total, 1)
        notes = f"{value.total / 8:,.0f} bytes in all; without the learned weights {saved:+.1%}"
        show.print_table(f"{value.variable}, sweep {value.sweep}, {value.unit}", columns, rows, notes=notes)

    _finish(answer, json, output, table)


def _places(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]


def _with(answer: Answer[Any], findings: Any) -> Answer[Any]:
    from dataclasses import replace

    return replace(answer, findings=(*answer.findings, *findings))


def _draw(output: Path | None, figure: Any) -> None:
    from sciai.core.atomic import whole_file
    from sciai.core.errors import BadInput

    if output is None:
        return
    if output.suffix.lower() != ".png":
        raise BadInput("the picture is a PNG", file=output, fix="name it something.png")
    with whole_file(output, overwrite=True) as temporary:
        figure().savefig(temporary, format="png", dpi=150)


def _finish(answer: Answer[Any], json: bool, output: Path | None, table: Any) -> None:
    if json:
        show.print_json(answer.to_dict())
    else:
        if answer.level.name != "REFUSE":
            table()
        show.print_findings(answer.findings, answer.level.name.lower())
        if output is not None and output.is_file():
            typer.echo(str(output))
    show.finish(answer)
