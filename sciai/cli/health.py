"""`sciai health`: lab sheets read, risks beside peers, courses over dates, virtual humans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sciai.cli import health_show, health_tables, show
from sciai.cli.health_tables import AsJson, Given, Model, Quiet, load, pairs

if TYPE_CHECKING:
    from sciai.health import Person
    from sciai.health.data.panels import Panel

app = typer.Typer(
    name="health",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The virtual human: disease risks beside peers, what a combination of lab values means, courses "
    "over dates, virtual people. Reference values from US adults, not a diagnosis.",
)

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
    line; names in English or Japanese, LOINC or JLAC10 codes; UTF-8, UTF-16, Shift_JIS, EUC-JP or Latin-1;
    or a FHIR R4 bundle
    """
    from sciai.health.api.panel import fitted, latest, person_of
    from sciai.health.api.report import panel_report

    with show.progress("reading the sheet", quiet=quiet) as step:
        panels = _read(panel, fasting)
        chosen = latest(panels, date)
        known = _person_known(age, sex, given, [chosen])
        step(-1, "loading the model")
        human = load(model)
        chosen = fitted(chosen, human.schema)
        step(-1, "asking")
        report = panel_report(person_of(human.given(known), chosen), chosen)
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
    from sciai.health.api.panel import fitted, latest, person_of, with_findings

    if panel is None:
        answer = load(model).given(pairs(_with(given, age, sex))).unusual()
    else:
        human = load(model)
        chosen = fitted(latest(_read(panel, fasting), date), human.schema)
        known = _person_known(age, sex, given, [chosen])
        answer = with_findings(person_of(human.given(known), chosen).unusual(), chosen.findings)
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
        human = load(model)
        step(-1, "asking about every date")
        answer = course(human, panels, human.given(known))
        page = _page(html, "timeline", answer, None)
    if json:
        show.print_json({**answer.to_dict(), "html": page})
    else:
        health_show.print_timeline(answer, page)
    show.finish(answer)


def _read(path: Path, fasting: bool | None) -> list[Panel]:
    from sciai.health.data.panels import read_panels

    return read_panels(path, fasting=fasting)


def _with(given: Sequence[str] | None, age: float | None, sex: str | None) -> list[str]:
    more = [f"age={age:g}"] if age is not None else []
    return [*(given or []), *more, *([f"sex={sex}"] if sex is not None else [])]


def _person_known(
    age: float | None, sex: str | None, given: Sequence[str] | None, panels: Sequence[Panel]
) -> Mapping[str, str]:
    """What the command line says of the person; age and sex have to come from somewhere."""
    known = pairs(_with(given, age, sex))
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
    from sciai.health.api.panel import fitted, latest, person_of

    person = load(model).given(pairs(given))
    if sheet is None:
        return person, ()
    panel = fitted(latest(_read(sheet, None)), person.schema)
    return person_of(person, panel), panel.findings


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


app.command("sample")(health_tables.sample)
app.command("marginal", no_args_is_help=True)(health_tables.marginal)
app.command("impute", no_args_is_help=True)(health_tables.impute)
app.command("predict", no_args_is_help=True)(health_tables.predict)
app.command("fetch", no_args_is_help=True)(health_tables.fetch)
app.command("columns")(health_tables.columns)
app.command("evaluate", no_args_is_help=True)(health_tables.evaluate)
app.command("privacy")(health_tables.privacy)
