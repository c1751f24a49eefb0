"""`sciai atoms data`: labelled structures for training, made from nothing or read from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sciai.cli import show

if TYPE_CHECKING:
    from sciai.atoms.data.store import Store

app = typer.Typer(
    name="data",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Labelled structures for training: build, read, show.",
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout, nothing else.")]

# a teacher of crystals makes all but molecules; one of molecules nothing else
_SHARES = {
    "crystals": {
        "crystal": 0.30,
        "sheared": 0.06,
        "around": 0.34,
        "salt": 0.04,
        "element": 0.06,
        "oxide": 0.08,
        "packing": 0.07,
        "pair": 0.03,
        "molecule": 0.02,
    },
    "molecules": {"molecule": 1.0},
}


@app.command(no_args_is_help=True)
def build(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the store; old ones go on.")],
    structures: Annotated[int, typer.Option("--structures", "-n", min=1, help="Stop at so many.")] = 20000,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after this time.")] = None,
    teacher: Annotated[
        str, typer.Option(help="7net-0, 7net-l3i5, mattersim-1m, mattersim-5m, chgnet; gfn2: molecules.")
    ] = "7net-0",
    around: Annotated[
        list[Path] | None,
        typer.Option(help="Your own structures (any ASE format), to make more like them; repeatable."),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="crystal, archetype, element, oxide, textbook, sheared, around, hot, melt, packing, salt, "
            "liquid, alloy, surface, pair, molecule.",
        ),
    ] = None,
    largest: Annotated[int, typer.Option(min=2, help="Atoms in a cell at most.")] = 16,
    seed: Annotated[int, typer.Option(help="Same seed, same structures.")] = 0,
    with_dev: Annotated[
        bool, typer.Option("--with-dev", help="Also the systems that figures are made on.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Invent structures, have a teacher label them, and keep them; goes on where it was stopped.

    Crystal prototypes with other elements, settled, rattled, strained, heated, pressed, with defects, cut to
    surfaces and clusters. The teachers' weights come with [bold]pip install 'sciai\\[teachers]'[/bold]; about
    20 labels per second on a quiet core with 7net-0.

    [bold]Examples[/bold]

    sciai atoms data build labels -n 30000 --minutes 75

    sciai atoms data build hot --teacher mattersim-1m --family melt=0.9 --family packing=0.1

    sciai atoms data build mine --around my.extxyz --family around=1

    sciai atoms data build molecules --teacher gfn2 -n 3000
    """
    from sciai.atoms.data.build import Progress
    from sciai.atoms.data.build import build as make
    from sciai.atoms.data.generate import Plan
    from sciai.atoms.data.readers import read_structures
    from sciai.atoms.data.teachers import teacher as find
    from sciai.core.errors import BadInput

    shares = _SHARES["molecules" if teacher == "gfn2" else "crystals"]
    if family:
        shares = dict(_share(text) for text in family)
    own = [atoms for path in around or () for atoms in read_structures(path)]
    if not own:
        shares = {name: share for name, share in shares.items() if name not in ("around", "hot")}
        if not shares:
            raise BadInput(
                "structures around your own need your own", field="around", fix="pass --around FILE"
            )
    plan = Plan(shares, largest, tuple(own), keep_dev_out=not with_dev)
    labels = find(teacher)

    with show.progress("labelling", quiet=quiet) as step:

        def report(now: Progress) -> None:
            speed = now.asked / max(now.seconds, 1e-9)
            step(min(1.0, now.records / structures), f"{now.records:,} structures, {speed:.1f} labels/s")

        built = make(store, labels, plan, structures=structures, seed=seed, minutes=minutes, report=report)
    _print(built, as_json)


@app.command(no_args_is_help=True)
def read(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="extxyz(.gz), ase.db, OUTCAR ...")],
    into: Annotated[Path, typer.Option(metavar="STORE", help="Folder of the store to write.")],
    source: Annotated[str, typer.Option(help="Level of theory; its energies share one zero.")],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out structures that cannot be used, and say which.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read labelled structures of your own into a store.

    Units are eV, eV/Å and eV/Å³; labels that cannot be are refused with their place.

    [bold]Examples[/bold]

    sciai atoms data read OUTCAR.1 OUTCAR.2 --into mine --source pbe

    sciai atoms data read big.extxyz.gz --into mine --source r2scan --skip-bad
    """
    from sciai.atoms.data.readers import records_from
    from sciai.atoms.data.records import Record
    from sciai.atoms.data.store import Store
    from sciai.atoms.train.doubts import charged
    from sciai.core.errors import BadInput

    bad: list[BadInput] = []
    records: list[Record] = []
    for path in files:
        records += records_from(path, source, kind=path.name, skip=bad.append if skip_bad else None)
        if said := charged(path):
            typer.secho(said, err=True, fg="yellow")
    for error in bad:
        typer.secho(f"left out: {error}", err=True, fg="yellow")
    if not records:
        raise BadInput("no structure is left", file=files[0])
    _print(Store.write(into, records, note=f"read as {source}: {', '.join(f.name for f in files)}"), as_json)


@app.command(no_args_is_help=True)
def crystals(
    out: Annotated[Path, typer.Argument(metavar="OUT.extxyz", help="File to write.")],
    packages: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the packages are, or are kept; else the user's cache."),
    ] = None,
    largest: Annotated[int, typer.Option(min=1, help="Atoms in a cell at most.")] = 60,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    quiet: Quiet = False,
) -> None:
    """Fetch some 9,000 crystals of the Materials Project, which packages on PyPI carry, to label around them.

    Positions and cells alone; 28 MB are fetched once, and known by their checksums.

    [bold]Example[/bold]

    sciai atoms data crystals mp.extxyz

    sciai atoms data build labels --teacher mattersim-1m --around mp.extxyz --family around=1
    """
    import pooch
    from ase.io import write

    from sciai.atoms.data.published import crystals as found_in
    from sciai.atoms.data.published import fetched
    from sciai.core.atomic import whole_file
    from sciai.core.errors import BadInput

    if out.suffix.lower() not in (".extxyz", ".xyz"):
        raise BadInput("crystals are written as extended XYZ", file=out, fix=f"{out.stem}.extxyz")
    with whole_file(out, overwrite=overwrite) as partial, show.progress("fetching", quiet=quiet) as step:
        files = fetched(packages or Path(pooch.os_cache("sciai")), step=step)
        step(0.9, "reading")
        found = found_in(files, largest)
        write(partial, found, format="extxyz", columns=["symbols", "positions"])
    atoms = sum(map(len, found))
    typer.secho(f"{out}: {len(found):,} crystals, {atoms:,} atoms, without labels", err=True)


@app.command("show", no_args_is_help=True)
def show_store(
    store: Annotated[list[Path], typer.Argument(metavar="STORE", help="Folder of a store; several as one.")],
    as_json: AsJson = False,
) -> None:
    """How many structures of which source and kind, which elements, how large the labels.

    [bold]Example[/bold]  sciai atoms data show labels
    """
    from sciai.atoms.data.store import Store

    _print(Store(*store), as_json)


def _share(text: str) -> tuple[str, float]:
    from sciai.atoms.data.generate import FAMILIES

    name, _, value = text.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if name not in FAMILIES or not 0 < share < 1e6:
        known = ", ".join(FAMILIES)
        raise typer.BadParameter(f"{text!r} is no family=share with a share above 0; families: {known}")
    return name, share


def _print(store: Store, as_json: bool) -> None:
    from sciai.atoms.data.records import is_dev
    from sciai.atoms.data.tiers import element_counts

    rows = store.summary()
    systems = set(store.groups)
    sizes = store.column("sizes")
    figures = {
        "structures": len(store),
        "atoms": int(sizes.sum()),
        "chemical_systems": len(systems),
        "of_them_for_development": sum(map(is_dev, systems)),
        "elements": len(store.elements),
        "rows": [
            {"source": source, "kind": kind, "structures": n, "atoms": atoms}
            for source, kind, n, atoms in rows
        ],
        "by_element": {
            symbol: row["structures"] + row["curves"] for symbol, row in element_counts(store).items()
        },
    }
    if as_json:
        typer.echo(json.dumps(figures))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("source", "kind", "structures", "atoms", box=None, header_style="bold")
    for source, kind, n, atoms in rows:
        table.add_row(source, kind or "-", f"{n:,}", f"{atoms:,}")
    console = Console()
    console.print(table)
    fewest = sorted(figures["by_element"].items(), key=lambda item: item[1])[:8]  # type: ignore[attr-defined]
    console.print(
        f"{len(store):,} structures of {len(systems):,} chemical systems, {len(store.elements)} elements; "
        f"fewest: {', '.join(f'{symbol} {n}' for symbol, n in fewest)}"
    )
